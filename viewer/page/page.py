"""The page as one file."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from pathlib import Path
from typing import Any

from ...renderer._native import constants
from .modules import bundled

_HERE = Path(__file__).parent


def page_html(facts: dict[str, Any], title: str, splats: bytes) -> str:
    """A page that needs nothing else."""
    script, worker = bundled("page.js"), bundled("worker.js")
    style = (_HERE / "style.css").read_text(encoding="utf-8")
    given = {
        "policy": _policy(script, style),
        "version": "0",
        "title": html.escape(title),
        "style": style,
        "facts": _json({"constants": _constants(), **facts}),
        "worker": worker,
        "splats": base64.b64encode(splats).decode(),
        "script": script,
    }
    page = (_HERE / "template.html").read_text(encoding="utf-8")
    for name, value in given.items():
        page = page.replace(f"{{{name}}}", value)
    return page


def _constants() -> dict[str, str]:
    return {
        "EPS2D": f"{constants.EPS2D:.9f}",
        "ALPHA_MIN": f"{constants.ALPHA_MIN:.9f}",
        "ALPHA_MAX": f"{constants.ALPHA_MAX:.9f}",
    }


def _json(value: Any) -> str:
    """JSON that may stand in a script element, whatever its texts are."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _policy(script: str, style: str) -> str:
    """Nothing from anywhere but this file; what runs is what is in it."""
    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {digest(script)}; style-src {digest(style)}; "
        "worker-src blob:; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
