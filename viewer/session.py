"""One connected browser: its thread, its panel and its pictures."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import viser

from renderer.frequency import render_frequencies
from renderer.render import render
from renderer.types import Camera, Frame, RenderSettings, Splats

from .camera import Bounds, camera_at, pose_of
from .frustums import Frustums, NamedCamera
from .loop import Job, Mode, Pose, RenderLoop, ViewSettings
from .paint import occlusion_depth, paint
from .panel import Panel, Readout
from .scene import SceneSource, Snapshot

log = logging.getLogger(__name__)

RenderFunction = Callable[[Splats, Camera, RenderSettings], Frame]


@dataclass(frozen=True)
class Renderers:
    """What draws the splats, and their waves in the mode `frequency`."""

    picture: RenderFunction = render
    frequencies: RenderFunction = render_frequencies

    def of(self, mode: Mode) -> RenderFunction:
        """The one for a mode."""
        return self.frequencies if mode == "frequency" else self.picture


SHARP_QUALITY = 92
"""JPEG quality while the camera rests."""

MOVING_QUALITY = 70
"""JPEG quality while the camera moves."""

NUMBERS_INTERVAL = 0.5
"""Seconds between updates of the panel's numbers while training runs."""


@dataclass(frozen=True)
class Stage:
    """What surrounds the splats, the same for every browser."""

    cameras: Sequence[NamedCamera]
    bounds: Bounds


class Session:
    """Renders for one browser on a thread of its own until `stop`.

    Other threads only leave messages: they assign `_pose` or `_settings` and set `_wake`. All
    else belongs to the session's thread, so nothing is locked while a picture is made.
    """

    def __init__(
        self, client: viser.ClientHandle, source: SceneSource, stage: Stage, renderers: Renderers
    ) -> None:
        self._client = client
        self._source = source
        self._stage = stage
        self._renderers = renderers
        self._loop = RenderLoop()
        self._pose: tuple[Pose, float] | None = None
        self._settings = ViewSettings()
        self._snapshot: Snapshot | None = None
        self._last: tuple[Job, float] | None = None
        self._numbers_due = 0.0
        self._wake = threading.Event()
        self._stopped = threading.Event()
        name = f"viewer-client-{client.client_id}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; called on the server's event loop once the page has told its camera."""
        self._take_camera(self._client.camera)

        @self._client.camera.on_update
        async def _(camera: viser.CameraHandle) -> None:
            self._take_camera(camera)

        self._source.watch(self._wake.set)
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end after the picture in hand; returns at once."""
        self._stopped.set()
        self._source.unwatch(self._wake.set)
        self._wake.set()

    @property
    def running(self) -> bool:
        """Whether the thread has not ended yet."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended, at most `timeout` seconds."""
        self._thread.join(timeout)

    def _take_camera(self, camera: viser.CameraHandle) -> None:
        pose = pose_of(camera)
        if pose is not None:
            self._pose = (pose, time.monotonic())
            self._wake.set()

    def _run(self) -> None:
        with self._client.atomic():
            panel = self._build_panel()
        frustums = Frustums(self._client, self._stage.cameras, self._stage.bounds)
        while not self._stopped.is_set():
            try:
                self._turn(panel, frustums)
            except Exception:
                log.exception("a browser's session failed and goes on")
                self._stopped.wait(NUMBERS_INTERVAL)

    def _build_panel(self) -> Panel:
        def changed() -> None:
            self._settings = panel.settings()
            self._wake.set()

        def pause() -> None:
            self._source.paused = not self._source.paused
            self._source.wake()

        # The callbacks run on the event loop, at the earliest when the page has got the panel.
        panel = Panel(self._client.gui, len(self._stage.cameras), changed, pause)
        return panel

    def _turn(self, panel: Panel, frustums: Frustums) -> None:
        """Render the next picture, or wait until something happens."""
        self._wake.clear()
        if self._pose is not None:
            frustums.show(self._settings.cameras, self._pose[0].position)
        now = time.monotonic()
        job = self._next_job(now)
        if job is not None and self._snapshot is not None:
            self._make_picture(job, self._snapshot.splats)
        if job is None or now >= self._numbers_due or self._loop.error is not None:
            panel.show(self._readout())
            self._numbers_due = now + NUMBERS_INTERVAL
        if job is None and not frustums.show_next_photo():
            self._wake.wait(self._patience(time.monotonic()))

    def _next_job(self, now: float) -> Job | None:
        """Tell the loop the news, and hold the snapshot that its next job is about."""
        if self._pose is not None:
            self._loop.on_camera(*self._pose)
        self._loop.on_settings(self._settings)
        newest = self._source.current
        if newest is not None:
            self._loop.on_scene(newest.version)
        job = self._loop.next_job(now)
        if job is not None and newest is not None and job.version == newest.version:
            newest.seen = True
            self._snapshot = newest
        return job

    def _make_picture(self, job: Job, splats: Splats) -> None:
        started = time.monotonic()
        try:
            self._send(job, self._frame(job, splats))
        except Exception as error:
            # Whatever goes wrong in a picture is shown where the picture is missing; it ends
            # neither the thread nor the server nor a training.
            message = f"{type(error).__name__}: {error}"
            if message != self._loop.error and not self._stopped.is_set():
                log.exception("rendering a picture for a browser failed")
            self._loop.on_error(job, message, time.monotonic())
        else:
            seconds = time.monotonic() - started
            self._last = (job, seconds)
            self._loop.on_done(job, seconds, time.monotonic())

    def _frame(self, job: Job, splats: Splats) -> Frame:
        if not job.settings.waves:
            splats = splats.without_waves()
        red, green, blue = job.settings.background
        settings = RenderSettings(background=(red / 255, green / 255, blue / 255))
        means = splats.means
        camera = camera_at(job.pose, job.size).to(means.dtype).to(means.device)
        with torch.no_grad():
            return self._renderers.of(job.settings.mode)(splats, camera, settings)

    def _send(self, job: Job, frame: Frame) -> None:
        if self._stopped.is_set():
            return
        self._client.scene.set_background_image(
            paint(frame, job.settings.mode),
            format="jpeg",
            jpeg_quality=SHARP_QUALITY if job.sharp else MOVING_QUALITY,
            # A second image a frame: only while there is something to hide behind the splats.
            depth=occlusion_depth(frame) if job.settings.cameras else None,
        )
        self._client.flush()

    def _readout(self) -> Readout:
        job, seconds = self._last or (None, None)
        splats = self._snapshot.splats if self._snapshot is not None else None
        return Readout(
            splats=len(splats) if splats is not None else None,
            has_waves=splats is not None and splats.waves > 0,
            seconds=seconds,
            size=job.size if job is not None else None,
            status=self._source.status,
            paused=self._source.paused,
            error=self._loop.error,
        )

    def _patience(self, now: float) -> float | None:
        """Seconds to wait for news."""
        status = self._source.status
        until_job = self._loop.wait(now)
        if status is None or status.finished:
            return until_job
        return NUMBERS_INTERVAL if until_job is None else min(until_job, NUMBERS_INTERVAL)
