"""Lenses: the intrinsics of a photo, and the pinhole camera that its undistorted picture is for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..colmap.camera_models import BY_NAME
from ..colmap.model import ColmapCamera, rotation_matrix
from ..errors import InputError

Array = NDArray[np.float64]
_FOCAL_LIMIT = 1e9  # px
_UNSEEN = 1e-3  # px by which a lens may move pixels and still pass as a pinhole
_WIDEST = math.tan(math.radians(60))
"""The slope up to which a pinhole's focal length is lowered for what a lens sees.

At 60 degrees from the axis, a pinhole spends four times as many pixels on an angle as at the axis.
"""
_SLOPES = np.tan(np.radians(89.0) * np.linspace(0, 1, 4096) ** 2)  # dense at the axis
_SPOKES = 8  # directions around the axis
_UNTURNED = (1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Pinhole:
    """The camera that would have taken the undistorted picture."""

    size: tuple[int, int]  # (width, height) [px]
    focal: tuple[float, float]  # (fx, fy) [px]
    centre: tuple[float, float]  # (cx, cy) [px]; the centre of the first pixel is (0.5, 0.5)

    @property
    def intrinsics(self) -> Array:
        """[3, 3] K."""
        (fx, fy), (cx, cy) = self.focal, self.centre
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])

    def rays(self) -> tuple[Array, Array]:
        """x [1, W] and y [H, 1] at depth 1 of the pixels' centres."""
        x = (np.arange(self.size[0], dtype=np.float64) + 0.5 - self.centre[0]) / self.focal[0]
        y = (np.arange(self.size[1], dtype=np.float64) + 0.5 - self.centre[1]) / self.focal[1]
        return x[None, :], y[:, None]


