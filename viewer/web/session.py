"""One connected browser: its threads, its panel and its pictures."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import viser

from ...scenes import InputError, one_line
from ..background import Shared
from ..camera import NamedCamera, camera_at, pose_of
from ..outbox import open_to_threads
from ..pacing.loop import Job, RenderLoop
from ..panel.frustums import Frustums
from ..panel.panel import Panel, PanelCallbacks, PanelChoices
from ..panel.readout import FrameRate, Readout, Speed
from ..picture.draw import Drawn, PictureRenderer, Renderers, Scene
from ..picture.paint import Draw, Picture
from ..picture.photos import NearestPhoto
from ..reports import Reports
from ..scene import SceneSource, Snapshot
from ..settings import Pose, ViewSettings
from .link import Link

NUMBERS_INTERVAL = 1.0
"""Seconds between updates of the panel's readings while they keep changing."""

RECOVERY = 0.5
"""Seconds of rest after an error of a session itself."""

GLANCE = 0.5
"""Seconds after which a session waiting for its encoder checks whether it was stopped."""


@dataclass(frozen=True)
class ViewerContext:
    """What all sessions of a viewer share.

    Attributes:
        source: the scene.
        other: the scene to compare with, if any.
        cameras: training cameras.
        renderers: render functions of the view modes.
        choices: choices of the panel.
        shared: log and memory.
    """

    source: SceneSource
    other: SceneSource | None
    cameras: Sequence[NamedCamera]
    renderers: Renderers
    choices: PanelChoices
    shared: Shared

    def picture_renderer(self) -> PictureRenderer:
        """A new renderer of pictures, for use on one thread."""
        return PictureRenderer(self.renderers, NearestPhoto(self.cameras))

    @property
    def version(self) -> int:
        """Version of what is shown, which grows with every change; 0 before the first scene."""
        if self.source.current is None:
            return 0
        other = self.other.current if self.other is not None else None
        return self.source.current.version + (other.version if other is not None else 0)


