"""Turning a photo with lens distortion into one that a pinhole camera would have taken.

Pixels of the pinhole that look past the edge of the photo (or past the angle up to which the lens
model can be inverted) have no value; a mask says which.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..colmap import projections as formulas
from ..colmap.camera_models import BY_NAME
from .lenses import Lens

_BAND = 32  # rows at a time: their intermediate values stay in the CPU's cache
_SEAM = 4  # px beyond a panorama's left and right edge that interpolation may ask for


@dataclass(frozen=True)
class SamplingMaps:
    """Where in the photo each pixel of the undistorted photo lies."""

    x: NDArray[np.float32]  # [H, W] column; the centre of the first column is 0, as in OpenCV
    y: NDArray[np.float32]  # [H, W] row
    valid: NDArray[np.bool_]  # [H, W] whether there is a photo at that place


@lru_cache(maxsize=2)
def sampling_maps(lens: Lens) -> SamplingMaps:
    """Maps for `cv2.remap`. The last ones are kept: most captures have one camera."""
    x, y = _opencv_places(lens) or _places(lens)
    width, height = lens.size
    valid = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    if np.isfinite(lens.widest_slope):
        columns, rows = lens.pinhole.rays()
        valid &= columns * columns + rows * rows < lens.widest_slope**2
    x[~valid], y[~valid] = 0, 0  # OpenCV wants numbers everywhere
    return SamplingMaps(x, y, valid)


def _opencv_places(lens: Lens) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """`_places` of the lenses that OpenCV has, in less time; None of others."""
    formula = BY_NAME[lens.model].project
    if formula in (formulas.radial, formulas.opencv):
        rectify, length = cv2.initUndistortRectifyMap, 8
    elif formula is formulas.fisheye:
        rectify, length = cv2.fisheye.initUndistortRectifyMap, 4
    else:
        return None
    coefficients = np.zeros(length)
    coefficients[: len(lens.coefficients)] = lens.coefficients
    (fx, fy), (cx, cy) = lens.focal, lens.centre
    bent = np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]])
    straight = lens.pinhole.intrinsics
    straight[:2, 2] -= 0.5
    x, y = rectify(bent, coefficients, np.eye(3), straight, lens.pinhole.size, cv2.CV_32FC1)
    return x.astype(np.float32), y.astype(np.float32)


def _places(lens: Lens) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """[H, W] x and y of `SamplingMaps`, NaN or anything where there is no photo."""
    columns, rows = lens.pinhole.rays()
    x, y = np.empty((2, rows.size, columns.size), np.float32)
    with np.errstate(all="ignore"):  # beyond what the lens sees
        for start in range(0, rows.size, _BAND):
            band = slice(start, start + _BAND)
            rays = np.broadcast_arrays(columns, rows[band], np.float64(1))
            x[band], y[band] = lens.project(*rays)
        # OpenCV puts the centre of the first pixel at 0.
        return x - np.float32(0.5), y - np.float32(0.5)


def undistort(photo: NDArray[Any], lens: Lens) -> NDArray[Any]:
    """The photo [H, W, C] as the pinhole camera of `lens` sees it, zero where it sees nothing."""
    maps = sampling_maps(lens)
    x = maps.x
    if lens.is_panorama:  # its left edge continues its right one
        photo = np.pad(photo, ((0, 0), (_SEAM, _SEAM), (0, 0)), mode="wrap")
        x = x + _SEAM
    straight = cv2.remap(photo, x, maps.y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    straight[~maps.valid] = 0
    return straight
