"""How splats become an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ._native import constants


@dataclass(frozen=True)
class RenderSettings:
    """How splats become an image. The defaults follow gsplat; `inria()` gives the original's."""

    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Colour behind the splats, RGB in [0, 1]."""
    sh_degree: int | None = None
    """Highest spherical-harmonics degree to evaluate; None takes all that the splats have."""
    antialiased: bool = False
    """Mip-Splatting's opacity compensation for the screen-space dilation."""
    near_plane: float = constants.NEAR_PLANE
    """Splats whose centre is nearer than this are culled."""
    far_plane: float = constants.FAR_PLANE
    """Splats whose centre is farther than this are culled."""
    eps2d: float = constants.EPS2D
    """Screen-space dilation added to the diagonal of every 2D covariance [px^2]."""
    compensation_min: float = 0.0
    """Lower bound of the determinant ratio under the square root of the compensation."""
    alpha_min: float = constants.ALPHA_MIN
    """Contributions below this alpha are skipped."""
    alpha_max: float = constants.ALPHA_MAX
    """Alpha is clamped to this."""
    transmittance_min: float = constants.TRANSMITTANCE_MIN
    """A pixel is finished before the splat that would bring its transmittance to this or below."""
    extent: Literal["exact", "three_sigma"] = "exact"
    """Tiles a splat is drawn in: all it reaches alpha_min in, or those of its 3-sigma square."""

    @classmethod
    def inria(cls) -> RenderSettings:
        """Constants of the original 3DGS rasterizer (graphdeco-inria, main), as documented."""
        return cls(near_plane=0.2, compensation_min=2.5e-5, extent="three_sigma")

    @classmethod
    def gsplat(cls) -> RenderSettings:
        """Constants of gsplat 1.5.3, whose alpha clamp is 0.999."""
        return cls(alpha_max=0.999)
