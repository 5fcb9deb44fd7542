"""A scene, and a viewer for it, as one HTML file."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ...renderer._native import constants
from ...renderer.cameras import Camera
from ...scenes.splats.notes import program_version
from ..camera import Outlook, camera_to_world
from .modules import bundled, shader_texts

_HERE = Path(__file__).parent
_FILLED = re.compile(r"\{(\w+)\}")
MOST_CAMERAS = 300
"""Cameras of photos that a page marks, at most."""


@dataclass(frozen=True)
class Journey:
    """A camera path.

    Attributes:
        stations: where it leads past, at even times; at least two.
        seconds: how long it takes.
    """

    stations: Sequence[Outlook]
    seconds: float

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        stations = [_outlook(each) for each in self.stations]
        return {"keyframes": stations, "seconds": self.seconds}


@dataclass(frozen=True)
class PageView:
    """What a page says and from where it looks.

    Attributes:
        title: of the page.
        caption: a line below it; none where it is empty.
        link: address, http or https, to which the title leads; none where it is empty.
        start: first view; an overview without one.
        journey: camera path.
        cameras: of photos, to be marked.

    Raises:
        ValueError: the link is of another kind.
    """

    title: str
    caption: str = ""
    link: str = ""
    start: Outlook | None = None
    journey: Journey | None = None
    cameras: Sequence[Camera] = ()

    def __post_init__(self) -> None:
        if self.link and not self.link.lower().startswith(("https://", "http://")):
            raise ValueError(f"--link: must begin with https:// or http://, not {self.link[:40]!r}")

    def facts(self) -> dict[str, Any]:
        """For the script of the page."""
        step = max(1, -(-len(self.cameras) // MOST_CAMERAS))
        return {
            "name": self.title,
            "start": self.start and _outlook(self.start),
            "path": self.journey and self.journey.facts(),
            "cameras": [_mark(camera) for camera in self.cameras[::step]],
        }

    def header(self) -> str:
        """As HTML."""
        title = html.escape(self.title)
        if self.link:
            link = html.escape(self.link)
            title = f'<a href="{link}" rel="noopener noreferrer" target="_blank">{title}</a>'
        caption = f"<p>{html.escape(self.caption)}</p>" if self.caption else ""
        return f"<h1>{title}</h1>{caption}"


def embedded_page(view: PageView, splats: bytes) -> str:
    """A page with all in it, which asks nobody for anything. `splats` are packed."""
    return _page(view, base64.b64encode(splats).decode(), view.facts(), "")


def page_beside(view: PageView, name: str) -> str:
    """A page that reads packed splats from the file of that name beside it, from a web server."""
    return _page(view, "", {**view.facts(), "beside": name}, "connect-src 'self'; ")


def empty_page(view: PageView) -> str:
    """A page that opens splat files by drag and drop."""
    return _page(view, "", {**view.facts(), "opens": True}, "")


@cache
def _scripts() -> dict[str, str]:
    """Of the page and, packed, of its worker; the shaders, packed; and the style."""
    return {
        "style": (_HERE / "style.css").read_text(encoding="utf-8"),
        "script": bundled("page.js"),
        "worker": _gzipped(bundled("worker.js")),
        "shaders": _gzipped(json.dumps(shader_texts())),
    }


def _gzipped(text: str) -> str:
    """In base64."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _page(view: PageView, splats: str, facts: dict[str, Any], reaches: str) -> str:
    scripts = _scripts()
    given = {
        **scripts,
        "policy": _policy(scripts["script"], scripts["style"], reaches),
        "version": html.escape(program_version()),
        "title": html.escape(view.title),
        "caption": view.header(),
        "facts": _json({"constants": _constants(), **facts}),
        "splats": splats,
    }
    template = (_HERE / "template.html").read_text(encoding="utf-8")
    return _FILLED.sub(lambda place: given[place[1]], template)


def _constants() -> dict[str, str]:
    """Of the rasterizer, as a shader takes them."""
    names = ("EPS2D", "ALPHA_MIN", "ALPHA_MAX")
    return {name: f"{getattr(constants, name):.9f}" for name in names}


def _json(value: Any) -> str:
    """JSON that may stand in a script element, whatever its texts are."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _policy(script: str, style: str, reaches: str) -> str:
    """Nothing from anywhere but this file; what runs is what is in it."""

    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; {reaches}script-src {digest(script)}; style-src {digest(style)}; "
        "worker-src blob:; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _outlook(outlook: Outlook) -> dict[str, Any]:
    return {
        "eye": _rounded(outlook.position),
        "target": _rounded(outlook.look_at),
        "up": _rounded(outlook.up / np.linalg.norm(outlook.up)),
        "fov": outlook.fov,
    }


def _mark(camera: Camera) -> dict[str, Any]:
    """Where a camera stands, and the directions of its picture's corners."""
    turn, eye = camera_to_world(camera)
    (width, height), k = camera.size, camera.intrinsics.double().cpu().numpy()
    corners = [
        turn @ np.array([(x - k[0, 2]) / k[0, 0], (y - k[1, 2]) / k[1, 1], 1.0])
        for x, y in ((0, 0), (width, 0), (width, height), (0, height))
    ]
    return {
        "eye": _rounded(eye),
        "corners": [_rounded(each / math.hypot(*each), 4) for each in corners],
    }


def _rounded(vector: Any, digits: int = 8) -> list[float]:
    return [float(f"{each:.{digits}g}") for each in vector]
