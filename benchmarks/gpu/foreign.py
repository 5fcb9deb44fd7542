"""Our trainer with another rasterizer, by autograd: what gsplat's would make of the same run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.losses import LossResult, compare
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import RawSplats
from gaborsplat.renderer.training.objective import PhotoObjective

Rasterization = Callable[..., tuple[Tensor, Tensor, dict[str, Any]]]


@dataclass(frozen=True)
class RecordedPicture:
    """As the trainer's own, with the graph behind it."""

    color: Tensor  # [H, W, 3]
    visible: Tensor | None
    info: dict[str, Any]
    parameters: Mapping[str, Tensor]


class ForeignObjective(PhotoObjective):
    """The objective of plain Gaussians, by a function with gsplat's signature."""

    def __init__(
        self,
        rasterization: Rasterization,
        settings: RenderSettings,
        ssim_weight: float = 0.2,
        *,
        packed: bool = False,
    ) -> None:
        self._rasterization, self._packed = rasterization, packed
        self._settings, self._ssim_weight = settings, ssim_weight

    def forward(self, raw: RawSplats, camera: Camera, *, sh_degree: int) -> Any:
        """See `PhotoObjective`."""
        assert raw.waves == 0
        splats = raw.activated()
        color, _, info = self._rasterization(
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
            packed=self._packed,
            rasterize_mode="antialiased" if self._settings.antialiased else "classic",
        )
        if info["means2d"].requires_grad:  # strategies look at its gradient
            info["means2d"].retain_grad()
        return RecordedPicture(color[0], None, info, raw.tensors())

    def backward(
        self, picture: Any, photo: Tensor, mask: Tensor | None
    ) -> tuple[LossResult, dict[str, Tensor]]:
        """See `PhotoObjective`."""
        result = compare(
            picture.color.detach().contiguous(), photo, mask, self._ssim_weight, gradient=True
        )
        with torch.enable_grad():
            picture.color.backward(result.gradient)
        tensors = picture.parameters
        gradients = {name: t.grad for name, t in tensors.items() if t.grad is not None}
        for tensor in tensors.values():
            tensor.grad = None
        return result, gradients
