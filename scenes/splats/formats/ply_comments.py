"""What the comments of a PLY say of how its splats want to be shown.

`SplatRenderMode: mip|default` is Brush's, and gsplat's, nerfstudio's and SuperSplat's after it;
`antialiased 1` is Postshot's; `Vertical Axis: z` is nerfstudio's, with three numbers in Brush's.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import get_args
from urllib.parse import quote, unquote

from ... import limits
from ...errors import InputError
from ..metadata import Axis, SplatMetadata, axis_vector, named

_AXES: tuple[Axis, ...] = get_args(Axis)
_UPRIGHT = 0.9  # cosine of the angle up to which a direction is taken for that of an axis
_PLAIN = string.punctuation.replace("%", "") + " "  # in names; PLY is ASCII, and others become %E9
_MODES = {
    ("splatrendermode:", "mip"): True,
    ("splatrendermode:", "default"): False,
    ("antialiased", "1"): True,
    ("antialiased", "0"): False,
}
_BRUSH = "exported from brush"


def read_comments(comments: Sequence[str]) -> SplatMetadata:
    """What comments say, but for the origin; of several that say the same thing, the last."""
    antialiased: bool | None = None
    up: Axis | None = None
    background: tuple[float, float, float] | None = None
    name: str | None = None
    brush = any(comment.lower().startswith(_BRUSH) for comment in comments)
    for comment in comments:
        match comment.lower().split():
            case [word, value, *_] if (word, value) in _MODES:
                antialiased = _MODES[word, value]
            case ["vertical", "axis:", axis] if not brush:  # which has y there if it does not know
                up = _axis(axis) or up
            case ["vertical", "axis:", *numbers]:
                up = _nearest_axis(numbers) or up
            case ["background", *numbers]:
                background = _color(numbers) or background
            case ["name", _, *_]:
                name = named(unquote(comment.split(None, 1)[1])) or name
            case _:
                pass
    return SplatMetadata(antialiased=antialiased, up=up, background=background, name=name)


def stated_origin(comments: Sequence[str], path: Path) -> tuple[float, float, float]:
    """The origin that the comments of the file at `path` name; zero if they name none.

    Raises:
        InputError: it is no place.
    """
    for comment in comments:
        match comment.split():
            case ["origin", x, y, z]:
                try:
                    origin = (float(x), float(y), float(z))
                except ValueError as error:
                    raise InputError(f"{path}: comment {comment[:60]}: {error}") from error
                if not max(map(abs, origin)) < limits.VALUE or any(map(math.isnan, origin)):
                    raise InputError(f"{path}: comment {comment[:60]}: not a place")
                return origin
            case _:
                pass
    return (0.0, 0.0, 0.0)


def comments_of(metadata: SplatMetadata) -> Iterator[str]:
    """The comments by which `metadata` is read back, but for its origin and axes."""
    if metadata.antialiased is not None:
        yield f"SplatRenderMode: {'mip' if metadata.antialiased else 'default'}"
    if metadata.up is not None:  # as numbers: the letter z is -z to Brush
        yield f"Vertical Axis: {' '.join(f'{value:g}' for value in axis_vector(metadata.up))}"
    if metadata.background is not None:
        yield f"background {' '.join(repr(float(value)) for value in metadata.background)}"
    if metadata.name:
        yield f"name {quote(metadata.name, safe=_PLAIN)}"


def written_header(comments: Iterable[str], lines: Iterable[str]) -> bytes:
    """The header of a binary PLY with these comments, and lines that describe its elements."""
    said = (f"comment {' '.join(comment.split())}" for comment in comments)
    every = ["ply", "format binary_little_endian 1.0", *said, *lines, "end_header", ""]
    return "\n".join(every).encode("ascii", "backslashreplace")


def _axis(text: str) -> Axis | None:
    return next((axis for axis in _AXES if axis == text.removeprefix("+")), None)


def _nearest_axis(numbers: Sequence[str]) -> Axis | None:
    direction = _three(numbers)
    length = math.hypot(*direction) if direction else 0.0
    if direction is None or not 0 < length < math.inf:
        return None
    for axis in _AXES:
        along = sum(a * b for a, b in zip(direction, axis_vector(axis), strict=True))
        if along > _UPRIGHT * length:
            return axis
    return None


def _color(numbers: Sequence[str]) -> tuple[float, float, float] | None:
    color = _three(numbers)
    return color if color and all(0 <= value <= 1 for value in color) else None


def _three(numbers: Sequence[str]) -> tuple[float, float, float] | None:
    """Three numbers, if that is what they are."""
    try:
        x, y, z = map(float, numbers)
    except ValueError:
        return None
    return (x, y, z)
