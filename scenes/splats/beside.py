"""The origin of a splat file whose format has no place for one, in a small file beside it."""

from __future__ import annotations

import json
from pathlib import Path

from ...renderer.files import replacing
from .. import limits
from ..document import Fault, parse
from ..errors import InputError

_ENDING = ".origin.json"


def origin_file(path: Path) -> Path:
    """The file beside `path`, of that name with another ending behind it."""
    return path.with_name(path.name + _ENDING)


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
