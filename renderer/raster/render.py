"""The pipeline, on one screen."""

from __future__ import annotations

import torch

from ..backends.stages import Projected, Tiles
from ..cameras import Camera, Cameras
from ..frame import Frame
from ..settings import RenderSettings
from ..splats import Splats
from .autograd import backend, blend, project, shade, with_tiles

_DEFAULTS = RenderSettings()
_LEAST_ALPHA = 1e-10  # far under that of anything drawn


def render(splats: Splats, camera: Camera, settings: RenderSettings = _DEFAULTS) -> Frame:
    """The picture of `splats` that `camera` takes, differentiable in both.

    Color is blended front to back over `settings.background`; depth is the alpha-weighted mean of
    the splats' camera z. Follows 3D Gaussian Splatting (Kerbl et al. 2023), with the waves of
    docs/mathematics.md.

    Raises:
        ValueError: tensors of mixed type or device, or on a device without a backend.
    """
    inputs = (*splats.tensors().values(), camera.world_to_camera)
    gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    projected, colors = _seen(splats, camera, settings)
    return composite(projected, colors, camera, settings, waves=splats.waves, gradient=gradient)


def composite(
    projected: Projected,
    colors: torch.Tensor,
    camera: Camera,
    settings: RenderSettings,
    *,
    waves: int,
    gradient: bool,
) -> Frame:
    """Blends splats as `camera` sees them, in the colours [1, N, 3]."""
    width, height = camera.size
    channels = torch.cat([colors, projected.depths[..., None]], dim=-1)
    shape = (1, height, width, waves)

    def blended(tiles: Tiles) -> tuple[torch.Tensor, torch.Tensor]:
        return blend(projected, channels, tiles, shape, settings)

    _, (image, transmittance) = with_tiles(
        projected, camera.size, settings, blended, gradient=gradient
    )

    alpha = 1 - transmittance[0]
    color = image[0, ..., :3]
    if any(settings.background):
        color = color + transmittance[0, ..., None] * color.new_tensor(settings.background)
    depth = image[0, ..., 3] / alpha.clamp_min(_LEAST_ALPHA)  # 0 where nothing is drawn
    return Frame(color, alpha, depth)


@torch.no_grad()
def render_bytes(
    splats: Splats, camera: Camera, settings: RenderSettings = _DEFAULTS
) -> torch.Tensor:
    """The colours that `render` gives, as [H, W, 3] uint8, ready to be shown or saved.

    Leaves out what only depth, alpha and gradients need. Raises as `render` does.
    """
    width, height = camera.size
    p, colors = _seen(splats, camera, settings)
    inputs = (p.radii, p.means2d, p.conics, p.opacities, p.cutoffs, colors, p.screen)
    shape = (1, height, width, splats.waves)

    def blended(tiles: Tiles) -> torch.Tensor:
        return backend(colors.device).blend_bytes(inputs, tiles, shape, settings)

    _, image = with_tiles(p, camera.size, settings, blended, gradient=False)
    return image[0]


def _seen(
    splats: Splats, camera: Camera, settings: RenderSettings
) -> tuple[Projected, torch.Tensor]:
    """The projected splats and their colours."""
    views = Cameras(camera.world_to_camera[None], camera.intrinsics[None], camera.size)
    degree = splats.sh_degree
    if settings.sh_degree is not None:
        degree = min(degree, settings.sh_degree)
    projected = project(splats.geometry, views, settings)
    return projected, shade(splats.means, splats.sh, views, projected.radii, degree)
