"""Quaternions without their largest part, as several formats have them: it follows from the others,
as their length is 1, and is positive, as with all signs changed they are the same rotation."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Real = TypeVar("Real", np.float32, np.float64)

_OTHERS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])


def without_largest(quats: NDArray[Real]) -> tuple[NDArray[np.int64], NDArray[Real]]:
    """[N] which of four parts is the largest, and [N, 3] the others in their order, of quaternions
    [N, 4] of length 1."""
    which = np.abs(quats).argmax(axis=1)[:, None]
    three = np.take_along_axis(quats, _OTHERS[which[:, 0]], 1)
    np.negative(three, out=three, where=np.take_along_axis(quats, which, 1) < 0)
    return which[:, 0], three


def with_largest(which: NDArray[Any], three: NDArray[Real]) -> NDArray[Real]:
    """[N, 4] quaternions of what `without_largest` gives."""
    quats = np.empty((len(three), 4), three.dtype)
    np.put_along_axis(quats, _OTHERS[which], three, 1)
    largest = np.sqrt(np.maximum(0, 1 - np.square(three).sum(axis=1, keepdims=True)))
    np.put_along_axis(quats, which[:, None].astype(np.int64), largest, 1)
    return quats
