"""Rendering a camera path to a video, from the panel of one browser."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import viser

from ..background import BackgroundTasks
from ..download import send_file
from ..picture.paint import DEFAULT_SIZE, Draw, Drawing, Picture
from ..picture.video import write_video
from ..settings import Pose
from ..values import whole
from .path import CameraPath

MIN_SIDE = 16
MAX_SIZE = (3840, 2160)
"""Smallest side, and largest width and height, of the video [px]."""

PROGRESS_INTERVAL = 0.2
"""Seconds between two updates of the progress bar."""


class PathVideo:
    """Video controls, added where the caller is building the panel of `client`.

    `path` gives the present path, on the server's event loop.
    """

    def __init__(
        self,
        client: viser.ClientHandle,
        tasks: BackgroundTasks,
        drawing: Drawing,
        path: Callable[[], CameraPath],
    ) -> None:
        self._client, self._tasks = client, tasks
        self._drawing, self._path = drawing, path
        (width, height), (widest, highest) = DEFAULT_SIZE, MAX_SIZE
        gui = client.gui
        self.width = gui.add_number("Video width", width, min=MIN_SIDE, max=widest, step=2)
        self.height = gui.add_number("Video height", height, min=MIN_SIDE, max=highest, step=2)
        self.button = gui.add_button("Render video", hint="As mp4, drawn as the panel says")
        self._progress = gui.add_progress_bar(0, visible=False)
        self._cancel = gui.add_button("Cancel video", visible=False)
        self.button.on_click(self._clicked)
        self._cancel.on_click(self._cancelled)

    @property
    def size(self) -> tuple[int, int]:
        """The chosen (width, height) [px], cut to what is allowed: a page may send anything."""
        width, height = (
            whole(side, MIN_SIDE, most)
            for side, most in zip((self.width.value, self.height.value), MAX_SIZE, strict=True)
        )
        return width - width % 2, height - height % 2  # video codecs halve the resolution of colour

    async def _clicked(self, _: Any) -> None:
        path = self._path()
        if path.keyframes:
            self._tasks.run("Render video", partial(self._render, path, self.size, self._drawing()))

    async def _cancelled(self, _: Any) -> None:
        if self._cancel.visible:  # not the work of another part of the panel
            self._tasks.stop()

    # The thread of a background task runs these.

    def _render(self, path: CameraPath, size: tuple[int, int], draw: Draw) -> None:
        poses = path.poses(size)
        with self._progress_bar(), tempfile.TemporaryDirectory(prefix="gaborsplat-") as folder:
            film = Path(folder) / "camera_path.mp4"
            write_video(film, self._frames(poses, size, draw), size, path.fps)
            self._tasks.check()
            send_file(self._client, film.name, film.read_bytes(), self._tasks.check)

    def _frames(
        self, poses: list[Pose], size: tuple[int, int], draw: Draw
    ) -> Generator[Picture, None, None]:
        """Pictures [H, W, 3] BGR at the poses, one by one."""
        due = 0.0
        for number, pose in enumerate(poses):
            self._tasks.check()
            if time.monotonic() > due:
                self._progress.value = 100 * number / len(poses)
                due = time.monotonic() + PROGRESS_INTERVAL
            # A picture at a time, so that a long video holds nobody up.
            with self._tasks.memory(draw.memory(size)):
                picture = np.ascontiguousarray(draw.picture(pose, size)[..., ::-1])
            yield picture

    @contextmanager
    def _progress_bar(self) -> Generator[None, None, None]:
        self._progress.visible = self._cancel.visible = True
        try:
            yield
        finally:
            if not self._tasks.closed:
                self._progress.visible = self._cancel.visible = False
