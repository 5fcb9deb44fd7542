"""How splats are to be shown, in the meta.json of a SOG.

"model" is what the format has; "antialias" was there before it. What else we know is kept in an
object of our own, which other programs pass over.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any, get_args

from ....document import Entry, Fault
from ...metadata import Axis, SplatMetadata

_OURS = "gaborsplat"
_ANTIALIASED = "antialiased"


def written_notes(metadata: SplatMetadata) -> dict[str, Any]:
    """What meta.json says of splats that are to be shown so."""
    found: dict[str, Any] = {"asset": {"generator": f"gaborsplat {_version()}"}}
    if metadata.antialiased is not None:
        found["antialias"] = metadata.antialiased
    if metadata.antialiased:
        found["model"] = _ANTIALIASED
    ours: dict[str, Any] = {
        "origin": list(metadata.origin) if any(metadata.origin) else None,
        "up": metadata.up,
        "background": metadata.background and list(metadata.background),
        "name": metadata.name,
    }
    known = {key: value for key, value in ours.items() if value is not None}
    return {**found, _OURS: known} if known else found


def read_notes(meta: Entry) -> SplatMetadata:
    """How the splats of a meta.json are to be shown.

    Raises:
        Fault: what it says is of another kind.
    """
    model, antialias = meta.text("model"), meta.values.get("antialias")
    ours = meta.entry(_OURS) if isinstance(meta.values.get(_OURS), dict) else Entry(_OURS, {})
    up = ours.text("up")
    if up is not None and up not in get_args(Axis):
        raise Fault(f"{ours.at('up')} must be one of {', '.join(get_args(Axis))}, not {up[:20]}")
    stated = model == _ANTIALIASED if model else antialias
    return SplatMetadata(
        antialiased=stated if isinstance(stated, bool) else None,
        up=up,  # type: ignore[arg-type]  # one of them
        origin=_three(ours, "origin") or (0.0, 0.0, 0.0),
        background=_three(ours, "background"),
        name=ours.text("name"),
    )


def _three(entry: Entry, key: str) -> tuple[float, float, float] | None:
    if entry.values.get(key) is None:
        return None
    x, y, z = entry.array(key, 3, 3).tolist()
    return (x, y, z)


def _version() -> str:
    try:
        return version("gaborsplat")
    except PackageNotFoundError:
        return "0+unknown"
