"""Turning Gabor splats into plain Gaussians, for formats and viewers that know no waves."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from .splats import Splats


def bake(splats: Splats) -> Splats:
    """The same cloud with K = 0: each opacity is multiplied by the mean of its modulation.

    The mean of M = 1 - sum a + sum a cos(2 pi f.y) + b sin(2 pi f.y) under the envelope,
    y ~ N(0, I), is 1 - sum a + sum a exp(-2 pi^2 |f|^2) (docs/mathematics.md, 6): what is seen
    of the splat from far away.

    Args:
        splats: N splats with any number of waves.
    """
    cosines = splats.coefficients[..., 0]
    damping = torch.exp(-2.0 * math.pi**2 * splats.frequencies.square().sum(-1))
    mean = 1.0 + (cosines * (damping - 1.0)).sum(-1)
    opacities = (splats.opacities * mean).clamp(0.0, 1.0)
    return replace(splats.without_waves(), opacities=opacities)
