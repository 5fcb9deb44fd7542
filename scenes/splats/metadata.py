"""How splats want to be shown, beside the splats: what files say of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ...renderer.settings import RenderSettings
from ..errors import printable

Axis = Literal["x", "y", "z", "-x", "-y", "-z"]
"""A direction along an axis."""

Frame = Literal["LDB", "RDB", "LUB", "RUB", "LDF", "RDF", "LUF", "RUF"]
"""Where x, y and z point, seen by a camera that nothing turns, in SPZ's letters: left or right, up
or down, front or back. Captures, and splats in memory, are RDF."""

MEMORY_FRAME: Frame = "RDF"
"""The axes of captures and of `Splats`."""


_NAME = 200  # letters of a name that are kept


def named(name: str | None) -> str | None:
    """What a scene may be called: a line of some length, or None where nothing is left."""
    return printable(name or "")[:_NAME].strip() or None


def axis_vector(axis: Axis) -> tuple[float, float, float]:
    """(x, y, z) of length 1."""
    length = -1.0 if axis.startswith("-") else 1.0
    x, y, z = (length * (letter == axis[-1]) for letter in "xyz")
    return (x, y, z)


@dataclass(frozen=True)
class SplatMetadata:
    """How splats are to be shown, as far as it is known.

    Attributes:
        antialiased: whether they were fitted with Mip-Splatting's opacity compensation, and are to
            be rendered with it; None where nothing says so, which is shown as False.
        up: direction that is up, in the axes of the splats in memory; None where nothing says so.
        frame: axes that the numbers in the file were in; None where the file does not say, and they
            were taken to be those of its format.
        origin: (x, y, z) of the splats in the capture's own frame, in its units, to be added to
            their positions in double precision.
        background: (r, g, b) in [0, 1] that the splats were fitted before; None if not known.
        name: what the scene is called; None if not known.
    """

    antialiased: bool | None = None
    up: Axis | None = None
    frame: Frame | None = None
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    background: tuple[float, float, float] | None = None
    name: str | None = None

    @property
    def settings(self) -> RenderSettings:
        """How the splats are to be rendered, but for the near plane."""
        given: dict[str, Any] = {"antialiased": bool(self.antialiased)}
        if self.background is not None:
            given["background"] = self.background
        return RenderSettings(**given)


DEFAULT_METADATA = SplatMetadata()
"""Nothing is known."""
