"""Splats of a file put elsewhere: turned, mirrored, made larger and moved, in double precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ...renderer.editing.moving import Similarity, moved
from ...renderer.splats import Splats
from .raw_splats import RawSplats

_DIRECTIONS = {
    "L": (-1, 0, 0),
    "R": (1, 0, 0),
    "D": (0, -1, 0),
    "U": (0, 1, 0),
    "F": (0, 0, -1),
    "B": (0, 0, 1),
}


def placed(raw: RawSplats, matrix: NDArray[np.float64]) -> RawSplats:
    """The same splats where a [4, 4] matrix puts them; their positions become float64.

    Raises:
        ValueError: the matrix does more than to turn, mirror, scale evenly and move.
    """
    if (matrix == np.eye(4)).all():
        return raw
    similarity = Similarity.of(torch.from_numpy(matrix))
    turned = moved(_directed(raw), replace(similarity, translation=similarity.translation * 0))
    means = raw.means.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    return replace(
        raw,
        means=means,
        quats=turned.quats.numpy(),
        log_scales=raw.log_scales + np.float32(np.log(similarity.scale)),
        sh=turned.sh.numpy(),
        frequencies=turned.frequencies.numpy(),
    )


def _directed(raw: RawSplats) -> Splats:
    """What of splats has a direction, the rest being 0: nothing is lost by an activation."""
    sh = torch.from_numpy(raw.sh)
    return Splats(
        means=sh.new_zeros(len(sh), 3),
        quats=torch.from_numpy(raw.quats),
        scales=sh.new_ones(len(sh), 3),
        opacities=sh.new_zeros(len(sh)),
        sh=sh,
        frequencies=torch.from_numpy(raw.frequencies),
        coefficients=torch.from_numpy(raw.coefficients),
    )


def in_frame(raw: RawSplats, old: str, new: str) -> RawSplats:
    """The same splats with their numbers in other axes, which are named by where x, y and z point:
    left or right, up or down, front or back. Any axes go; where only signs change, `axes.turned` is
    exact and four times as fast."""
    if old == new:
        return raw
    # Both in one frame: columns are directions of the axes.
    before, after = (np.array([_DIRECTIONS[letter] for letter in name]).T for name in (old, new))
    matrix = np.eye(4)
    matrix[:3, :3] = after.T @ before
    turned = placed(raw, matrix)
    return replace(turned, means=turned.means.astype(raw.means.dtype))