class Session:
    """Session of one browser: renders on a thread of its own until `stop`, and encodes on another.

    Other threads only leave messages: they assign `_pose` or `_settings`, or append to `_news`, and
    set `_wake`. All else belongs to the session's thread, so nothing is locked while a picture is
    made.
    """

    def __init__(self, client: viser.ClientHandle, context: ViewerContext) -> None:
        self._client = client
        self._context = context
        self._loop = RenderLoop()
        self._pose: Pose | None = None
        self._pose_told: Pose | None = None
        self._settings = ViewSettings()
        self._snapshot: Snapshot | None = None
        self._last: tuple[Job, float] | None = None
        self._rate = FrameRate()
        self._numbers_due = 0.0
        self._news_told: object = None
        self._news: deque[Callable[[], None]] = deque()
        self._outbox: queue.Queue[tuple[Job, Drawn] | None] = queue.Queue(maxsize=1)
        self._wake = threading.Event()
        self._stopped = threading.Event()
        name = f"viewer-client-{client.client_id}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._encoder = threading.Thread(target=self._encode, name=f"{name}-encoder", daemon=True)

    def start(self) -> None:
        """Start the threads; called on the event loop, once the page has sent its camera."""
        open_to_threads(self._client)
        self._take_camera(self._client.camera)

        @self._client.camera.on_update
        async def _(camera: viser.CameraHandle) -> None:
            self._take_camera(camera)

        for source in self._sources:
            source.watch(self._wake.set)
        self._thread.start()

    def stop(self) -> None:
        """End the threads after the present picture; returns at once."""
        self._stopped.set()
        for source in self._sources:
            source.unwatch(self._wake.set)
        self._wake.set()

    @property
    def running(self) -> bool:
        """Whether the threads have not ended yet."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait until the threads have ended, at most `timeout` seconds."""
        self._thread.join(timeout)

    @property
    def _reports(self) -> Reports:
        return self._context.shared.reports

    @property
    def _sources(self) -> list[SceneSource]:
        return [each for each in (self._context.source, self._context.other) if each is not None]

    def _take_camera(self, camera: viser.CameraHandle) -> None:
        pose = pose_of(camera)
        if pose is not None:
            self._tell(partial(self._loop.on_camera, pose, time.monotonic()))
            self._pose = pose

    def _tell(self, news: Callable[[], None]) -> None:
        """Queue `news` for the session's thread."""
        self._news.append(news)
        self._wake.set()

    # The session's thread runs the methods below, except the panel's callbacks.

    def _run(self) -> None:
        panel: Panel | None = None
        self._encoder.start()
        try:
            self._renderer = self._context.picture_renderer()
            with self._client.atomic():
                self._link = Link(self._client, self._on_shown, self._reports)
                panel = self._build_panel()
            cameras, bounds = self._context.cameras, self._context.choices.bounds
            frustums = Frustums(self._client, cameras, bounds, panel.up, self._reports)
            while not self._stopped.is_set():
                self._take_turn(panel, frustums)
        except Exception as error:
            self._reports.error("a browser's session failed and has ended", error)
        finally:
            if panel is not None:
                panel.close()
            self._hand_over(None)
            self._encoder.join()

    def _take_turn(self, panel: Panel, frustums: Frustums) -> None:
        try:
            self._turn(panel, frustums)
        except Exception as error:
            self._reports.error("a browser's session failed and goes on", error)
            self._stopped.wait(RECOVERY)

    def _on_shown(self, number: int, page: float, decoding: float) -> None:
        self._tell(partial(self._loop.on_shown, number, page, decoding, time.monotonic()))

    def _build_panel(self) -> Panel:
        def changed() -> None:
            self._settings = panel.settings()
            self._wake.set()

        def pause() -> None:
            self._context.source.paused = not self._context.source.paused
            self._context.source.wake()

        # The callbacks run on the event loop, at the earliest when the page has got the panel.
        callbacks = PanelCallbacks(changed, pause, self._drawing)
        panel = Panel(self._client, self._context.choices, callbacks, self._context.shared)
        self._settings = panel.settings()
        return panel

    def _turn(self, panel: Panel, frustums: Frustums) -> None:
        """Render the next picture, or wait until something happens."""
        self._wake.clear()
        if self._stopped.is_set():
            return
        while self._news:
            self._news.popleft()()
        if self._pose is not None:
            frustums.show(self._settings.cameras, self._pose.position)
        job = self._next_job(time.monotonic())
        if job is not None:
            self._make_picture(job)
        self._show_numbers(panel, time.monotonic())
        if job is None and not (self._rests and frustums.show_next_photo()):
            self._wake.wait(self._wait_timeout(time.monotonic()))

    @property
    def _rests(self) -> bool:
        """Whether the camera rests and its sharp picture is rendered."""
        return self._last is not None and self._last[0].sharp

    def _next_job(self, now: float) -> Job | None:
        """The loop's next job, given the newest settings and scene; keeps the snapshot it shows."""
        self._loop.on_settings(self._settings)
        version, newest = self._context.version, self._context.source.current
        self._loop.on_scene(version)
        job = self._loop.next_job(now)
        if job is not None and newest is not None and job.version == version:
            newest.seen = True
            self._snapshot = newest
        return job

    def _make_picture(self, job: Job) -> None:
        started = time.monotonic()
        try:
            scene, other = self._scenes()
            drawn = self._renderer.draw(
                scene,
                camera_at(job.pose, job.size),
                job.settings,
                other=other,
                # A second image a frame: only while there is something for the splats to occlude.
                depth=job.settings.has_objects,
            )
        except Exception as error:
            self._failed(job, error)
        else:
            now = time.monotonic()
            self._last = (job, now - started)
            self._loop.on_rendered(job, now - started, now)
            self._hand_over((job, drawn))

    def _failed(self, job: Job, error: Exception) -> None:
        """Report the error of a picture to log and panel; nothing else ends."""
        message = one_line(error)
        if message != self._loop.error and not self._stopped.is_set():
            self._reports.error("rendering a picture for a browser failed", error)
        self._loop.on_error(job, message, time.monotonic())

    def _scenes(self) -> tuple[Scene, Scene | None]:
        """The scene and the one to compare with, if any."""
        assert self._snapshot is not None  # there is no job before the first scene
        other = self._context.other.current if self._context.other is not None else None
        scene = Scene(self._snapshot.splats, self._snapshot.settings)
        return scene, Scene(other.splats, other.settings) if other is not None else None

    def _hand_over(self, parcel: tuple[Job, Drawn] | None) -> None:
        """Give the encoder its next picture, once the queue has room; None ends the encoder."""
        while self._encoder.is_alive():
            try:
                return self._outbox.put(parcel, timeout=GLANCE)
            except queue.Full:
                if self._stopped.is_set() and parcel is not None:
                    return

    def _encode(self) -> None:
        """Encode and send pictures until None comes; on a thread of its own."""
        while (parcel := self._outbox.get()) is not None:
            job, drawn = parcel
            if self._stopped.is_set():
                continue
            started = time.monotonic()
            try:
                self._link.send(drawn.picture, drawn.depth, job.number, job.quality)
            except Exception as error:
                self._tell(partial(self._failed, job, error))
            else:
                now = time.monotonic()
                self._tell(partial(self._loop.on_sent, job, now - started, now))

    def _drawing(self) -> Draw:
        """A `Draw`, as `Drawing` makes it; raises InputError when called before the first scene."""
        scenes = self._scenes() if self._snapshot is not None else None
        settings, renderer = self._settings, cache(self._context.picture_renderer)

        def draw(pose: Pose, size: tuple[int, int]) -> Picture:
            if scenes is None:
                raise InputError("there is no picture before the first step of training")
            scene, other = scenes
            return renderer().draw(scene, camera_at(pose, size), settings, other=other).picture

        return Draw(draw, self._renderer.bytes_per_pixel(settings))

    def _show_numbers(self, panel: Panel, now: float) -> None:
        """Update the panel's readings now and then, and at once when something new begins."""
        source = self._context.source
        news = (self._rests, self._loop.error, source.paused, self._loop.version)
        if now < self._numbers_due and news == self._news_told:
            return
        self._numbers_due, self._news_told = now + NUMBERS_INTERVAL, news
        readout = self._readout(now)
        panel.show(readout)
        panel.show_curves(readout, source.history)
        if self._pose is not None and self._pose != self._pose_told:
            self._pose_told = self._pose
            panel.show_pose(self._pose_told)

    def _readout(self, now: float) -> Readout:
        job, seconds = self._last or (None, None)
        splats = self._snapshot.splats if self._snapshot is not None else None
        loop, source = self._loop, self._context.source
        return Readout(
            splats=len(splats) if splats is not None else None,
            waves=splats.waves if splats is not None else 0,
            sh_degree=splats.sh_degree if splats is not None else 0,
            speed=Speed(
                rendering=seconds,
                size=job.size if job is not None else None,
                latency=loop.latency,
                shown=loop.shown,
                dropped=loop.dropped,
            ),
            fps=self._rate.at(loop.shown, now),
            status=source.status,
            paused=source.paused,
            error=loop.error,
        )

    def _wait_timeout(self, now: float) -> float | None:
        """Longest time to wait for news [s]; None without a limit."""
        status = self._context.source.status
        until_job = self._loop.wait(now)
        if self._rests and (status is None or status.finished):
            return until_job
        return NUMBERS_INTERVAL if until_job is None else min(until_job, NUMBERS_INTERVAL)
