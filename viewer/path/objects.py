"""Frustums and line of a camera path in one browser's scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import viser

from ..reports import reported
from .path import CameraPath

COLOR = (90, 200, 250)
SELECTED_COLOR = (255, 90, 130)

LINE_POINTS = 16
"""Straight segments of the line from one keyframe to the next."""

SCALE = 0.15
"""Size of a frustum, relative to the distance of neighbouring keyframes."""


class PathObjects:
    """Scene objects of a camera path: a frustum for each keyframe, and a line.

    `clicked` gets the index of a clicked frustum, on the server's event loop.
    """

    def __init__(self, client: viser.ClientHandle, clicked: Callable[[int], None]) -> None:
        self._client = client
        self._clicked = clicked
        self._handles: list[viser.SceneNodeHandle] = []
        self._shown: object = None

    def show(self, path: CameraPath, selected: int, aspect: float, lonely: float) -> None:
        """Draw `path` instead of the one before; without keyframes, nothing.

        `selected` is the index of the highlighted keyframe. The frustums have this `aspect` (width
        over height); their size follows their distances, or is `lonely` without two of them apart.
        """
        wanted = (path.keyframes, path.loop, selected, aspect)
        if wanted == self._shown:  # a new frame rate alone must not cost hundreds of messages
            return
        self._shown = wanted
        with self._client.atomic():
            while self._handles:
                self._handles.pop().remove()
            scale = _scale(path) or lonely
            self._handles = [
                self._add_frustum(path, number, selected, aspect, scale)
                for number in range(len(path.keyframes))
            ]
            if len(path.keyframes) > 1:
                self._handles.append(self._add_line(path))

    def _add_frustum(
        self, path: CameraPath, number: int, selected: int, aspect: float, scale: float
    ) -> viser.SceneNodeHandle:
        keyframe = path.keyframes[number]
        handle = self._client.scene.add_camera_frustum(
            f"/camera_path/{number}",
            fov=keyframe.fov,
            aspect=aspect,
            scale=scale,
            thickness=2.0,
            thickness_units="screen",
            color=SELECTED_COLOR if number == selected else COLOR,
            wxyz=keyframe.wxyz,
            position=keyframe.position,
            cast_shadow=False,
            receive_shadow=False,
        )

        @handle.on_click
        @reported
        async def _(_: Any) -> None:
            self._clicked(number)

        return handle

    def _add_line(self, path: CameraPath) -> viser.SceneNodeHandle:
        points = path.line(LINE_POINTS).astype(np.float32)
        return self._client.scene.add_line_segments(
            "/camera_path/line",
            np.stack([points[:-1], points[1:]], axis=1),
            COLOR,
            thickness=2.0,
            thickness_units="screen",
        )


def _scale(path: CameraPath) -> float:
    """Size of the frustums; 0 where all keyframes are at one place."""
    positions = np.array([each.position for each in path.keyframes]).reshape(-1, 3)
    distances = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    return SCALE * float(np.median(distances[distances > 0])) if distances.any() else 0.0
