"""Durations as people write them."""

from __future__ import annotations

import math
import re
from typing import Any

from tyro.constructors import PrimitiveConstructorSpec

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
"""Seconds of each."""
_WRITTEN = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([smh]?)", re.ASCII)


def seconds_of(text: str) -> float:
    """The seconds that `text` says: 90, 90s, 5m or 1.5h.

    Raises:
        ValueError: it says no time above zero.
    """
    match = _WRITTEN.fullmatch(text)
    seconds = float(match[1]) * UNITS[match[2] or "s"] if match else 0.0
    if not 0 < seconds < math.inf:
        raise ValueError(f"must be a time above zero such as 90s, 5m or 1.5h, not {text}")
    return seconds


def _seconds_or_none(words: list[str]) -> float | None:
    return None if words[0] == "None" else seconds_of(words[0])


def _written(seconds: float | None) -> list[str]:
    return ["None" if seconds is None else f"{seconds:.15g}s"]


def _is_duration(value: Any) -> bool:
    return value is None or isinstance(value, int | float)


DURATION: PrimitiveConstructorSpec[float | None] = PrimitiveConstructorSpec(
    nargs=1,
    metavar="90s|5m|1.5h",
    instance_from_str=_seconds_or_none,
    is_instance=_is_duration,
    str_from_instance=_written,
)
"""How the command line reads one; None for none."""
