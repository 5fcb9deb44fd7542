"""A camera path: smooth motion through keyframes.

Position and rotation are both cubic Bézier curves in cumulative form, the rotation by the
construction of Kim, Kim and Shin (A general construction scheme for unit quaternion curves with
simple high order derivatives, SIGGRAPH 1995), so one choice of velocities serves both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from viser import transforms

from ...scenes import InputError
from ..settings import Pose

Array = npt.NDArray[np.floating[Any]]

MIN_SECONDS, MAX_SECONDS = 0.001, 3600.0
"""Shortest and longest time between two keyframes."""

MAX_COORDINATE = 1e9
"""Largest coordinate of a position; a larger one is nonsense, and would overflow."""

MAX_FPS = 240
MAX_FRAMES = 20_000
"""Largest number of pictures of a path: eleven minutes at 30 per second."""

DEFAULT_FPS = 30
DEFAULT_SECONDS = 2.0

MAX_SPEED = 1.5
"""Largest speed at a keyframe, relative to the slower of the mean speeds before and after it. Up
to here the control points of a curve do not pass each other: on a straight way the curve never goes
back, and a pause stays a pause."""


@dataclass(frozen=True)
class Keyframe:
    """A keyframe of a camera path. Axes: x right, y down, z forward.

    Attributes:
        wxyz: quaternion of the rotation from camera to world axes, of length 0.5 to 2.
        position: camera centre in the world.
        fov: vertical field of view [radians].
        seconds: time to the next keyframe [s]; from the last one to the first in a loop.

    Raises:
        ValueError: a value is not finite or out of its range.
    """

    wxyz: tuple[float, float, float, float]
    position: tuple[float, float, float]
    fov: float
    seconds: float = DEFAULT_SECONDS

    def __post_init__(self) -> None:
        numbers = (*self.wxyz, *self.position, self.fov, self.seconds)
        if not all(map(math.isfinite, numbers)) or not 0.5 < math.hypot(*self.wxyz) < 2:
            raise ValueError("a keyframe needs finite numbers and a rotation")
        if max(map(abs, self.position)) > MAX_COORDINATE:
            raise ValueError(f"a position must be within {MAX_COORDINATE:g} of the origin")
        if not 0 < self.fov < math.pi:
            degrees = math.degrees(self.fov)
            raise ValueError(f"fov must be between 0 and 180 degrees, not {degrees:g}")
        if not MIN_SECONDS <= self.seconds <= MAX_SECONDS:
            raise ValueError(
                f"the time between two keyframes must be {MIN_SECONDS:g} to {MAX_SECONDS:g} "
                f"seconds, not {self.seconds:g}"
            )


@dataclass(frozen=True)
class CameraPath:
    """A camera path: passes its keyframes in order, at their times, with continuous velocities.

    Attributes:
        keyframes: keyframes in the order of their times.
        fps: pictures per second, 1 to MAX_FPS.
        loop: whether the path goes on from the last keyframe to the first.

    Raises:
        ValueError: `fps` is out of its range.
    """

    keyframes: tuple[Keyframe, ...] = ()
    fps: int = DEFAULT_FPS
    loop: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.fps <= MAX_FPS:
            raise ValueError(f"fps must be between 1 and {MAX_FPS}, not {self.fps}")

    @property
    def duration(self) -> float:
        """Seconds from the first keyframe to the last one, or back to the first in a loop."""
        return float(self._times()[-1])

    @property
    def frames(self) -> int:
        """Number of pictures: 0 without keyframes. A loop does not repeat its first one."""
        if not self.keyframes:
            return 0
        return max(round(self.duration * self.fps) + (not self.loop), 1)

    def pose_at(self, seconds: float, canvas: tuple[int, int]) -> Pose:
        """The pose at a time, in pictures of the size `canvas` (width, height) [px].

        Unless the path is a loop, the camera rests before the first and after the last keyframe.
        The path must have a keyframe.
        """
        (pose,) = self._poses(np.array([seconds]), canvas)
        return pose

    def poses(self, canvas: tuple[int, int]) -> list[Pose]:
        """The poses of all `frames`, evenly spaced in time.

        Raises:
            InputError: there are more than MAX_FRAMES.
        """
        if self.frames > MAX_FRAMES:
            raise InputError(
                f"the camera path has {self.frames:,} frames, but at most {MAX_FRAMES:,} are "
                "possible: lower its frames per second, or its seconds"
            )
        if not self.keyframes:
            return []
        end = not self.loop
        return self._poses(np.linspace(0, self.duration, self.frames, endpoint=end), canvas)

    def line(self, points: int) -> Array:
        """[P, 3] positions along the path: `points` from each keyframe to the next, and the end.

        The path must have a keyframe.
        """
        times = self._times()
        steps = np.linspace(times[:-1], times[1:], points, endpoint=False, axis=1)
        return self._views(np.append(steps, times[-1]))[1]

    def _times(self) -> Array:
        """[S + 1] start times of the S segments between keyframes, and the end of the last [s]."""
        count = len(self.keyframes)
        segments = (count if self.loop else count - 1) if count > 1 else 0
        return np.cumsum([0.0, *(each.seconds for each in self.keyframes[:segments])])

    def _poses(self, seconds: Array, canvas: tuple[int, int]) -> list[Pose]:
        wxyz, positions, fovs = (array.tolist() for array in self._views(seconds))
        return [
            Pose((w, x, y, z), (px, py, pz), fov, canvas)
            for (w, x, y, z), (px, py, pz), (fov,) in zip(wxyz, positions, fovs, strict=True)
        ]

    def _views(self, seconds: Array) -> tuple[Array, Array, Array]:
        """Rotations [T, 4], positions [T, 3] and fields of view [T, 1] at the times `seconds`."""
        rotations = np.array([each.wxyz for each in self.keyframes], float)
        rotations /= np.linalg.norm(rotations, axis=1, keepdims=True)
        positions = np.array([each.position for each in self.keyframes], float)
        # In this logarithm a steady zoom looks steady, and no curve of angles leaves 0 to pi.
        zooms = np.log(np.tan([[0.5 * each.fov] for each in self.keyframes]))
        times = self._times()
        if len(times) == 1:
            alone = np.zeros(len(seconds), int)
            return rotations[alone], positions[alone], _fovs(zooms[alone])
        seconds = seconds % times[-1] if self.loop else np.clip(seconds, 0, times[-1])
        way = _Way(np.diff(times), self.loop, *_places(seconds, times))
        return way.turned(rotations), way.moved(positions), _fovs(way.moved(zooms))


@dataclass(frozen=True)
class _Way:
    """Curves through K keyframes, evaluated at T times."""

    lengths: Array  # [S] seconds from each keyframe to the next
    loop: bool  # S is K, or else K - 1
    index: npt.NDArray[np.intp]  # [T] the segment of each time
    weights: tuple[Array, Array, Array]  # [T, 1] each: how much of its three legs is behind

    def moved(self, values: Array) -> Array:
        """[T, D] interpolation of the vectors `values` [K, D]."""
        start, end = self._ends(values)
        first, last = self._legs(end - start)
        result = start[self.index]
        for weight, leg in zip(
            self.weights, (first, end - start - first - last, last), strict=True
        ):
            result = result + weight * leg[self.index]
        return result

    def turned(self, wxyz: Array) -> Array:
        """[T, 4] interpolation of the unit quaternions `wxyz` [K, 4]."""
        start, end = (transforms.SO3(each) for each in self._ends(wxyz))
        whole = start.inverse() @ end
        # A step is a rotation vector of at most half a turn, the same for a quaternion and its
        # negative. It has the same coordinates in the axes of the camera at both its ends.
        first, last = self._legs(whole.log())
        exp = transforms.SO3.exp
        middle = (exp(-first) @ whole @ exp(-last)).log()
        result = transforms.SO3(start.wxyz[self.index])
        for weight, leg in zip(self.weights, (first, middle, last), strict=True):
            result = result @ exp(weight * leg[self.index])
        return result.normalize().wxyz

    def _ends(self, values: Array) -> tuple[Array, Array]:
        """`values` [K, D] at the start and at the end of each segment, [S, D] each."""
        count = len(self.lengths)
        return values[:count], np.roll(values, -1, axis=0)[:count]

    def _legs(self, steps: Array) -> tuple[Array, Array]:
        """First and last leg of the control polygon of each segment, [S, D] each, given its whole
        step [S, D]."""
        start, end = self._ends(_speeds(steps / self.lengths[:, None], self.lengths, self.loop))
        third = self.lengths[:, None] / 3
        return third * start, third * end


def _fovs(zooms: Array) -> Array:
    """Fields of view, given the logarithms of the tangents of their halves."""
    return 2 * np.arctan(np.exp(zooms))


def _places(
    seconds: Array, times: Array
) -> tuple[npt.NDArray[np.intp], tuple[Array, Array, Array]]:
    """`index` and `weights` of a `_Way` at `seconds` [T], with segments between `times` [S + 1]."""
    index = np.clip(np.searchsorted(times, seconds, side="right") - 1, 0, len(times) - 2)
    s = ((seconds - times[index]) / np.diff(times)[index])[:, None]
    # The cumulative Bernstein polynomials.
    return index, (1 - (1 - s) ** 3, s * s * (3 - 2 * s), s**3)


def _speeds(means: Array, lengths: Array, loop: bool) -> Array:
    """Velocities [K, D] at keyframes, given the mean ones [S, D] and times [S] between them.

    An inner velocity is that of the parabola through a keyframe and its two neighbours; at the
    ends the acceleration is zero. All are cut to MAX_SPEED.
    """
    before, after = np.roll(means, 1, axis=0), means
    time_before, time_after = np.roll(lengths, 1)[:, None], lengths[:, None]
    speeds = (before * time_after + after * time_before) / (time_before + time_after)
    speeds = _cut(speeds, MAX_SPEED * np.minimum(_norm(before), _norm(after)))
    if loop:
        return speeds
    inner = speeds[1:]  # the first one joins the two ends
    beside = (inner[:1], inner[-1:]) if len(inner) else (means, means)
    first, last = (
        _cut((3 * mean - speed) / 2, MAX_SPEED * _norm(mean))
        for mean, speed in zip((means[:1], means[-1:]), beside, strict=True)
    )
    return np.vstack([first, inner, last])


def _cut(vectors: Array, lengths: Array) -> Array:
    """`vectors` [K, D], shortened to at most `lengths` [K, 1]."""
    return vectors * np.minimum(1, lengths / np.maximum(_norm(vectors), 1e-300))


def _norm(vectors: Array) -> Array:
    return np.linalg.norm(vectors, axis=1, keepdims=True)
