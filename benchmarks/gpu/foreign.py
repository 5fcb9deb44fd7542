"""Our trainer with another rasterizer, by autograd: what gsplat's would make of the same run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.losses import Judgement, judge
from gaborsplat.renderer.parameters import activate
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.training import trainer

Rasterization = Callable[..., tuple[Tensor, Tensor, dict[str, Any]]]


@dataclass(frozen=True)
class Picture:
    """As the trainer's own, with the graph behind it."""

    color: Tensor  # [H, W, 3]
    info: dict[str, Any]
    raw: Mapping[str, Tensor]


def step_with(
    rasterization: Rasterization, *, packed: bool = False
) -> tuple[Callable[..., Picture], Callable[..., Any]]:
    """`draw` and `compare` of renderer.fit.gradient, for plain Gaussians, by a function with
    gsplat's signature."""

    def draw(
        raw: Mapping[str, Tensor],
        camera: Camera,
        settings: RenderSettings,
        *,
        sh_degree: int,
        waves: bool,
    ) -> Picture:
        assert not waves
        splats = activate(raw)
        color, _, info = rasterization(
            means=splats.means,
            quats=splats.quats,
            scales=splats.scales,
            opacities=splats.opacities,
            colors=splats.sh,
            viewmats=camera.world_to_camera[None],
            Ks=camera.intrinsics[None],
            width=camera.size[0],
            height=camera.size[1],
            sh_degree=sh_degree,
            packed=packed,
            rasterize_mode="antialiased" if settings.antialiased else "classic",
        )
        info["means2d"].retain_grad()
        return Picture(color[0], info, raw)

    def compare(
        picture: Picture, photo: Tensor, mask: Tensor | None, ssim_weight: float
    ) -> tuple[Judgement, dict[str, Tensor]]:
        judgement = judge(picture.color.detach().contiguous(), photo, mask, ssim_weight)
        with torch.enable_grad():
            picture.color.backward(judgement.gradient)
        gradients = {k: t.grad for k, t in picture.raw.items() if t.grad is not None}
        for tensor in picture.raw.values():
            tensor.grad = None
        return judgement, gradients

    return draw, compare


def train_with(rasterization: Rasterization) -> None:
    """Let every trainer of this process draw by `rasterization`."""
    draw, compare = step_with(rasterization)
    vars(trainer).update(draw=draw, compare=compare)
