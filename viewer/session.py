"""One connected browser: its threads, its panel and its pictures."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import viser

from scenes import InputError

from .camera import camera_at, pose_of
from .draw import Artist, Drawn, Renderers, Scene
from .frustums import Frustums, NamedCamera
from .link import Link
from .loop import Job, RenderLoop
from .paint import Picture
from .panel import Offer, Panel, Reactions
from .photos import NearestPhoto
from .readout import FrameRate, Readout, Speed
from .scene import SceneSource, Snapshot
from .settings import Pose, ViewSettings

log = logging.getLogger(__name__)

NUMBERS_INTERVAL = 0.5
"""Seconds between updates of the panel's numbers."""


@dataclass(frozen=True)
class Stage:
    """What is shown and how, the same for every browser."""

    source: SceneSource
    other: SceneSource | None
    """What may stand beside it."""
    cameras: Sequence[NamedCamera]
    renderers: Renderers
    offer: Offer

    def artist(self) -> Artist:
        """One that draws on one thread."""
        return Artist(self.renderers, NearestPhoto(self.cameras))

    @property
    def version(self) -> int:
        """Grows whenever something new is to be seen; 0 before there is anything."""
        if self.source.current is None:
            return 0
        other = self.other.current if self.other is not None else None
        return self.source.current.version + (other.version if other is not None else 0)


