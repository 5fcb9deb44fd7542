"""Splats of several parts of a file as one cloud."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .raw_splats import RawSplats, gaussians


def merged(parts: Sequence[RawSplats]) -> RawSplats:
    """All splats in one, in the order of the parts; harmonics and waves that a part has not are
    zero."""
    if len(parts) < 2:
        return parts[0] if parts else _nothing()
    coeffs = max(part.sh.shape[1] for part in parts)
    waves = max(part.frequencies.shape[1] for part in parts)
    together: Callable[[list[NDArray[Any]]], NDArray[Any]] = np.concatenate
    return RawSplats(
        means=together([part.means for part in parts]),
        quats=together([part.quats for part in parts]),
        log_scales=together([part.log_scales for part in parts]),
        logits=together([part.logits for part in parts]),
        sh=together([_padded(part.sh, coeffs) for part in parts]),
        frequencies=together([_padded(part.frequencies, waves) for part in parts]),
        coefficients=together([_padded(part.coefficients, waves) for part in parts]),
    )


def _nothing() -> RawSplats:
    zeros = (np.zeros(shape, np.float32) for shape in ((0, 3), (0, 4), (0, 3), (0,), (0, 1, 3)))
    return gaussians(*zeros)


def _padded(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """[N, count, ...] with zeros behind the second dimension."""
    missing = count - values.shape[1]
    return np.pad(values, ((0, 0), (0, missing), (0, 0))) if missing else values
