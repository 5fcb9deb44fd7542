"""Between colours as screens and photos have them, sRGB (IEC 61966-2-1), and linear light, in which
cameras add and multiply. Differentiable everywhere; beyond 1 both go on."""

from __future__ import annotations

import torch
from torch import Tensor

GAMMA = 2.4
_LINEAR_BELOW = 0.0031308
_SRGB_BELOW = 0.04045


def to_linear(srgb: Tensor) -> Tensor:
    """Linear light of sRGB."""
    bright = ((srgb.clamp_min(0.0) + 0.055) / 1.055) ** GAMMA
    return torch.where(srgb > _SRGB_BELOW, bright, srgb / 12.92)


def to_srgb(linear: Tensor) -> Tensor:
    """sRGB of linear light."""
    # Bounded, as the root has no slope at zero, and autograd follows both branches.
    bright = 1.055 * linear.clamp_min(_LINEAR_BELOW) ** (1 / GAMMA) - 0.055
    return torch.where(linear > _LINEAR_BELOW, bright, 12.92 * linear)
