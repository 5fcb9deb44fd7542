"""The camera path editor of one browser's panel: keyframes, preview, file and video."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import viser

from ...scenes import InputError
from ..background import BackgroundTasks
from ..camera import Bounds, Vector, camera_at, go_to, outlook_of, pose_of
from ..download import send_file
from ..picture.paint import Drawing
from ..settings import Pose
from ..values import number, whole
from .file import MAX_KEYFRAMES, Placement, path_from_json, path_to_json
from .objects import PathObjects
from .path import (
    DEFAULT_FPS,
    DEFAULT_SECONDS,
    MAX_COORDINATE,
    MAX_FPS,
    MAX_SECONDS,
    MIN_SECONDS,
    CameraPath,
    Keyframe,
)
from .video import PathVideo

MAX_FILE = 20 * 2**20
"""Largest file that is loaded [bytes], twice that of the longest path."""

PREVIEW_INTERVAL = 1 / 30
"""Seconds between two poses of a preview."""

LONELY = 0.1
"""Size of a frustum without neighbours, relative to the distance of what the camera looks at."""

NO_KEYFRAME = "none"
GO_TO, REPLACE, DELETE = "Go to", "Replace", "Delete"


class PathPanel:
    """Controls of a camera path, added where the caller is building the panel of `client`.

    Positions in files are where `placement` puts those of the path. Wherever the camera is sent, it
    orbits around the axis `up` there. `changed` is called when `visible` may have changed. All
    callbacks run on the server's event loop, so they must return at once.
    """

    def __init__(
        self,
        client: viser.ClientHandle,
        tasks: BackgroundTasks,
        drawing: Drawing,
        placement: Placement,
        up: Callable[[], Vector],
        changed: Callable[[], None],
    ) -> None:
        self._client, self._tasks, self._placement = client, tasks, placement
        self._up, self._changed = up, changed
        self._objects = PathObjects(client, self._go_to)
        # Only the event loop uses these; a background task gets the path as it is at its start.
        self._path = CameraPath()
        self._selected = 0
        self._playing = False
        self._add_keyframe_controls(client.gui)
        self._add_path_controls(client.gui)
        self._video = PathVideo(client, self._tasks, drawing, lambda: self._path)
        self._show_controls()
        self._listen()

    @property
    def visible(self) -> bool:
        """Whether the path is drawn among the splats."""
        return bool(self._path.keyframes and self._shown.value and not self._playing)

    def _add_keyframe_controls(self, gui: viser.GuiApi) -> None:
        self._add = gui.add_button("Add keyframe", hint="Here, after the chosen keyframe")
        self._chosen = gui.add_dropdown("Keyframe", _names(self._path))
        self._edit = gui.add_button_group(
            "Edit", (GO_TO, REPLACE, DELETE), hint="Replace it by the view from here"
        )
        self._seconds = gui.add_number(
            "Seconds to next",
            DEFAULT_SECONDS,
            min=MIN_SECONDS,
            max=MAX_SECONDS,
            step=0.1,
            hint="From the chosen keyframe to the next one",
        )

    def _add_path_controls(self, gui: viser.GuiApi) -> None:
        self._loop = gui.add_checkbox(
            "Loop", self._path.loop, hint="Go on from the last keyframe to the first"
        )
        self._fps = gui.add_number("Frames per second", self._path.fps, min=1, max=MAX_FPS, step=1)
        self._shown = gui.add_checkbox(
            "Show path", True, hint="Among the splats; click a keyframe to go there"
        )
        self._told = gui.add_html("")
        self._preview = gui.add_button("Preview")
        self._save = gui.add_button(
            "Save path", hint="As JSON; gaborsplat render --path renders along it"
        )
        self._load = gui.add_upload_button("Load path", mime_type="application/json")
        self._clear = gui.add_button("Clear path")

    def _listen(self) -> None:
        self._add.on_click(self._add_clicked)
        self._edit.on_click(self._edit_clicked)
        self._clear.on_click(self._clear_clicked)
        self._preview.on_click(self._preview_clicked)
        self._save.on_click(self._save_clicked)
        self._load.on_upload(self._uploaded)
        self._chosen.on_update(self._chosen_changed)
        self._seconds.on_update(self._seconds_changed)
        settings = (self._loop, self._fps, self._shown, self._video.width, self._video.height)
        for control in settings:
            control.on_update(self._settings_changed)

    # The event loop runs these, so they return at once. A page may send anything.

    async def _add_clicked(self, _: Any) -> None:
        keyframe, keyframes = self._keyframe_here(), self._path.keyframes
        if keyframe is not None and len(keyframes) < MAX_KEYFRAMES:
            at = self._selected + 1 if keyframes else 0
            self._set_keyframes((*keyframes[:at], keyframe, *keyframes[at:]), at)

    async def _edit_clicked(self, _: Any) -> None:
        keyframes, at = self._path.keyframes, self._selected
        if not keyframes:
            return
        if self._edit.value == GO_TO:
            self._go_to(at)
        elif self._edit.value == REPLACE:
            here = self._keyframe_here() or keyframes[at]
            self._set_keyframes((*keyframes[:at], here, *keyframes[at + 1 :]), at)
        elif self._edit.value == DELETE:
            self._set_keyframes((*keyframes[:at], *keyframes[at + 1 :]), max(at - 1, 0))

    async def _clear_clicked(self, _: Any) -> None:
        self._set_keyframes((), 0)

    async def _chosen_changed(self, _: Any) -> None:
        names = _names(self._path)
        if self._chosen.value in names and names.index(self._chosen.value) != self._selected:
            self._set(self._path, names.index(self._chosen.value))

    async def _seconds_changed(self, _: Any) -> None:
        keyframes, at = self._path.keyframes, self._selected
        if keyframes and self._chosen_seconds() != keyframes[at].seconds:
            here = replace(keyframes[at], seconds=self._chosen_seconds())
            self._set_keyframes((*keyframes[:at], here, *keyframes[at + 1 :]), at)

    async def _settings_changed(self, _: Any) -> None:
        path = replace(self._path, fps=self._chosen_fps(), loop=bool(self._loop.value))
        self._set(path, self._selected)

    async def _preview_clicked(self, _: Any) -> None:
        stand = _Stand.of(self._client.camera, self._up())
        if self._playing:
            self._tasks.stop()
        elif self._path.duration > 0 and stand is not None:
            play = partial(self._play, self._path, stand, asyncio.get_running_loop())
            self._set_playing(self._tasks.run("Preview", play))

    async def _save_clicked(self, _: Any) -> None:
        if self._path.keyframes:
            save = partial(self._save_path, self._path, self._video.size)
            self._tasks.run("Save path", save)

    async def _uploaded(self, event: viser.GuiEvent[viser.GuiUploadButtonHandle]) -> None:
        load = partial(self._load_path, event.target.value, asyncio.get_running_loop())
        self._tasks.run("Load path", load)

    def _go_to(self, number: int) -> None:
        """Select a keyframe and move the camera there."""
        stand = _Stand.of(self._client.camera, self._up())
        if number < len(self._path.keyframes) and stand is not None:
            self._set(self._path, number)
            each = self._path.keyframes[number]
            stand.look(self._client, Pose(each.wxyz, each.position, each.fov, stand.canvas))

    def _set_keyframes(self, keyframes: tuple[Keyframe, ...], selected: int) -> None:
        self._set(replace(self._path, keyframes=keyframes), selected)

    def _set(self, path: CameraPath, selected: int) -> None:
        self._path, self._selected = path, selected
        self._show_controls()
        self._show_objects()

    def _set_playing(self, playing: bool) -> None:
        if self._tasks.closed:
            return
        self._playing = playing
        self._preview.label = "Stop preview" if playing else "Preview"
        self._show_objects()

    def _show_controls(self) -> None:
        """Update the controls to the path.

        A control that agrees with it already is left as it is: a person may be typing in it.
        """
        path, names = self._path, _names(self._path)
        if self._chosen.options != names:
            self._chosen.options = names
        self._chosen.value = names[self._selected]
        if path.keyframes and self._chosen_seconds() != path.keyframes[self._selected].seconds:
            self._seconds.value = path.keyframes[self._selected].seconds
        if self._chosen_fps() != path.fps:
            self._fps.value = path.fps
        self._loop.value = path.loop
        self._preview.disabled = path.duration == 0
        for button in (self._save, self._video.button, self._clear):
            button.disabled = not path.keyframes
        self._add.disabled = len(path.keyframes) >= MAX_KEYFRAMES
        self._told.content = (
            '<div style="padding:0.3em 0.9em;font-size:0.85em;opacity:0.65">'
            f"{path.duration:.1f} s, {path.frames:,} frames</div>"
        )

    def _show_objects(self) -> None:
        width, height = self._video.size
        stand = _Stand.of(self._client.camera, self._up())
        lonely = LONELY * (stand.around.radius if stand is not None else 1.0)
        shown = self._path if self.visible else CameraPath()
        self._objects.show(shown, self._selected, width / height, lonely)
        self._changed()

    # Values of the controls, cut to what is allowed.

    def _chosen_seconds(self) -> float:
        return number(self._seconds.value, MIN_SECONDS, MAX_SECONDS, DEFAULT_SECONDS)

    def _chosen_fps(self) -> int:
        return whole(self._fps.value, 1, MAX_FPS, DEFAULT_FPS)

    def _keyframe_here(self) -> Keyframe | None:
        """A keyframe at the browser's camera; None if its pose is invalid."""
        pose = pose_of(self._client.camera)
        try:
            return pose and Keyframe(pose.wxyz, pose.position, pose.fov, self._chosen_seconds())
        except ValueError:
            return None

    # The thread of a background task runs these.

    def _play(self, path: CameraPath, stand: _Stand, loop: asyncio.AbstractEventLoop) -> None:
        try:
            begin, now = time.monotonic(), 0.0
            while path.loop or now < path.duration:
                self._tasks.check()
                now = time.monotonic() - begin
                stand.look(self._client, path.pose_at(now, stand.canvas))
                self._tasks.stopping.wait(PREVIEW_INTERVAL)
        finally:
            _on_loop(loop, self._set_playing, False)

    def _save_path(self, path: CameraPath, size: tuple[int, int]) -> None:
        content = path_to_json(path, size, self._placement).encode()
        self._tasks.check()
        send_file(self._client, "camera_path.json", content, self._tasks.check)

    def _load_path(self, file: viser.UploadedFile, loop: asyncio.AbstractEventLoop) -> None:
        if len(file.content) > MAX_FILE:
            raise InputError(f"{file.name}: larger than {MAX_FILE / 2**20:g} MiB")
        try:
            path = path_from_json(file.content, self._placement)
        except InputError as error:
            raise InputError(f"{file.name}: {error}") from error
        self._tasks.check()
        _on_loop(loop, self._set, path, 0)


