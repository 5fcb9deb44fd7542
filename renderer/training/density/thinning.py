"""Fewer points of a cloud, spread evenly over what it covers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_CELLS = 1 << 20
"""Cells along an axis, at most: three indices of them are one int64."""
_HALVINGS = 12
"""Of the logarithm of cell sizes, whose range is a factor of _CELLS: they are found to 0.4 %."""


def thinned(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices of `count` of the points [P, 3], in order, or of all if they are fewer: a random one
    of each cell of the finest grid that has no more cells with points, and a few of any to fill up.

    A scanner's points are dense where it stood, and a random choice of them would be so too.
    Points may be anywhere that float32 reaches. `generator` is on the CPU, as the points are.
    """
    if len(points) <= count:
        return torch.arange(len(points), device="cpu")
    shuffled = torch.randperm(len(points), generator=generator, device=generator.device)
    places = points[shuffled].double().numpy()
    # Medians, so that a few points near infinity do not make the cells large.
    places -= np.median(places, axis=0)
    extent = float(np.median(np.abs(places).max(axis=1))) or 1.0
    coarse, fine = 64 * extent, 64 * extent / _CELLS  # cell sizes: few enough cells, too many
    for _ in range(_HALVINGS):
        between = (coarse * fine) ** 0.5
        ordered = np.sort(_cells(places, between))
        if 1 + np.count_nonzero(np.diff(ordered)) <= count:
            coarse = between
        else:
            fine = between
    first = np.unique(_cells(places, coarse), return_index=True)[1]
    rank = np.ones(len(places), np.int8)
    rank[first] = 0
    return shuffled[torch.from_numpy(rank.argsort(kind="stable")[:count])].sort().values


def _cells(places: NDArray[np.float64], size: float) -> NDArray[np.int64]:
    """[P] one number for each cell, of cubes with edges of `size`."""
    half = _CELLS // 2
    x, y, z = np.floor(places / size).clip(-half, half - 1).astype(np.int64).T
    return (x * _CELLS + y) * _CELLS + z
