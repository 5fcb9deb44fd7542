"""What the passes of the rasterizer take, and hand to each other."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from torch import Tensor

from .._native import BlendOptions, ProjectOptions
from ..backends.stages import Projected, Tiles
from ..cameras import Cameras
from ..settings import RenderSettings
from ..splats import Harmonics, SplatShape


@lru_cache
def project_options(settings: RenderSettings) -> ProjectOptions:
    """What projection needs of `settings`."""
    return ProjectOptions(
        near_plane=settings.near_plane,
        far_plane=settings.far_plane,
        eps2d=settings.eps2d,
        compensation_min=settings.compensation_min,
        alpha_min=settings.alpha_min,
        antialiased=settings.antialiased,
        three_sigma=settings.extent == "three_sigma",
    )


@lru_cache
def blend_options(settings: RenderSettings) -> BlendOptions:
    """What blending needs of `settings`."""
    return BlendOptions(
        alpha_min=settings.alpha_min,
        alpha_max=settings.alpha_max,
        transmittance_min=settings.transmittance_min,
        background=settings.background,
    )


class SplatsInView(NamedTuple):
    """What projection and shading take.

    Attributes:
        shape: of N splats.
        harmonics: their colours; None where others will be blended.
        degree: of the harmonics that are evaluated.
        cameras: C of them.
        options: how splats are projected.
    """

    shape: SplatShape
    harmonics: Harmonics | None
    degree: int
    cameras: Cameras
    options: ProjectOptions


class ShadedSplats(NamedTuple):
    """What projection and shading give.

    Attributes:
        projected: fields of shape [C, N, ...].
        visible: [C, N] uint8: projected, and of a colour that is bounded.
        colors: [C, N, 3], 0.5 + the sum of the harmonics, at least 0; None without harmonics.
    """

    projected: Projected
    visible: Tensor
    colors: Tensor | None


class SplatsInTiles(NamedTuple):
    """What blending takes.

    Attributes:
        projected: M splats in C pictures.
        colors: [..., D] values that are blended, one row a splat.
        with_depth: blend depths behind them, as the last channel.
        tiles: lists of these splats.
        waves: of a splat, K.
        cameras: C.
        size: (width, height) of the pictures [px].
    """

    projected: Projected
    colors: Tensor
    tiles: Tiles
    waves: int
    cameras: int
    size: tuple[int, int]
    with_depth: bool = False

    @property
    def channels(self) -> int:
        """Numbers of a pixel."""
        return self.colors.shape[-1] + self.with_depth

    def arguments(self, options: BlendOptions) -> dict[str, Any]:
        """What blending and its gradient share."""
        p, tiles, (width, height) = self.projected, self.tiles, self.size
        return {
            "cameras": self.cameras,
            "splats": p.cutoffs.numel(),
            "pairs": tiles.splat_ids.shape[0],
            "tiles": tiles.offsets.shape[0] - 1,
            "waves": self.waves,
            "modulation_size": p.modulation2d.shape[-1],
            "channels": self.channels,
            "color_channels": self.colors.shape[-1],
            "width": width,
            "height": height,
            "options": options,
            "means2d": p.means2d,
            "conics": p.conics,
            "opacities2d": p.opacities,
            "cutoffs": p.cutoffs,
            "colors": self.colors,
            "depths": p.depths if self.with_depth else None,
            "modulation2d": p.modulation2d,
            "splat_ids": tiles.splat_ids,
            "offsets": tiles.offsets,
        }
