"""A cloud through gsplat's interface."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.gsplat_api.rasterization import rasterization
from gaborsplat.renderer.splats import Splats


def rasterized(
    splats: Splats, cameras: Sequence[Camera], **options: Any
) -> tuple[Tensor, Tensor, MutableMapping[str, Any]]:
    """`rasterization` of a cloud with its harmonics and waves, in all cameras."""
    arguments: dict[str, Any] = {"sh_degree": splats.sh_degree, "colors": splats.sh}
    if splats.waves:
        arguments["gabor"] = (splats.frequencies, splats.coefficients)
    width, height = cameras[0].size
    return rasterization(
        means=splats.means,
        quats=splats.quats,
        scales=splats.scales,
        opacities=splats.opacities,
        viewmats=torch.stack([camera.world_to_camera for camera in cameras]),
        Ks=torch.stack([camera.intrinsics for camera in cameras]),
        width=width,
        height=height,
        **(arguments | options),
    )
