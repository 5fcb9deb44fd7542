"""Turning Gabor splats into plain Gaussians, for formats and viewers that know no waves."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from .splats import Splats

LEAST_MEAN = 0.2
"""Of waves that are left out while others stay: what stays is divided by it."""


def bake(splats: Splats) -> Splats:
    """The same cloud with K = 0: each opacity is multiplied by the mean of its modulation.

    The mean of M = 1 - sum a + sum a cos(2 pi f.y) + b sin(2 pi f.y) under the envelope,
    y ~ N(0, I), is 1 - sum a + sum a exp(-2 pi^2 |f|^2) (docs/mathematics.md, 6): what is seen
    of the splat from far away.

    Args:
        splats: N splats with any number of waves.
    """
    mean = _mean(splats.frequencies, splats.coefficients)
    return replace(splats.without_waves(), opacities=(splats.opacities * mean).clamp(0.0, 1.0))


def with_fewer_waves(splats: Splats, count: int) -> Splats:
    """The same cloud with the `count` strongest waves of each splat. The mean of the others is
    left, as by `bake`: it multiplies opacities, and divides the amplitudes of the waves that stay.

    Args:
        splats: N splats with more waves than that.
        count: a number of waves that splats may have.
    """
    if count == 0:
        return bake(splats)
    order = splats.coefficients.norm(dim=-1).argsort(dim=1, descending=True)[..., None]
    frequencies = splats.frequencies.gather(1, order.expand(-1, -1, 3))
    coefficients = splats.coefficients.gather(1, order.expand(-1, -1, 2))
    mean = _mean(frequencies[:, count:], coefficients[:, count:]).clamp_min(LEAST_MEAN)
    return replace(
        splats,
        opacities=(splats.opacities * mean).clamp(0.0, 1.0),
        frequencies=frequencies[:, :count],
        coefficients=coefficients[:, :count] / mean[:, None, None],
    )


def _mean(frequencies: Tensor, coefficients: Tensor) -> Tensor:
    """[N] mean of the modulation by waves [N, K, 3] with amplitudes [N, K, 2]."""
    damping = torch.exp(-2.0 * math.pi**2 * frequencies.square().sum(-1))
    return 1.0 + (coefficients[..., 0] * (damping - 1.0)).sum(-1)
