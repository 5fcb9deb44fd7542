"""Prediction of a moving camera: where it will be when a picture of it is shown."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
from viser import transforms

from ..settings import Pose

REMEMBERED = 0.08
"""Seconds of poses from which the velocity is taken."""

SHORTEST = 0.025
"""Shortest time between two poses that gives a velocity [s]: messages arrive in bunches."""

FARTHEST = 0.1
"""Longest time that is predicted ahead [s]."""

SILENCE = 0.05
"""Time without a new pose after which the camera has stopped [s]."""


class Motion:
    """Predictor of a camera's pose, at constant velocity and angular velocity.

    A page sends a pose whenever its camera has moved, so silence means that it stands.
    """

    def __init__(self) -> None:
        self._poses: deque[tuple[float, Pose]] = deque(maxlen=16)

    def add(self, pose: Pose, now: float) -> None:
        """Record the pose of the camera."""
        if self._poses:
            before, last = self._poses[-1]
            if now - before > SILENCE or (last.fov, last.canvas) != (pose.fov, pose.canvas):
                self._poses.clear()
        self._poses.append((now, pose))

    def at(self, time: float, now: float) -> Pose | None:
        """The pose expected at `time`; the last one without a velocity; None without any pose."""
        if not self._poses:
            return None
        last_at, last = self._poses[-1]
        first_at, first = next(each for each in self._poses if each[0] >= last_at - REMEMBERED)
        span = last_at - first_at
        if span < SHORTEST or now - last_at > SILENCE or time <= last_at:
            return last
        share = min(time - last_at, FARTHEST) / span
        position = [b + share * (b - a) for a, b in zip(first.position, last.position, strict=True)]
        start, end = (transforms.SO3(np.array(each.wxyz)) for each in (first, last))
        turned = transforms.SO3.exp(share * (end @ start.inverse()).log()) @ end
        w, x, y, z = (float(each) for each in turned.normalize().wxyz)
        return replace(last, position=(position[0], position[1], position[2]), wxyz=(w, x, y, z))
