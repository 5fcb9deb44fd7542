"""How splats become an image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from ._native import constants


def rgb(color: Iterable[float]) -> tuple[float, float, float]:
    """A colour as three numbers, of any sequence, array or tensor. Raises ValueError."""
    numbers = tuple(map(float, color))
    if len(numbers) != 3:
        raise ValueError(f"background must be 3 numbers, RGB, not {len(numbers)}")
    red, green, blue = numbers
    return red, green, blue


@dataclass(frozen=True)
class RenderSettings:
    """How splats become an image. The defaults follow gsplat; `inria()` gives the original's.

    Attributes:
        background: colour behind the splats, RGB in [0, 1].
        sh_degree: highest degree of spherical harmonics to evaluate; None takes all there are.
        antialiased: Mip-Splatting's opacity compensation for the screen-space dilation.
        near_plane: splats whose centre is nearer than this are culled.
        far_plane: splats whose centre is farther than this are culled.
        eps2d: screen-space dilation added to the diagonal of every 2D covariance [px^2].
        compensation_min: lower bound of the determinants' ratio under the compensation's root.
        alpha_min: contributions below this alpha are skipped.
        alpha_max: alpha is clamped to this.
        transmittance_min: a pixel is finished before the splat that would bring its transmittance
            to this or below.
        extent: the tiles a splat is drawn in: all in which it reaches alpha_min, or those of its
            3-sigma square.

    Raises:
        ValueError: the background has not three numbers.
    """

    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    sh_degree: int | None = None
    antialiased: bool = False
    near_plane: float = constants.NEAR_PLANE
    far_plane: float = constants.FAR_PLANE
    eps2d: float = constants.EPS2D
    compensation_min: float = 0.0
    alpha_min: float = constants.ALPHA_MIN
    alpha_max: float = constants.ALPHA_MAX
    transmittance_min: float = constants.TRANSMITTANCE_MIN
    extent: Literal["exact", "three_sigma"] = "exact"

    def __post_init__(self) -> None:
        object.__setattr__(self, "background", rgb(self.background))

    def scaled(self, factor: float) -> RenderSettings:
        """The same in a unit of length that is 1 / `factor` of this one's."""
        planes = {"near_plane": self.near_plane * factor, "far_plane": self.far_plane * factor}
        return replace(self, **planes)

    @classmethod
    def inria(cls) -> RenderSettings:
        """Constants of the original 3DGS rasterizer (graphdeco-inria, main), as documented."""
        return cls(near_plane=0.2, compensation_min=2.5e-5, extent="three_sigma")

    @classmethod
    def gsplat(cls) -> RenderSettings:
        """Constants of gsplat 1.5.3, whose alpha clamp is 0.999."""
        return cls(alpha_max=0.999)
