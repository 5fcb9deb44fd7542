"""Splats' own frames, chosen so that their rotations pack well."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray

from ...renderer.rotations import product, to_quaternions
from ...scenes.splats.raw_splats import RawSplats


def with_packable_frames(raw: RawSplats) -> RawSplats:
    """The same splats, waves too, with axes from the longest to the shortest, and w the largest
    part of each quaternion, and positive; of a wave's two equal forms (frequency and sine of the
    other sign) that whose largest part is positive.

    Another frame R Q, with Q a signed permutation, has the scales in another order, and frequencies
    Q^T f.
    """
    n = len(raw.means)
    order = np.argsort(-raw.log_scales, axis=1, kind="stable")
    turns, matrices = _turns()
    which = 3 * order[:, 0] + order[:, 1]
    quats = _product(raw.quats, turns[which])
    frequencies = np.einsum("nji,nkj->nki", matrices[which], raw.frequencies)
    # Half a turn about an axis puts the largest part in the place of w.
    largest = np.abs(quats).argmax(axis=1)
    half_turn = np.eye(4, dtype=np.float32)[largest]
    quats = _product(quats, half_turn * np.array([1, -1, -1, -1], np.float32))
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float32)[largest]
    frequencies = frequencies * signs[:, None]
    places = np.abs(frequencies).argmax(axis=2)
    top = np.take_along_axis(frequencies, places[..., None], axis=2)
    sign = np.where(top < 0, np.float32(-1), np.float32(1))
    coefficients = raw.coefficients.copy()
    coefficients[..., 1:] *= sign
    quats /= np.maximum(np.linalg.norm(quats, axis=1, keepdims=True), 1e-30)
    return replace(
        raw,
        quats=np.where(quats[:, :1] < 0, -quats, quats).reshape(n, 4),
        log_scales=np.take_along_axis(raw.log_scales, order, axis=1),
        frequencies=(frequencies * sign).astype(np.float32),
        coefficients=coefficients,
    )


def _turns() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """[9, 4] quaternions and [9, 3, 3] matrices of the rotations whose first two columns are the
    axes a and b, at 3 a + b."""
    quats, matrices = np.zeros((9, 4), np.float32), np.zeros((9, 3, 3), np.float32)
    for order in permutations(range(3)):
        matrix = np.eye(3)[:, list(order)]
        matrix[:, 2] *= np.linalg.det(matrix)  # no reflection
        place = 3 * order[0] + order[1]
        matrices[place] = matrix
        quats[place] = to_quaternions(torch.from_numpy(matrix[None]))[0].numpy()
    return quats, matrices


def _product(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, 4] Hamilton products: b is the turn that comes first."""
    return product(torch.from_numpy(a), torch.from_numpy(b)).numpy()
