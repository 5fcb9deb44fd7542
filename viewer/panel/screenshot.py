"""Screenshots of one browser's view, of any size."""

from __future__ import annotations

from functools import partial
from typing import Any

import cv2
import numpy as np
import viser

from ..background import BackgroundTasks
from ..camera import pose_of
from ..download import send_file
from ..picture.paint import DEFAULT_SIZE, Draw, Drawing
from ..settings import Pose
from ..values import whole

MAX_SIDE = 16384
"""Largest width and height [px]."""


class Screenshot:
    """Screenshot controls, added where the caller is building the panel of `client`.

    The size that is offered is that of the page's canvas, until a person chooses another.
    """

    def __init__(
        self,
        client: viser.ClientHandle,
        tasks: BackgroundTasks,
        drawing: Drawing,
    ) -> None:
        self._client, self._tasks, self._drawing = client, tasks, drawing
        self._saved = 0
        self._offered = _canvas(client.camera) or DEFAULT_SIZE
        width, height = self._offered
        gui = client.gui
        self._width = gui.add_number("Screenshot width", width, min=1, max=MAX_SIDE, step=1)
        self._height = gui.add_number("Screenshot height", height, min=1, max=MAX_SIDE, step=1)
        self._button = gui.add_button("Save screenshot", hint="As PNG, from where you look now")
        self._button.on_click(self._clicked)
        client.camera.on_update(self._camera_moved)

    # The event loop runs these, so they return at once. A page may send anything.

    async def _camera_moved(self, camera: viser.CameraHandle) -> None:
        canvas = _canvas(camera)
        if canvas not in (None, self._offered) and self._size() == self._offered:
            self._offered = canvas
            self._width.value, self._height.value = canvas

    async def _clicked(self, _: Any) -> None:
        pose, size = pose_of(self._client.camera), self._size()
        if pose is not None:
            save = partial(self._save, pose, size, self._drawing())
            self._tasks.run("Save screenshot", save)

    def _size(self) -> tuple[int, int]:
        return _allowed(self._width.value), _allowed(self._height.value)

    def _save(self, pose: Pose, size: tuple[int, int], draw: Draw) -> None:
        with self._tasks.memory(draw.memory(size)) as memory:
            png = self._drawn(pose, size, draw)
            memory.shrink(len(png))
            self._saved += 1
            send_file(self._client, f"gaborsplat-{self._saved}.png", png, self._tasks.check)

    def _drawn(self, pose: Pose, size: tuple[int, int], draw: Draw) -> bytes:
        """The picture as a PNG."""
        picture = draw.picture(pose, size)
        self._tasks.check()
        done, png = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
        if not done:
            raise OSError("OpenCV cannot write this PNG")
        return png.tobytes()


def _canvas(camera: viser.CameraHandle) -> tuple[int, int] | None:
    """Size of the page's canvas, cut to what is allowed; None without a canvas."""
    pose = pose_of(camera)
    return pose and (_allowed(pose.canvas[0]), _allowed(pose.canvas[1]))


def _allowed(side: object) -> int:
    return whole(side, 1, MAX_SIDE)
