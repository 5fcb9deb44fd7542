"""A Gaussian's axes may be named in any order: of 24 ways to write it, one that packs well."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray

from .....renderer.rotations import to_quaternions

Floats = NDArray[np.float32]


def with_ordered_axes(quats: Floats, log_scales: Floats) -> tuple[Floats, Floats]:
    """The same Gaussians without waves, their axes from the longest to the shortest, and w the
    largest part of each quaternion: [N, 4] of length 1 with w > 0, [N, 3]."""
    order = np.argsort(-log_scales, axis=1, kind="stable")
    turn = _axis_turns()[3 * order[:, 0] + order[:, 1]]
    quats = _product(quats, turn)
    # Half a turn about an axis, which changes no ellipsoid, puts that part in the place of w.
    half_turn = np.eye(4, dtype=np.float32)[np.abs(quats).argmax(axis=1)]
    quats = _product(quats, half_turn * np.array([1, -1, -1, -1], np.float32))
    return (
        np.where(quats[:, :1] < 0, -quats, quats),
        np.take_along_axis(log_scales, order, axis=1),
    )


def _axis_turns() -> Floats:
    """[9, 4] quaternions of the rotations whose first two columns are axes a and b, at 3 a + b."""
    turns = np.zeros((9, 4), np.float32)
    for order in permutations(range(3)):
        matrix = torch.eye(3)[:, list(order)]
        matrix[:, 2] *= torch.linalg.det(matrix)  # no reflection
        turns[3 * order[0] + order[1]] = to_quaternions(matrix[None])[0].numpy()
    return turns


def _product(a: Floats, b: Floats) -> Floats:
    """[N, 4] Hamilton products: b is the turn that comes first."""
    w, x, y, z = a.T
    v, i, j, k = b.T
    return np.stack(
        [
            w * v - x * i - y * j - z * k,
            w * i + x * v + y * k - z * j,
            w * j - x * k + y * v + z * i,
            w * k + x * j - y * i + z * v,
        ],
        axis=1,
    )
