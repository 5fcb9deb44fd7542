"""What we say of splats in JSON: in files that have a place for it, which other programs pass over,
and the origin beside files that have none."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args

from ...renderer.files import replacing
from .. import limits
from ..document import Entry, Fault, parse
from ..errors import InputError
from .metadata import Axis, SplatMetadata, named

NOTES = "gaborsplat"
"""What the object is called that has them."""
ORIGIN_ENDING = ".origin.json"
"""What the file beside another one has behind its name."""


def program_version() -> str:
    """Of the program that writes a file."""
    try:
        return version("gaborsplat")
    except PackageNotFoundError:
        return "0+unknown"


def noted(metadata: SplatMetadata) -> dict[str, Any]:
    """What is known of how splats are to be shown, but for antialiasing."""
    known: dict[str, Any] = {
        "up": metadata.up,
        "origin": list(map(float, metadata.origin)) if any(metadata.origin) else None,
        "background": metadata.background and list(map(float, metadata.background)),
        "name": metadata.name,
    }
    return {key: value for key, value in known.items() if value is not None}


def metadata_of(notes: Entry) -> SplatMetadata:
    """What `noted` has written, and antialiasing if it is there too.

    Raises:
        Fault: a value is of another kind, or out of its range.
    """
    up, background = notes.text("up"), _three(notes, "background")
    if up is not None and up not in get_args(Axis):
        raise Fault(f"{notes.at('up')} must be one of {', '.join(get_args(Axis))}, not {up[:20]}")
    if background and not all(0 <= each <= 1 for each in background):
        raise Fault(f"{notes.at('background')} must be of numbers from 0 to 1")
    antialiased, name = notes.values.get("antialiased"), notes.values.get("name")
    return SplatMetadata(
        antialiased=antialiased if isinstance(antialiased, bool) else None,
        up=up,  # type: ignore[arg-type]  # one of them
        origin=_three(notes, "origin") or (0.0, 0.0, 0.0),
        background=background,
        name=named(name if isinstance(name, str) else notes.text("name")),  # it may be blank
    )


def _three(entry: Entry, key: str) -> tuple[float, float, float] | None:
    if entry.values.get(key) is None:
        return None
    x, y, z = entry.array(key, 3, 3).tolist()
    return (x, y, z)


def write_origin(path: Path, origin: tuple[float, float, float]) -> None:
    """Writes the file beside `path`; one of before is removed where the origin is zero."""
    target = origin_file(path)
    if not any(origin):
        target.unlink(missing_ok=True)
        return
    with replacing(target) as draft:
        draft.write_text(json.dumps({"origin": origin}) + "\n", encoding="utf-8")


def read_origin(path: Path) -> tuple[float, float, float]:
    """What the file beside `path` says; zero where there is none.

    Raises:
        InputError: it is damaged.
    """
    source = origin_file(path)
    if not source.is_file():
        return (0.0, 0.0, 0.0)
    try:
        if source.stat().st_size > limits.SOG_META:
            raise Fault(f"has more than {limits.SOG_META:,} bytes")
        x, y, z = parse(source.read_bytes(), limits.SOG_META).array("origin", 3, 3).tolist()
    except Fault as fault:
        raise InputError(f"{source}: {fault}; remove it, or export again") from fault
    return (x, y, z)


def origin_file(path: Path) -> Path:
    """The file beside `path`, of that name with another ending behind it."""
    return path.with_name(path.name + ORIGIN_ENDING)
