"""Splats of several parts of a file as one cloud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .raw_splats import RawSplats, gaussians


def merged(parts: Sequence[RawSplats]) -> RawSplats:
    """All splats in one, in the order of the parts; harmonics and waves that a part has not are
    zero."""
    if len(parts) < 2:
        return parts[0] if parts else _nothing()
    return RawSplats(
        **{
            each.name: _together([getattr(part, each.name) for part in parts])
            for each in fields(RawSplats)
        }
    )


def _together(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """[N, ...] of parts that have different numbers of harmonics or waves [n, count, ...]."""
    if parts[0].ndim < 3:
        return np.concatenate(parts)
    count = max(part.shape[1] for part in parts)
    return np.concatenate([_padded(part, count) for part in parts])


def _nothing() -> RawSplats:
    zeros = (np.zeros(shape, np.float32) for shape in ((0, 3), (0, 4), (0, 3), (0,), (0, 1, 3)))
    return gaussians(*zeros)


def _padded(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """[N, count, ...] with zeros behind the second dimension."""
    missing = count - values.shape[1]
    return np.pad(values, ((0, 0), (0, missing), (0, 0))) if missing else values
