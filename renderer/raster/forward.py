"""From splats to pictures: one way for all that is rendered or fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .._native import BlendOptions, ProjectOptions, constants
from ..backends.stages import SplatsToBin
from ..cameras import Camera, Cameras
from ..settings import RenderSettings
from ..splats import Harmonics, Splats
from .checks import checked
from .inputs import ShadedSplats, SplatsInTiles, SplatsInView, blend_options, project_options
from .packing import Packing
from .passes import Passes

Channels = Literal["color", "color+depth", "depth"]
"""What is blended, in this order."""


@dataclass(frozen=True)
class RasterOptions:
    """How splats are rasterized.

    Attributes:
        project: options of the projection.
        blend: options of the blend.
        exact: test tiles against a splat's ellipse, not just its box.
        channels: what is blended.
        as_bytes: draw bytes, 255 for 1.
        gradient: whether the pictures will be differentiated.
        absolute: whether the sums over pixels of |gradient of means2d| will be wanted.
        packed: drop invisible splats before blending.
    """

    project: ProjectOptions
    blend: BlendOptions
    exact: bool
    channels: Channels = "color"
    as_bytes: bool = False
    gradient: bool = False
    absolute: bool = False
    packed: bool = False

    @classmethod
    def of(
        cls,
        settings: RenderSettings,
        *,
        channels: Channels = "color",
        as_bytes: bool = False,
        gradient: bool = False,
        absolute: bool = False,
        packed: bool = False,
    ) -> RasterOptions:
        """Those that `settings` ask for."""
        return cls(
            project_options(settings),
            blend_options(settings),
            settings.extent == "exact",
            channels,
            as_bytes,
            gradient,
            absolute,
            packed,
        )


def in_view(
    splats: Splats, camera: Camera, settings: RenderSettings, options: RasterOptions
) -> SplatsInView:
    """What the passes take for a picture. Raises ValueError for tensors of mixed type or device."""
    degree = splats.sh_degree
    if settings.sh_degree is not None:
        degree = min(degree, settings.sh_degree)
    shape, (sh,), cameras = checked(splats.geometry, {"sh": splats.sh}, Cameras.of(camera))
    return SplatsInView(shape, Harmonics(sh), degree, cameras, options.project)


class Rasterized(NamedTuple):
    """Pictures, with all that their gradient needs.

    Attributes:
        shaded: the splats in the views.
        blended: what was blended of them.
        image: [C, H, W, D], or uint8 [C, H, W, 3]; the first three channels over the background.
        transmittance: [C, H, W]; None of bytes.
        packing: which splats are left; None for all.
    """

    shaded: ShadedSplats
    blended: SplatsInTiles
    image: Tensor
    transmittance: Tensor | None
    packing: Packing | None


def forward(passes: Passes, splats: SplatsInView, options: RasterOptions) -> Rasterized:
    """Rasterize splats in the colours of their harmonics.

    Raises:
        ValueError: more channels than the backend blends at once.
    """
    shaded = passes.shaded(splats)
    return blend_shaded(passes, splats, shaded, shaded.colors, options)


def blend_shaded(
    passes: Passes,
    splats: SplatsInView,
    shaded: ShadedSplats,
    colors: Tensor | None,
    options: RasterOptions,
) -> Rasterized:
    """Rasterize splats that were projected and shaded, in the `colors` [C, N, D]; None for depth
    alone. Raises as `forward` does."""
    packing = Packing.of(shaded.visible) if options.packed else None
    projected = shaded.projected
    if packing is not None:
        projected = packing.drop_culled(projected)
        colors = None if colors is None else packing.pick(colors)
    channels, with_depth = _channels(colors, projected.depths, options.channels)
    size, cameras = splats.cameras.size, len(splats.cameras)
    to_bin = SplatsToBin(
        projected=shaded.projected.detached(),
        visible=shaded.visible,
        size=size,
        options=options.project,
        exact=options.exact,
        gradient=options.gradient,
    )
    while True:
        tiles = passes.bin(to_bin)
        listed = tiles if packing is None else packing.renumber(tiles)
        blended = SplatsInTiles(
            projected, channels, listed, splats.shape.waves, cameras, size, with_depth
        )
        if options.as_bytes:
            image, transmittance = passes.blend_bytes(blended, options.blend), None
        else:
            image, transmittance = passes.blend(blended, options.blend, absolute=options.absolute)
        if not tiles.overflowed:
            return Rasterized(shaded, blended, image, transmittance, packing)


def _channels(colors: Tensor | None, depths: Tensor, channels: Channels) -> tuple[Tensor, bool]:
    """What is blended, [..., D], and whether depths come behind it."""
    if colors is None or channels == "depth":
        return depths[..., None], False
    if channels == "color":
        return colors, False
    if colors.shape[-1] < constants.DEPTH_CHANNELS:
        return colors, True
    return torch.cat([colors, depths[..., None]], dim=-1), False
