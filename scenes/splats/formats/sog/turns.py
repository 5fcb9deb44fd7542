"""Rotations in the bytes of a SOG.

A Gaussian's axes may be named in any order: of 24 ways to write it, one is taken that packs well.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .....renderer.rotations import product, to_quaternions
from ..smallest_three import with_largest
from .layout import LEFT_OUT

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


def unpacked_quats(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[N, 4] wxyz of pixels [N, 4]: the three smallest parts in [-1, 1] / sqrt(2), and which part
    is left out, as it follows from them. Modes that there are not must have been refused."""
    small = (pixels[:, :3] / 127.5 - 1.0) / np.sqrt(2.0)
    return with_largest(pixels[:, 3].astype(np.int64) - LEFT_OUT, small)


def packed_quats(quats: Floats, log_scales: Floats) -> NDArray[np.uint8]:
    """[N, 4] pixels for quaternions whose w is the largest part, as `with_ordered_axes` gives them:
    of the eight roundings the one that changes a Gaussian the least. A needle may turn about itself
    as it will, but not bend.
    """
    exact = (quats[:, 1:].astype(np.float64) * np.sqrt(2.0) + 1.0) * 127.5
    floor = np.floor(exact)
    harm = _harm_of_turns(log_scales)
    backwards = quats * np.array([1, -1, -1, -1], np.float32)
    least = np.full(len(quats), np.inf)
    found = np.full((len(quats), 4), LEFT_OUT, np.uint8)
    for up in np.ndindex(2, 2, 2):
        small = np.clip(floor + up, 0, 255).astype(np.uint8)
        pixels = np.concatenate([small, np.full((len(quats), 1), LEFT_OUT, np.uint8)], axis=1)
        turn = _product(backwards, unpacked_quats(pixels))[:, 1:]
        cost = (harm * turn * turn).sum(axis=1)
        better = cost < least
        least[better], found[better] = cost[better], pixels[better]
    return found


def _harm_of_turns(log_scales: Floats) -> NDArray[np.float64]:
    """[N, 3] what turns about each axis cost, per squared angle: (a/b - b/a)^2 for scales a and b
    of the others, as by them the ellipsoid moves from where it was."""
    logs = log_scales.astype(np.float64)
    pairs = [logs[:, first] - logs[:, second] for first, second in ((1, 2), (0, 2), (0, 1))]
    return np.square(2.0 * np.sinh(np.clip(np.stack(pairs, axis=1), -20.0, 20.0)))


def _axis_turns() -> Floats:
    """[9, 4] quaternions of the rotations whose first two columns are axes a and b, at 3 a + b."""
    turns = np.zeros((9, 4), np.float32)
    for order in permutations(range(3)):
        matrix = np.eye(3)[:, list(order)]
        matrix[:, 2] *= np.linalg.det(matrix)  # no reflection
        turns[3 * order[0] + order[1]] = to_quaternions(torch.from_numpy(matrix[None]))[0].numpy()
    return turns


def _product(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """[N, 4] Hamilton products: b is the turn that comes first."""
    kind = np.result_type(a, b)
    return product(*(torch.from_numpy(each.astype(kind, copy=False)) for each in (a, b))).numpy()
