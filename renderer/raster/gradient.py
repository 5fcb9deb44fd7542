"""One photo's loss and its gradient to the raw parameters: the stages of `render`, there and back.

The same passes as `renderer.autograd` records, called directly: for a fit that knows what it needs,
building a graph costs as much as some of the stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..backends.stages import Projected, Projection, Tiles
from ..cameras import Camera
from ..losses import Judgement, judge
from ..settings import RenderSettings
from .autograd import backend, with_tiles


@dataclass(frozen=True)
class Picture:
    """A view as the splats show it, with all that its gradient needs."""

    color: Tensor  # [H, W, 3]
    info: dict[str, Any]  # what gsplat's strategies read of gsplat's `info`
    projection: Projection
    sh_degree: int
    inputs: tuple[Tensor, ...]  # of the projection, raw
    harmonics: tuple[Tensor, ...]  # inputs of the shading
    projected: Projected
    colors: Tensor  # [1, N, 3]
    tiles: Tiles
    image: Tensor  # [1, H, W, 3] without background
    transmittance: Tensor  # [1, H, W]

    @property
    def waves(self) -> int:
        """Waves per splat that were drawn."""
        return self.inputs[4].shape[1]

    @property
    def blended(self) -> tuple[Tensor, ...]:
        """Inputs of the blend."""
        p = self.projected
        return p.radii, p.means2d, p.conics, p.opacities, p.cutoffs, self.colors, p.screen


@torch.no_grad()
def draw(
    raw: Mapping[str, Tensor],
    camera: Camera,
    settings: RenderSettings,
    *,
    sh_degree: int,
    waves: bool,
) -> Picture:
    """The splats that `raw` stands for, seen by `camera`; without `waves` as plain Gaussians."""
    passes = backend(raw["means"].device)
    width, height = camera.size
    kept = slice(None) if waves else slice(0, 0)
    inputs = (
        raw["means"],
        raw["quats"],
        raw["scales"],
        raw["opacities"],
        raw["frequencies"][:, kept].contiguous(),
        raw["coefficients"][:, kept].contiguous(),
        camera.world_to_camera[None].contiguous(),
        camera.intrinsics[None].contiguous(),
    )
    projection = Projection(camera.size, settings, raw=True)
    projected = passes.project(inputs, projection)
    harmonics = (raw["means"], inputs[6], raw["sh0"], raw["shN"])
    colors = passes.shade(harmonics, sh_degree, projected.radii)
    p = projected
    blended = (p.radii, p.means2d, p.conics, p.opacities, p.cutoffs, colors, p.screen)
    shape = (1, height, width, inputs[4].shape[1])
    tiles, (image, transmittance) = with_tiles(
        p,
        camera.size,
        settings,
        lambda tiles: passes.blend(blended, tiles, shape, settings),
        gradient=True,
    )
    color = image[0]
    if any(settings.background):
        color = color + transmittance[0, ..., None] * color.new_tensor(settings.background)
    info = {
        "means2d": p.means2d.requires_grad_(),  # a leaf, whose gradient strategies look at
        "radii": p.radii,
        "width": width,
        "height": height,
        "n_cameras": 1,
        "gaussian_ids": None,
    }
    return Picture(
        color=color,
        info=info,
        projection=projection,
        sh_degree=sh_degree,
        inputs=inputs,
        harmonics=harmonics,
        projected=projected,
        colors=colors,
        tiles=tiles,
        image=image,
        transmittance=transmittance,
    )


@torch.no_grad()
def compare(
    picture: Picture, photo: Tensor, mask: Tensor | None, ssim_weight: float
) -> tuple[Judgement, dict[str, Tensor]]:
    """How far the picture is from `photo` [H, W, 3] uint8 where `mask` [H, W] is true, and the
    gradient of every parameter that it used.

    Sets the gradient of `picture.info["means2d"]`.
    """
    passes, settings = backend(picture.color.device), picture.projection.settings
    judgement = judge(picture.color, photo, mask, ssim_weight)
    v_image = judgement.gradient[None]
    v_transmittance = None
    if any(settings.background):
        v_transmittance = v_image @ v_image.new_tensor(settings.background)
    v_means2d, v_conics, v_opacities, v_colors, v_screen = passes.blend_backward(
        picture.blended,
        picture.tiles,
        (picture.image, picture.transmittance, v_image, v_transmittance),
        settings,
        waves=picture.waves,
        absolute=False,
    )
    picture.info["means2d"].grad = v_means2d
    radii = picture.projected.radii
    v_means_shaded, _, v_sh0, v_rest = passes.shade_backward(
        picture.harmonics, picture.sh_degree, radii, picture.colors, v_colors, poses=False
    )
    v_projected = (v_means2d, None, v_conics, v_opacities, v_screen)
    v_means, v_quats, v_scales, v_opacities, v_frequencies, v_coefficients, _ = (
        passes.project_backward(picture.inputs, picture.projection, radii, v_projected, poses=False)
    )
    gradients = {
        "means": v_means.add_(v_means_shaded),
        "quats": v_quats,
        "scales": v_scales,
        "opacities": v_opacities,
        "sh0": v_sh0,
        "shN": v_rest,
    }
    if picture.waves:
        gradients |= {"frequencies": v_frequencies, "coefficients": v_coefficients}
    return judgement, gradients
