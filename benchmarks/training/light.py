"""Between sRGB, which photos are in, and linear light, in which cameras add and multiply."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def to_linear(srgb: Tensor) -> Tensor:
    """sRGB in [0, 1] as linear light (IEC 61966-2-1)."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: Tensor) -> Tensor:
    """Linear light as sRGB, clipped to [0, 1]."""
    linear = linear.clamp(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def in_linear_light(image: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """[H, W, 3] uint8 sRGB of `image`, uint8 sRGB too, whose light `change` has changed."""
    changed = change(to_linear(image.float() / 255))
    return (255 * to_srgb(changed)).round().to(torch.uint8)