@dataclass(frozen=True)
class Lens:
    """Intrinsics of a photo, of any of COLMAP's camera models."""

    model: str  # a name of camera_models.BY_NAME
    size: tuple[int, int]  # (width, height) of the photo [px]
    focal: tuple[float, float]  # (fx, fy) [px]
    centre: tuple[float, float]  # (cx, cy) [px]
    coefficients: tuple[float, ...] = ()  # the model's other parameters
    turn: tuple[float, float, float, float] = _UNTURNED
    """Rotation from the photo's camera to `pinhole`, wxyz: where a view of a panorama looks."""

    @property
    def is_panorama(self) -> bool:
        """Whether the photo shows all directions, so that one pinhole cannot."""
        return self.model == "EQUIRECTANGULAR"

    @property
    def is_pinhole(self) -> bool:
        """Whether a photo through this lens needs no change."""
        return _is_pinhole(self)

    @property
    def pinhole(self) -> Pinhole:
        """The camera of the undistorted picture."""
        return _panorama_view(self) if self.is_panorama else _pinhole(self)

    @property
    def widest_slope(self) -> float:
        """The tangent of the angle to the axis beyond which the lens bends back, or infinity.

        A polynomial would show parts of the photo a second time there.
        """
        return math.inf if self.is_panorama else _reach(self.model, self.coefficients)[0]

    def resized(self, size: tuple[int, int]) -> Lens:
        """The lens of the same photo at another size; each axis scales by its own ratio."""
        x, y = size[0] / self.size[0], size[1] / self.size[1]
        return replace(
            self,
            size=size,
            focal=(self.focal[0] * x, self.focal[1] * y),
            centre=(self.centre[0] * x, self.centre[1] * y),
        )

    def longest_side(self, max_size: int | None) -> int | None:
        """Of a photo whose undistorted picture has at most `max_size` pixels on a side."""
        if max_size is None or not self.is_panorama:
            return max_size
        return round(math.pi * max_size)

    def project(self, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
        """Where in the photo [px] rays of `pinhole` lie; NaN where the lens does not see them."""
        if self.turn != _UNTURNED:
            x, y, z = np.tensordot(rotation_matrix(self.turn).T, np.broadcast_arrays(x, y, z), 1)
        u, v = BY_NAME[self.model].project(x, y, z, *self.coefficients)
        return u * self.focal[0] + self.centre[0], v * self.focal[1] + self.centre[1]


def lens_of(camera: ColmapCamera) -> Lens:
    """The lens of a COLMAP camera.

    Raises:
        InputError: its focal length is not possible.
    """
    names = BY_NAME[camera.model].parameters.split()
    if names[0] == "w":
        width, height = camera.params
        params = (width / math.tau, height / math.pi, width / 2, height / 2)
    else:
        params = (camera.params[0], *camera.params) if names[0] == "f" else camera.params
    fx, fy, cx, cy, *coefficients = params
    if not (min(fx, fy) >= 1 and max(fx, fy) <= _FOCAL_LIMIT):
        raise InputError(
            f"camera {camera.camera_id} has focal lengths {fx:g} and {fy:g} pixels; "
            f"they must lie between 1 and {_FOCAL_LIMIT:g}"
        )
    size = (camera.width, camera.height)
    return Lens(camera.model, size, (fx, fy), (cx, cy), tuple(coefficients))


@lru_cache(maxsize=1024)
def _is_pinhole(lens: Lens) -> bool:
    if lens.is_panorama:
        return False
    pixels = np.stack(np.meshgrid(*(np.linspace(0, side, 33) for side in lens.size)))
    (fx, fy), (cx, cy) = lens.pinhole.focal, lens.pinhole.centre
    ones = np.ones_like(pixels[0])
    with np.errstate(all="ignore"):  # beyond what the lens sees
        bent = lens.project((pixels[0] - cx) / fx, (pixels[1] - cy) / fy, ones)
    return bool((abs(bent - pixels) < _UNSEEN).all())


def _panorama_view(lens: Lens) -> Pinhole:
    """90 degrees, with the panorama's own pixels per radian in the middle."""
    side = max(1, round(2 * lens.focal[0]))
    return Pinhole((side, side), (side / 2, side / 2), (side / 2, side / 2))


@lru_cache(maxsize=1024)
def _pinhole(lens: Lens) -> Pinhole:
    """Of the photo's size and principal point, with pixels as large as the photo's in the middle.

    A lens that sees more than such a pinhole gets a shorter focal length, until along one axis the
    pinhole sees all that the photo does, or 60 degrees. So the picture has no empty border.
    """
    _, slopes, radii = _reach(lens.model, lens.coefficients)
    right, below, left, above = radii[:: _SPOKES // 4]
    (width, height), (fx, fy), (cx, cy) = lens.size, lens.focal, lens.centre
    across = min(_scale((width - cx) / fx, slopes, right), _scale(cx / fx, slopes, left))
    down = min(_scale((height - cy) / fy, slopes, below), _scale(cy / fy, slopes, above))
    magnification = float(right[1] / slopes[1])  # of the axis: 1, but for FOV
    scale = round(min(magnification, max(across, down)), 6)
    if not 0.01 < scale < 100:  # parameters that no lens has
        scale = 1.0
    return Pinhole(lens.size, (lens.focal[0] * scale, lens.focal[1] * scale), lens.centre)


def _scale(side: float, slopes: Array, radii: Array) -> float:
    """The focal length, over the lens's own, at which a pinhole's edge is the photo's edge."""
    if side <= 0:  # the principal point lies outside
        return math.inf
    return side / min(float(np.interp(side, radii, slopes)), _WIDEST)


@lru_cache(maxsize=16)
def _reach(model: str, coefficients: tuple[float, ...]) -> tuple[float, Array, Array]:
    """How far from the axis a lens sees.

    Returns:
        The slope (tangent of the angle to the axis) at which, in some direction around the axis,
        the radius in the photo stops growing, or infinity; the slopes tried up to there, [A]; and
        their radii at focal length one, [_SPOKES, A], in directions that go around from x over y.
    """
    around = np.arange(_SPOKES)[:, None] * (math.tau / _SPOKES)
    x, y = _SLOPES * np.cos(around), _SLOPES * np.sin(around)
    with np.errstate(all="ignore"):
        u, v = BY_NAME[model].project(x, y, np.ones_like(x), *coefficients)
        radii = np.hypot(u, v)
        growing = (np.diff(radii) > 0).all(0)
    if growing.all():
        return math.inf, _SLOPES, radii
    end = max(2, int(np.argmin(growing)) + 1)
    return float(_SLOPES[end - 1]), _SLOPES[:end], radii[:, :end]
