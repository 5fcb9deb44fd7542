"""The formulas of COLMAP's camera models.

Each function takes rays x, y, z of the camera (any length; x right, y down, z forward) and the
model's coefficients, in COLMAP's order, and gives the picture at focal length one: u, v of the
principal point's (0, 0). Where a model has no picture of a ray, u and v are NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Picture = tuple[Array, Array]
Projection = Callable[..., Picture]
"""From x, y, z of one shape and the coefficients to u, v of that shape."""


def perspective(x: Array, y: Array, z: Array) -> Picture:
    """A pinhole."""
    depth = np.where(z > 0, z, np.nan)
    return x / depth, y / depth


def radial(x: Array, y: Array, z: Array, *k: float) -> Picture:
    """A pinhole, its radius r times 1 + k1 r^2 + k2 r^4 + ..."""
    u, v = perspective(x, y, z)
    growth = _polynomial(u * u + v * v, *k)
    return u * growth, v * growth


def opencv(x: Array, y: Array, z: Array, *coefficients: float) -> Picture:
    """OpenCV's lens: radial, rational where there are k3 to k6, and tangential."""
    k1, k2, p1, p2, *more = coefficients
    u, v = perspective(x, y, z)
    r2 = u * u + v * v
    growth = _polynomial(r2, k1, k2, *more[:1]) / _polynomial(r2, *more[1:])
    du, dv = _tangential(u, v, p1, p2)
    return u * growth + du, v * growth + dv


def division(x: Array, y: Array, z: Array, k: float) -> Picture:
    """The inverse of Fitzgibbon's division: a pinhole's radius is r / (1 + k r^2)."""
    u, v = perspective(x, y, z)
    root = 1 - 4 * k * (u * u + v * v)
    growth = 2 / (1 + np.sqrt(np.where(root >= 0, root, np.nan)))
    return u * growth, v * growth


def field_of_view(x: Array, y: Array, z: Array, omega: float) -> Picture:
    """Devernay and Faugeras's lens: the radius is atan(2 r tan(omega / 2)) / omega."""
    u, v = perspective(x, y, z)
    if omega == 0:  # its limit
        return u, v
    slope = 2 * np.tan(omega / 2)
    r = np.hypot(u, v)
    growth = _ratio(np.arctan(slope * r), omega * r, slope / omega)
    return u * growth, v * growth


def unified(x: Array, y: Array, z: Array, alpha: float, beta: float) -> Picture:
    """The enhanced unified camera model of Khomutenko and others."""
    distance = np.sqrt(beta * (x * x + y * y) + z * z)
    depth = alpha * distance + (1 - alpha) * z
    depth = np.where(depth > 0, depth, np.nan)
    return x / depth, y / depth


def fisheye(x: Array, y: Array, z: Array, *k: float) -> Picture:
    """The radius is the angle a to the axis, times 1 + k1 a^2 + k2 a^4 + ..."""
    u, v = _equidistant(x, y, z)
    growth = _polynomial(u * u + v * v, *k)
    return u * growth, v * growth


def thin_prism_fisheye(x: Array, y: Array, z: Array, *coefficients: float) -> Picture:
    """A fisheye, with tangential and thin-prism terms of the undistorted radius."""
    k1, k2, p1, p2, k3, k4, sx, sy = coefficients
    u, v = _equidistant(x, y, z)
    r2 = u * u + v * v
    growth = _polynomial(r2, k1, k2, k3, k4)
    du, dv = _tangential(u, v, p1, p2)
    return u * growth + du + sx * r2, v * growth + dv + sy * r2


def rad_tan_thin_prism_fisheye(x: Array, y: Array, z: Array, *coefficients: float) -> Picture:
    """Project Aria's fisheye: tangential and thin-prism terms of the radius after distortion."""
    p0, p1, s0, s1, s2, s3 = coefficients[6:]
    u, v = fisheye(x, y, z, *coefficients[:6])
    r2 = u * u + v * v
    du, dv = _tangential(u, v, p1, p0)
    return u + du + r2 * (s0 + s1 * r2), v + dv + r2 * (s2 + s3 * r2)


def equirectangular(x: Array, y: Array, z: Array) -> Picture:
    """Longitude and latitude [rad], of all directions."""
    return np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))


def _equidistant(x: Array, y: Array, z: Array) -> Picture:
    r = np.hypot(x, y)
    growth = _ratio(np.arctan2(r, z), r, 1.0)  # at the axis x and y are 0
    return x * growth, y * growth


def _polynomial(square: Array, *k: float) -> Array:
    """1 + k1 s + k2 s^2 + ..."""
    total = np.zeros_like(square)
    for coefficient in reversed(k):
        total = (total + coefficient) * square
    return 1 + total


def _tangential(u: Array, v: Array, p1: float, p2: float) -> Picture:
    r2 = u * u + v * v
    return 2 * p1 * u * v + p2 * (r2 + 2 * u * u), 2 * p2 * u * v + p1 * (r2 + 2 * v * v)


def _ratio(above: Array, below: Array, limit: float) -> Array:
    """above / below, and `limit` where both are 0."""
    return np.divide(above, below, out=np.full_like(below, limit), where=below != 0)
