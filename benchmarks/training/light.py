"""Photos whose light is changed, as a camera would have."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gaborsplat.renderer.raster.light import to_linear, to_srgb


def in_linear_light(image: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """[H, W, 3] uint8 sRGB of `image`, uint8 sRGB too, whose light `change` has changed."""
    changed = change(to_linear(image.float() / 255))
    return (255 * to_srgb(changed.clamp(0, 1))).round().to(torch.uint8)