class Session:
    """Renders for one browser on a thread of its own until `stop`, and encodes on another.

    Other threads only leave messages: they assign `_pose` or `_settings`, or append to `_news`, and
    set `_wake`. All else belongs to the session's thread, so nothing is locked while a picture is
    made.
    """

    def __init__(self, client: viser.ClientHandle, stage: Stage) -> None:
        self._client = client
        self._stage = stage
        self._artist = stage.artist()
        self._errand_artist, self._errand_lock = stage.artist(), threading.Lock()
        self._loop = RenderLoop()
        self._pose: tuple[Pose, float] | None = None
        self._pose_told: Pose | None = None
        self._settings = ViewSettings()
        self._snapshot: Snapshot | None = None
        self._last: tuple[Job, float] | None = None
        self._rate = FrameRate()
        self._numbers_due = 0.0
        self._news: deque[Callable[[], None]] = deque()
        self._outbox: queue.Queue[tuple[Job, Drawn] | None] = queue.Queue(maxsize=1)
        self._wake = threading.Event()
        self._stopped = threading.Event()
        name = f"viewer-client-{client.client_id}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._encoder = threading.Thread(target=self._encode, name=f"{name}-encoder", daemon=True)

    def start(self) -> None:
        """Begin; called on the server's event loop once the page has told its camera."""
        self._take_camera(self._client.camera)

        @self._client.camera.on_update
        async def _(camera: viser.CameraHandle) -> None:
            self._take_camera(camera)

        for source in self._sources:
            source.watch(self._wake.set)
        self._thread.start()

    def stop(self) -> None:
        """Let the threads end after the picture in hand; returns at once."""
        self._stopped.set()
        for source in self._sources:
            source.unwatch(self._wake.set)
        self._wake.set()

    @property
    def running(self) -> bool:
        """Whether a thread has not ended yet."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait until the threads have ended, at most `timeout` seconds."""
        self._thread.join(timeout)

    @property
    def _sources(self) -> list[SceneSource]:
        return [each for each in (self._stage.source, self._stage.other) if each is not None]

    def _take_camera(self, camera: viser.CameraHandle) -> None:
        pose = pose_of(camera)
        if pose is not None:
            self._tell(partial(self._loop.on_camera, pose, time.monotonic()))
            self._pose = (pose, time.monotonic())

    def _tell(self, news: Callable[[], None]) -> None:
        """Let the session's thread do something soon."""
        self._news.append(news)
        self._wake.set()

    # What follows runs on the session's thread, but for the panel's reactions.

    def _run(self) -> None:
        with self._client.atomic():
            link = Link(self._client, self._shown)
            panel = self._build_panel()
        frustums = Frustums(self._client, self._stage.cameras, self._stage.offer.bounds)
        self._link = link
        self._encoder.start()
        while not self._stopped.is_set():
            try:
                self._turn(panel, frustums)
            except Exception:
                log.exception("a browser's session failed and goes on")
                self._stopped.wait(NUMBERS_INTERVAL)
        panel.close()
        self._hand_over(None)
        self._encoder.join()

    def _shown(self, number: int, page: float, decoding: float) -> None:
        self._tell(partial(self._loop.on_shown, number, page, decoding, time.monotonic()))

    def _build_panel(self) -> Panel:
        def changed() -> None:
            self._settings = panel.settings()
            self._wake.set()

        def pause() -> None:
            self._stage.source.paused = not self._stage.source.paused
            self._stage.source.wake()

        # The callbacks run on the event loop, at the earliest when the page has got the panel.
        panel = Panel(self._client, self._stage.offer, Reactions(changed, pause, self._draw_at))
        self._settings = panel.settings()
        return panel

    def _turn(self, panel: Panel, frustums: Frustums) -> None:
        """Render the next picture, or wait until something happens."""
        self._wake.clear()
        while self._news:
            self._news.popleft()()
        now = time.monotonic()
        job = self._next_job(now)
        if job is not None:
            if self._pose is not None:
                frustums.show(self._settings.cameras, self._pose[0].position)
            self._make_picture(job)
        if job is None or now >= self._numbers_due or self._loop.error is not None:
            self._show_numbers(panel, now)
        if job is None and not frustums.show_next_photo():
            self._wake.wait(self._patience(time.monotonic()))

    def _next_job(self, now: float) -> Job | None:
        """Tell the loop the news, and hold the snapshot that its next job is about."""
        self._loop.on_settings(self._settings)
        version, newest = self._stage.version, self._stage.source.current
        self._loop.on_scene(version)
        job = self._loop.next_job(now)
        if job is not None and newest is not None and job.version == version:
            newest.seen = True
            self._snapshot = newest
        return job

    def _make_picture(self, job: Job) -> None:
        started = time.monotonic()
        try:
            drawn = self._draw(self._artist, job.pose, job.size, job.settings)
        except Exception as error:
            self._failed(job, error)
        else:
            now = time.monotonic()
            self._last = (job, now - started)
            self._loop.on_rendered(job, now - started, now)
            self._hand_over((job, drawn))

    def _failed(self, job: Job, error: Exception) -> None:
        """Show what went wrong where the picture is missing; it ends neither the thread nor the
        server nor a training."""
        message = f"{type(error).__name__}: {error}"
        if message != self._loop.error and not self._stopped.is_set():
            log.error("rendering a picture for a browser failed", exc_info=error)
        self._loop.on_error(job, message, time.monotonic())

    def _draw(
        self, artist: Artist, pose: Pose, size: tuple[int, int], settings: ViewSettings
    ) -> Drawn:
        assert self._snapshot is not None  # there is no job before the first scene
        other = self._stage.other.current if self._stage.other is not None else None
        return artist.draw(
            Scene(self._snapshot.splats, self._snapshot.settings),
            camera_at(pose, size),
            settings,
            other=Scene(other.splats, other.settings) if other is not None else None,
            # A second image a frame: only while there is something to hide behind the splats.
            depth=settings.has_objects,
        )

    def _hand_over(self, parcel: tuple[Job, Drawn] | None) -> None:
        """Give the encoder its next picture, waiting for the last but one; None ends it."""
        while self._encoder.is_alive():
            try:
                return self._outbox.put(parcel, timeout=NUMBERS_INTERVAL)
            except queue.Full:
                if self._stopped.is_set() and parcel is not None:
                    return

    def _encode(self) -> None:
        """Send pictures until None comes; on a thread of its own."""
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

    def _draw_at(self, pose: Pose, size: tuple[int, int]) -> Picture:
        """The picture at any pose and size, as the panel is set; on any thread.

        Raises:
            InputError: there is nothing to draw yet.
        """
        if self._snapshot is None:
            raise InputError("there is no picture before the first step of training")
        with self._errand_lock:
            return self._draw(self._errand_artist, pose, size, self._settings).picture

    def _show_numbers(self, panel: Panel, now: float) -> None:
        self._numbers_due = now + NUMBERS_INTERVAL
        readout = self._readout(now)
        panel.show(readout)
        panel.show_curves(readout, self._stage.source.history)
        if self._pose is not None and self._pose[0] != self._pose_told:
            self._pose_told = self._pose[0]
            panel.show_pose(self._pose_told)

    def _readout(self, now: float) -> Readout:
        job, seconds = self._last or (None, None)
        splats = self._snapshot.splats if self._snapshot is not None else None
        loop, source = self._loop, self._stage.source
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

    def _patience(self, now: float) -> float | None:
        """Seconds to wait for news."""
        status = self._stage.source.status
        until_job = self._loop.wait(now)
        moving = self._last is not None and not self._last[0].sharp
        if not moving and (status is None or status.finished):
            return until_job
        return NUMBERS_INTERVAL if until_job is None else min(until_job, NUMBERS_INTERVAL)
