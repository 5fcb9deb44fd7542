"""The camera of a frame, from the keys of instant-ngp, nerfstudio and Blender to COLMAP's."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from .. import limits
from ..document import Entry, Fault

_PERSPECTIVE = ("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "PERSPECTIVE")
_FISHEYE = ("OPENCV_FISHEYE", "FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")
_PANORAMA = "EQUIRECTANGULAR"
_KNOWN = (*_PERSPECTIVE, *_FISHEYE, _PANORAMA)
_NARROWEST = 1e-9  # radians; its tangent still divides
_WIDEST = 1e6  # radius at depth 1 of the corner of a photo; beyond it powers overflow
_FIT_ERROR = 0.1  # px; by how much a lens may differ from the one that stands in for it

Intrinsics = tuple[str, tuple[float, ...]]
"""Name and parameters of a COLMAP camera model."""


def size_of(frame: Entry) -> tuple[int, int] | None:
    """(width, height) [px] that a frame states, None if it leaves one of them to the photo."""
    sides = [frame.number(key) for key in ("w", "h")]
    if sides[0] is None or sides[1] is None:
        return None
    for key, side in zip("wh", sides, strict=True):
        # Some writers have "w": 1080.0.
        if side is None or not (1 <= side < limits.SIDE and side.is_integer()):
            raise Fault(
                f"{frame.at(key)} must be a whole number from 1 to {limits.SIDE}, not {side:g}"
            )
    return int(sides[0]), int(sides[1])


def intrinsics_of(frame: Entry, size: tuple[int, int]) -> Intrinsics:
    """The COLMAP camera of a frame whose photo was calibrated at `size`.

    Raises:
        Fault: keys are missing, of the wrong kind or contradict each other.
    """
    model = (frame.text("camera_model") or "OPENCV").upper()
    if model not in _KNOWN:
        raise Fault(f'{frame.at("camera_model")} is "{model[:40]}"; known are {", ".join(_KNOWN)}')
    if model == _PANORAMA:
        return _PANORAMA, (float(size[0]), float(size[1]))
    fx = _focal(frame, "x", size[0])
    fy = _focal(frame, "y", size[1])
    fx, fy = fy if fx is None else fx, fx if fy is None else fy
    if fx is None or fy is None:
        raise Fault(f"{frame.at('fl_x')} is missing, and so is camera_angle_x")
    cx, cy = frame.number("cx"), frame.number("cy")
    pinhole = (fx, fy, size[0] / 2 if cx is None else cx, size[1] / 2 if cy is None else cy)
    k1, k2, k3, k4, p1, p2 = frame.numbers("k1", "k2", "k3", "k4", "p1", "p2")
    if model in _FISHEYE or frame.values.get("is_fisheye") is True:
        return "OPENCV_FISHEYE", (*pinhole, k1, k2, k3, k4)
    if k4 and fx > 0 and fy > 0:
        farthest = math.hypot(*(max(c, s - c) / f for f, c, s in _axes(pinhole, size)))
        return "FULL_OPENCV", (*pinhole, *_rational((k1, k2, k3, k4), (p1, p2), farthest, fx))
    if k3:
        return "FULL_OPENCV", (*pinhole, k1, k2, p1, p2, k3, 0.0, 0.0, 0.0)
    if k1 or k2 or p1 or p2:
        return "OPENCV", (*pinhole, k1, k2, p1, p2)
    return "PINHOLE", pinhole


def _focal(frame: Entry, axis: str, side: int) -> float | None:
    """[px] by the key that states it: in pixels, or as an angle over the whole side."""
    focal = frame.number(f"fl_{axis}")
    if focal is not None:
        return focal
    angle = frame.number(f"camera_angle_{axis}")
    if angle is None:
        return None
    if not _NARROWEST < angle < math.pi:
        raise Fault(
            f"{frame.at(f'camera_angle_{axis}')} must be between 0 and pi radians, not {angle:g}"
        )
    return side / 2 / math.tan(angle / 2)


def _axes(
    pinhole: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[tuple[float, float, int], ...]:
    fx, fy, cx, cy = pinhole
    return (fx, cx, size[0]), (fy, cy, size[1])


def _rational(
    radial: tuple[float, ...], tangential: tuple[float, float], farthest: float, focal: float
) -> tuple[float, ...]:
    """OpenCV's k1 k2 p1 p2 k3 k4 k5 k6 that bend as the polynomial 1 + k1 r^2 + ... + k4 r^8 does,
    out to `farthest`, a radius at depth 1.

    COLMAP has no such polynomial; a quotient of cubics in r^2 comes close enough to it.
    """
    solution, error = _quotient(radial, farthest) if farthest < _WIDEST else ((), math.inf)
    if not error * focal < _FIT_ERROR:
        raise Fault(
            f"k4 = {radial[3]:g} bends the picture as no lens of COLMAP does; undistort the photos "
            "first"
        )
    return (*solution[:2], *tangential, *solution[2:])


@lru_cache(maxsize=16)  # most frames have one lens
def _quotient(radial: tuple[float, ...], farthest: float) -> tuple[tuple[float, ...], float]:
    """Three coefficients above and three below, and how far the quotient is off at depth 1."""
    square = np.linspace(0.0, farthest**2, 512)
    powers = square[:, None] ** np.arange(1, 4)
    bent = 1 + square[:, None] ** np.arange(1, 5) @ np.array(radial)
    # numerator = bent * denominator is linear in the six; columns are scaled alike.
    columns = np.concatenate([powers, -bent[:, None] * powers], axis=1)
    scale = np.abs(columns).max(0)
    scale[scale == 0] = 1
    with np.errstate(all="ignore"):
        solution = np.linalg.lstsq(columns / scale, bent - 1)[0] / scale
        quotient = (1 + powers @ solution[:3]) / (1 + powers @ solution[3:])
        error = float(np.abs(np.sqrt(square) * (quotient - bent)).max())
    return tuple(map(float, solution)), error
