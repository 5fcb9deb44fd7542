"""JavaScript modules of ours as one script.

A module is a file whose imports are lines `import { name, other } from "./path.js";`, and whose
exports are declarations behind `export`. In one script they share a scope, so no two of them may
have the same name at the top.
"""

from __future__ import annotations

import re
from pathlib import Path

_SCRIPT = Path(__file__).parent / "script"
_IMPORT = re.compile(r'^import \{[^}]*\} from "(\.[^"]+)";\n', re.MULTILINE)


def bundled(entry: str) -> str:
    """The module `entry`, a path in script/, and all that it imports, each before whoever imports
    it; without comments and indents, which are half of it."""
    parts: dict[Path, str] = {}
    _collect((_SCRIPT / entry).resolve(), parts)
    return "".join(parts.values())


def _collect(path: Path, parts: dict[Path, str]) -> None:
    if path in parts:
        return
    source = path.read_text(encoding="utf-8")
    for target in _IMPORT.findall(source):
        _collect((path.parent / target).resolve(), parts)
    text = re.sub(r"^export ", "", _IMPORT.sub("", source), flags=re.MULTILINE)
    lines = (line.strip() for line in text.splitlines())
    parts[path] = "".join(f"{line}\n" for line in lines if line and not line.startswith("//"))
