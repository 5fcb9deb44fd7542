"""Splats in an order in which those that are near in space are near in memory.

What a picture shows is then in few stretches of every array, and splats that share a tile share
cache lines.
"""

from __future__ import annotations

import torch
from torch import Tensor

BITS = 10
"""Of each coordinate; three of them fill 30 bits."""
SPREAD = ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249))
"""Shifts and masks that move the bits of a number of 10 three places apart."""


@torch.no_grad()
def morton_order(means: Tensor) -> Tensor:
    """[N] int64, indices of points [N, 3] along a Morton curve (G. M. Morton 1966).

    Coordinates are counted from the median and flattened towards the far ends: a few points far
    away leave the resolution to the others.
    """
    if len(means) == 0:
        return torch.arange(0, device=means.device)
    centre = means.median(dim=0).values
    typical = (means - centre).abs().median(dim=0).values.clamp_min(torch.finfo(means.dtype).tiny)
    offset = (means - centre) / typical
    unit = (offset / (1 + offset.abs())).nan_to_num(0.0)  # between -1 and 1
    cells = ((unit + 1) * 2 ** (BITS - 1)).long().clamp(0, 2**BITS - 1)
    for shift, mask in SPREAD:
        cells = (cells | cells << shift) & mask
    x, y, z = cells.unbind(-1)
    return torch.argsort(x | y << 1 | z << 2, stable=True)
