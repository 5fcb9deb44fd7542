"""Splats as files have them, made fit to be shown: rows that no renderer could draw are dropped and
counted, and a scene far from zero gets an origin."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..errors import InputError
from .format import RawFile
from .raw_splats import RawSplats, rows

log = logging.getLogger(__name__)

_LOG_SCALE_MAX = 88.0  # beyond it the scale itself is infinite in float32
_FAR = 1000.0  # spreads of the scene: there float32 still tells ten thousandths of one apart
_ROUNDING = 2.0**-25  # of a number by float32, or up to twice as much
_SAMPLED = 20_000


def without_bad_rows(raw: RawSplats, name: str) -> RawSplats:
    """The splats of a file of that name without those that have a value which is not a number or
    infinite, or no rotation; says how many these are.

    Raises:
        InputError: no splat is left.
    """
    with np.errstate(invalid="ignore"):
        faults = {
            "a position that is not finite": ~rows(np.abs(raw.means) < limits.VALUE),
            "a scale that is not finite": ~rows(raw.log_scales < _LOG_SCALE_MAX),
            "an opacity that is not a number": np.isnan(raw.logits),
            "a colour that is not finite": ~rows(np.abs(raw.sh) < limits.VALUE),
            "a rotation that is zero or not finite": ~_turns(raw.quats),
            "a wave that is not finite": ~rows(np.abs(raw.frequencies) < limits.VALUE)
            | ~rows(np.abs(raw.coefficients) < limits.VALUE),
        }
    bad = np.logical_or.reduce(list(faults.values()))
    if not bad.any():
        return raw
    what = "; ".join(
        f"{int(each.sum())} with {fault} (first: {int(np.argmax(each))})"
        for fault, each in faults.items()
        if each.any()
    )
    if bad.all():
        raise InputError(f"{name}: no splat can be shown: {what}; make or copy the file again")
    log.warning("%s: %d of %d splats dropped: %s", name, int(bad.sum()), bad.size, what)
    return raw.taken(~bad)


def _turns(quats: NDArray[np.float32]) -> NDArray[np.bool_]:
    """[N] whether a quaternion, of any length, is a rotation."""
    lengths = np.linalg.norm(quats.astype(np.float64), axis=1)
    return (lengths > 0) & (lengths < limits.VALUE)


def near_zero(file: RawFile) -> RawFile:
    """The same splats relative to an origin, where a scene is so far from zero that float32 hardly
    tells its splats apart."""
    middle, spread = middle_and_spread(file.raw.means)
    if not np.abs(middle).max() > _FAR * spread or not spread:
        return file
    # A round number, of which nothing is lost on the way.
    unit = 2.0 ** np.floor(np.log2(spread))
    shift = np.round(middle / unit) * unit
    raw = replace(file.raw, means=file.raw.means - shift)
    x, y, z = (np.asarray(file.metadata.origin) + shift).tolist()
    return RawFile(raw, replace(file.metadata, origin=(x, y, z)))


def loses_detail(means: NDArray[np.floating[Any]]) -> bool:
    """Whether float32 moves positions [N, 3] by as much as it may where `near_zero` finds that it
    hardly tells them apart. Those that come from float32, but for a rounding, lose nothing."""
    if means.dtype == np.float32 or not len(means):
        return False
    moved = np.abs(means.astype(np.float32) - means).max()
    return bool(moved > _FAR * _ROUNDING * middle_and_spread(means)[1])


def middle_and_spread(
    means: NDArray[np.floating[Any]],
) -> tuple[NDArray[np.float64], float]:
    """[3] the median of positions [N, 3], and the median distance from it; zero without any."""
    some = means[:: max(1, len(means) // _SAMPLED)].astype(np.float64)
    if not len(some):
        return np.zeros(3), 0.0
    middle = np.median(some, axis=0)
    return middle, float(np.median(np.linalg.norm(some - middle, axis=1)))
