"""Lenses: turning a photo with lens distortion into one that a pinhole camera would have taken.

The pinhole keeps the size, focal lengths and principal point of the original. Its pixels that look
past the edge of the photo (or past the angle up to which the lens model can be inverted) have no
value; a mask says which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ..colmap.model import ColmapCamera
from ..errors import InputError

_SINGLE_FOCAL = (
    "SIMPLE_PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "SIMPLE_FISHEYE",
    "SIMPLE_RADIAL_FISHEYE",
    "RADIAL_FISHEYE",
)
SUPPORTED = (*_SINGLE_FOCAL, "PINHOLE", "OPENCV", "FULL_OPENCV", "FISHEYE", "OPENCV_FISHEYE")
"""Camera models whose photos can be used: those that OpenCV's two lens models contain."""
_FOCAL_LIMIT = 1e9  # px


@dataclass(frozen=True)
class Lens:
    """Intrinsics of a photo: a pinhole camera and the distortion in front of it."""

    size: tuple[int, int]  # (width, height) [px]
    focal: tuple[float, float]  # (fx, fy) [px]
    centre: tuple[float, float]  # (cx, cy) [px]; the centre of the first pixel is (0.5, 0.5)
    distortion: tuple[float, ...]  # OpenCV's k1 k2 p1 p2 k3 k4 k5 k6, or k1-k4 of its fisheye
    fisheye: bool = False

    @property
    def is_pinhole(self) -> bool:
        """Whether a photo through this lens needs no change."""
        return not self.fisheye and not any(self.distortion)

    @property
    def intrinsics(self) -> NDArray[np.float64]:
        """[3, 3] K of the undistorted photo."""
        (fx, fy), (cx, cy) = self.focal, self.centre
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])

    def resized(self, size: tuple[int, int]) -> Lens:
        """The lens of the same photo at another size; each axis scales by its own ratio."""
        x, y = size[0] / self.size[0], size[1] / self.size[1]
        return replace(
            self,
            size=size,
            focal=(self.focal[0] * x, self.focal[1] * y),
            centre=(self.centre[0] * x, self.centre[1] * y),
        )


def lens_of(camera: ColmapCamera) -> Lens:
    """The lens of a COLMAP camera.

    Raises:
        InputError: photos of this camera model cannot be undistorted here.
    """
    if camera.model not in SUPPORTED:
        raise InputError(
            f"camera {camera.camera_id} has model {camera.model}; photos of {', '.join(SUPPORTED)} "
            "can be used: run COLMAP's image_undistorter first"
        )
    params = camera.params
    if camera.model in _SINGLE_FOCAL:
        params = (params[0], *params)
    fx, fy, cx, cy, *distortion = params
    if not (min(fx, fy) >= 1 and max(fx, fy) <= _FOCAL_LIMIT):
        raise InputError(
            f"camera {camera.camera_id} has focal lengths {fx:g} and {fy:g} pixels; "
            f"they must lie between 1 and {_FOCAL_LIMIT:g}"
        )
    return Lens(
        size=(camera.width, camera.height),
        focal=(fx, fy),
        centre=(cx, cy),
        distortion=tuple(distortion),
        fisheye=camera.model.endswith("FISHEYE"),
    )


@dataclass(frozen=True)
class SamplingMaps:
    """Where in the photo each pixel of the undistorted photo lies."""

    x: NDArray[np.float32]  # [H, W] column; the centre of the first column is 0, as in OpenCV
    y: NDArray[np.float32]  # [H, W] row
    valid: NDArray[np.bool_]  # [H, W] whether there is a photo at that place


@lru_cache(maxsize=2)
def sampling_maps(lens: Lens) -> SamplingMaps:
    """Maps for `cv2.remap`. The last ones are kept: most captures have one camera."""
    matrix = lens.intrinsics
    matrix[:2, 2] -= 0.5  # OpenCV puts the centre of the first pixel at 0
    coefficients = np.zeros(4 if lens.fisheye else 8)
    coefficients[: len(lens.distortion)] = lens.distortion
    rectify = cv2.fisheye.initUndistortRectifyMap if lens.fisheye else cv2.initUndistortRectifyMap
    x, y = rectify(matrix, coefficients, np.eye(3), matrix, lens.size, cv2.CV_32FC1)
    width, height = lens.size
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    valid = inside & (_radius(lens) < _largest_radius(lens, coefficients))
    return SamplingMaps(x.astype(np.float32), y.astype(np.float32), valid)


def undistort(photo: NDArray[np.uint8], lens: Lens) -> NDArray[np.uint8]:
    """The photo [H, W, 3] as the pinhole camera of `lens` sees it, black where it sees nothing."""
    maps = sampling_maps(lens)
    straight = cv2.remap(
        photo, maps.x, maps.y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.uint8)
    straight[~maps.valid] = 0
    return straight


def _radius(lens: Lens) -> NDArray[np.float64]:
    """[H, W] distance of each pixel from the optical axis, at depth 1."""
    x = (np.arange(lens.size[0]) + 0.5 - lens.centre[0]) / lens.focal[0]
    y = (np.arange(lens.size[1]) + 0.5 - lens.centre[1]) / lens.focal[1]
    return np.hypot(x[None, :], y[:, None])


def _largest_radius(lens: Lens, coefficients: NDArray[np.float64]) -> float:
    """The radius at which the distorted radius stops growing.

    A polynomial bends back beyond it and would show parts of the photo a second time.
    """
    radius = np.linspace(0.0, float(_radius(lens).max()), 4096)
    if lens.fisheye:
        angle = np.arctan(radius)
        k1, k2, k3, k4 = coefficients
        a2 = angle * angle
        distorted = angle * (1 + a2 * (k1 + a2 * (k2 + a2 * (k3 + a2 * k4))))
    else:
        k1, k2, _, _, k3, k4, k5, k6 = coefficients
        r2 = radius * radius
        numerator = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        denominator = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
        with np.errstate(divide="ignore", invalid="ignore"):
            distorted = radius * numerator / denominator
    growing = np.diff(distorted) > 0
    return np.inf if growing.all() else float(radius[np.argmin(growing)])
