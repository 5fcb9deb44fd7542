"""JavaScript modules of ours as one script, and the texts of shaders.

A module is a file whose imports are lines `import { name, other } from "./path.js";`, and whose
exports are declarations behind `export`. In the script each is a function that gives its exports.
"""

from __future__ import annotations

import re
from pathlib import Path

_SCRIPT = Path(__file__).parent / "script"
_SHADERS = _SCRIPT / "draw" / "glsl"
_IMPORT = re.compile(r'^import (\{[^}]*\}) from "(\.[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:const|class|function) (\w+))", re.MULTILINE)
_TEXT = re.compile(r"""["'`/\\]|^#""")


def bundled(entry: str) -> str:
    """The module `entry`, a path in script/, and all that it imports, each before whoever imports
    it; without comments and blanks, which are half of it."""
    parts: dict[Path, str] = {}
    _collect((_SCRIPT / entry).resolve(), parts)
    return "".join(parts.values())


def shader_texts() -> dict[str, str]:
    """Of the files in script/draw/glsl, by their names without ending; as short as `bundled`."""
    return {
        path.stem: _body(path.read_text(encoding="utf-8"))
        for path in sorted(_SHADERS.glob("*.glsl"))
    }


def _collect(path: Path, parts: dict[Path, str]) -> None:
    if path in parts:
        return
    source = path.read_text(encoding="utf-8")
    taken = ""
    for names, target in _IMPORT.findall(source):
        other = (path.parent / target).resolve()
        _collect(other, parts)
        taken += f"const {names} = {_name(other, parts)};\n"
    given = ", ".join(name for _, name in _EXPORT.findall(source))
    text = taken + _EXPORT.sub(r"\1", _IMPORT.sub("", source)) + f"return {{ {given} }};"
    parts[path] = ""  # takes its place, which names it
    parts[path] = f"const {_name(path, parts)} = (() => {{\n{_body(text)}}})();\n"


def _body(text: str) -> str:
    """Lines, as short as they can be."""
    return "".join(f"{line}\n" for line in map(_tight, text.splitlines()) if line)


def _tight(line: str) -> str:
    """A line of JavaScript or of a shader without comment and indent; and without blanks around
    signs, where there is no text in it, nor a directive."""
    line = re.sub(r"(^|\s+)// .*$", "", line).strip()
    if _TEXT.search(line):
        return line
    return re.sub(r"\s*([=(){},;:<>*?&|])\s*", r"\1", line)


def _name(path: Path, parts: dict[Path, str]) -> str:
    """Of a module's exports in the script."""
    return f"module{list(parts).index(path)}"
