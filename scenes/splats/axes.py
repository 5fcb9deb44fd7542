"""Splats between the axes that files have: any of x, y and z the other way round."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .metadata import Axis, Frame
from .raw_splats import RawSplats

# Whether a harmonic of bands 1 to 3 is odd in x, in y and in z: of their usual polynomials, such as
# xy, 2zz - xx - yy or x(xx - 3yy).
_ODD = np.array(
    [
        *([0, 1, 0], [0, 0, 1], [1, 0, 0]),
        *([1, 1, 0], [0, 1, 1], [0, 0, 0], [1, 0, 1], [0, 0, 0]),
        *([0, 1, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1], [1, 0, 0]),
    ]
)


def turned(raw: RawSplats, old: Frame, new: Frame) -> RawSplats:
    """The same splats with their numbers in other axes: each that points the other way changes its
    sign. An odd number of them is a reflection. Nothing is rounded, as it is by `placed.in_frame`,
    which also exchanges axes."""
    signs = _signs(old, new)
    if (signs == 1).all():
        return raw
    odd = _ODD[: raw.sh.shape[1] - 1]
    sh = raw.sh.copy()
    sh[:, 1:] *= np.where(odd, signs, 1).prod(axis=1).astype(np.float32)[:, None]
    # With F = diag(signs), a splat's own axes R become F R F, which is a rotation: about v F, by
    # the same angle, or by the opposite one after a reflection. Its own axes change signs too, and
    # frequencies along them.
    vector = signs.prod() * signs
    return replace(
        raw,
        means=raw.means * signs.astype(raw.means.dtype),
        quats=raw.quats * np.array([1, *vector], np.float32),
        sh=sh,
        frequencies=raw.frequencies * signs.astype(np.float32),
    )


def turned_axis(axis: Axis, old: Frame, new: Frame) -> Axis:
    """A direction in other axes."""
    letter = axis[-1]
    same = _signs(old, new)["xyz".index(letter)] == 1
    flipped: dict[Axis, Axis] = {"x": "-x", "y": "-y", "z": "-z", "-x": "x", "-y": "y", "-z": "z"}
    return axis if same else flipped[axis]


def turned_origin(
    origin: tuple[float, float, float], old: Frame, new: Frame
) -> tuple[float, float, float]:
    """A place in other axes."""
    x, y, z = (np.asarray(origin, np.float64) * _signs(old, new)).tolist()
    return (x, y, z)


def _signs(old: Frame, new: Frame) -> NDArray[np.int64]:
    """[3] of ±1: which axes point the other way."""
    return np.array([1 if a == b else -1 for a, b in zip(old, new, strict=True)])