@dataclass(frozen=True)
class _Stand:
    """State of a browser's camera, for moving it such that orbiting goes on as before."""

    canvas: tuple[int, int]
    around: Bounds  # the point looked at, and its distance
    up: Vector  # not the page's own, which a look straight down turns away from the scene's

    @classmethod
    def of(cls, camera: viser.CameraHandle, up: Vector) -> _Stand | None:
        """State of `camera`; None while it is invalid, with which viser would not work either."""
        pose = pose_of(camera)
        told = (*camera.look_at, *camera.up_direction)
        if pose is None or len(told) != 6 or not any(camera.up_direction):
            return None
        if not (np.abs([*told, *pose.position]) < MAX_COORDINATE).all():
            return None
        look_at = np.array(camera.look_at, float)
        distance = float(np.linalg.norm(look_at - pose.position))
        return cls(pose.canvas, Bounds(look_at, distance or 1.0), up)

    def look(self, client: viser.ClientHandle, pose: Pose) -> None:
        """Move the browser's camera to `pose`."""
        outlook = outlook_of(camera_at(pose, pose.canvas), self.up, self.around)
        with suppress(ValueError):  # the page may have sent invalid values by now
            go_to(client, outlook)


def _names(path: CameraPath) -> tuple[str, ...]:
    """Labels of the keyframes in the panel."""
    return tuple(str(number) for number in range(1, len(path.keyframes) + 1)) or (NO_KEYFRAME,)


def _on_loop(
    loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any
) -> None:
    """Call `function` on the server's event loop, unless the server has stopped."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *arguments)
