"""Values that a page has sent for an element of its panel: they may be anything."""

from __future__ import annotations

import math
import sys


def number(value: object, low: float, high: float, otherwise: float | None = None) -> float:
    """`value` cut to [low, high]; `otherwise`, or `low`, if it is no number, or NaN."""
    if not isinstance(value, int | float) or not -math.inf <= value <= math.inf:
        return low if otherwise is None else otherwise
    return float(min(max(value, low), high))  # an integer may be too large for a float, uncut


def whole(value: object, low: int, high: int, otherwise: int | None = None) -> int:
    """As `number`, rounded towards zero."""
    return int(number(value, low, high, otherwise))


def is_number(value: object, low: float, high: float) -> bool:
    """Whether `value` is a finite number in [low, high]."""
    return isinstance(value, int | float) and low <= value <= high and value < math.inf


def is_vector(
    values: object, length: int, shortest: float = 0.0, longest: float = sys.float_info.max
) -> bool:
    """Whether `values` are `length` finite numbers: a vector whose own length is in
    [shortest, longest]."""
    return (
        isinstance(values, list | tuple)
        and len(values) == length
        and all(is_number(each, -longest, longest) for each in values)
        and is_number(math.hypot(*values), shortest, longest)
    )
