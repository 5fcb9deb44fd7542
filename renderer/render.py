"""The pipeline, on one screen."""

from __future__ import annotations

import torch

from .autograd import bin_to_tiles, blend, project, shade
from .stages import Views
from .types import Camera, Frame, RenderSettings, Splats

_DEFAULTS = RenderSettings()


def render(splats: Splats, camera: Camera, settings: RenderSettings = _DEFAULTS) -> Frame:
    """The picture of `splats` that `camera` takes, differentiable in both.

    Color is blended front to back over `settings.background`; depth is the alpha-weighted mean of
    the splats' camera z. Follows 3D Gaussian Splatting (Kerbl et al. 2023), with the waves of
    docs/mathematics.md.

    Raises:
        ValueError: tensors of mixed type or device, or on a device without a backend.
    """
    width, height = camera.size
    views = Views(camera.world_to_camera[None], camera.intrinsics[None], camera.size)
    degree = splats.sh_degree
    if settings.sh_degree is not None:
        degree = min(degree, settings.sh_degree)

    projected = project(splats.geometry, views, settings)
    colors = shade(splats.means, splats.sh, views, projected.radii, degree)
    tiles = bin_to_tiles(projected, camera.size, settings)
    channels = torch.cat([colors, projected.depths[..., None]], dim=-1)
    image, transmittance = blend(
        projected, channels, tiles, (1, height, width, splats.waves), settings
    )

    alpha = 1 - transmittance[0]
    color = image[0, ..., :3]
    if any(settings.background):
        color = color + transmittance[0, ..., None] * color.new_tensor(settings.background)
    drawn = alpha > 0
    depth = torch.where(drawn, image[0, ..., 3] / torch.where(drawn, alpha, 1), 0)
    return Frame(color, alpha, depth)
