"""Frame pacing for one browser: pure logic, without threads, clocks or a browser.

The owner of a loop reports what happens (the camera moved, training published a new scene, a
picture is rendered, sent, shown) and asks for the next job. Times are seconds of any monotonic
clock.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median

from ..settings import Pose, ViewSettings
from .motion import Motion
from .resolution import LADDER, SHARP_QUALITY, Measured, Resolution, picture_size

RECENT = 100
"""Number of latencies that are remembered."""

VERY_RECENT = 9
"""Number of latencies whose median is the present one: outliers do not count."""

MOST_AWAITED = 64
"""Largest number of pictures in flight that are remembered."""


@dataclass(frozen=True)
class Pacing:
    """Timing parameters: how time is shared between smooth motion, sharp pictures and training.

    Attributes:
        rest_after: time without motion after which the camera rests [s].
        window: pictures that may always be in flight to a page that acknowledges them.
        rate: pictures per second that a wider window makes possible at the lowest latency of late.
        widest_window: pictures that may be in flight at most.
        usual_transit: transit time of a picture that its bytes do not slow down [s].
        ack_timeout: time without an acknowledgement after which one more picture is sent to a page
            with a full window [s]; doubles each time until the next acknowledgement.
        max_ack_timeout: longest such time [s].
        fastest_interval: shortest time between pictures, however often the page draws [s].
        silent_interval: time between pictures for a page that does not acknowledge them [s], about
            that of viser's own page.
        scene_interval: shortest time between two new scenes [s].
        scene_share: largest share of the time for following a scene in training, while the camera
            rests.
        max_scene_delay: longest wait for a new scene that `scene_share` may cause [s].
    """

    rest_after: float = 0.08
    window: int = 3
    rate: float = 60.0
    widest_window: int = 12
    usual_transit: float = 0.05
    ack_timeout: float = 1.0
    max_ack_timeout: float = 30.0
    fastest_interval: float = 1 / 75
    silent_interval: float = 1 / 30
    scene_interval: float = 0.25
    scene_share: float = 0.01
    max_scene_delay: float = 10.0


@dataclass(frozen=True)
class Job:
    """A picture to render.

    Attributes:
        number: number of the picture, from 1.
        pose: pose that is expected when the picture is shown.
        settings: view settings.
        version: version of the scene.
        level: resolution level, an index into LADDER.
        size: (width, height) [px].
        quality: JPEG quality.
        sharp: whether the camera rests, for full size and best quality.
    """

    number: int
    pose: Pose
    settings: ViewSettings
    version: int
    level: int
    size: tuple[int, int]
    quality: int
    sharp: bool


@dataclass
class _OnItsWay:
    """A picture in flight: begun, but not acknowledged."""

    job: Job
    started: float
    stages: list[float]  # seconds that rendering and each step after it took
    sent: float = math.inf


class RenderLoop:
    """Scheduler of one browser's pictures.

    The newest request wins and one picture is rendered at a time. A page that acknowledges
    pictures is sent no more than a few ahead, so that it sets the pace; any other gets 30 a second.
    While the camera moves, the resolution follows the measured times of a picture; when it rests,
    one sharp picture follows. Nothing is rendered twice: neither the same scene from the same pose
    with the same settings, nor what has just failed.

    Attributes:
        acknowledges: whether the page acknowledges pictures.
        shown: number of pictures shown; of those sent, to a page that does not acknowledge.
        dropped: number of pictures that were sent but never shown.
        error: message of the last job's failure; None if it did not fail.
    """

    def __init__(self) -> None:
        self._pacing = Pacing()
        self._pose: Pose | None = None
        self._motion = Motion()
        self._settings = ViewSettings()
        self._moved_at = -math.inf
        self._newest_version = 0
        self._version = 0
        self._adopt_after = -math.inf
        self._resolution = Resolution()
        self._rendered: tuple[Pose, ViewSettings, int] | None = None
        self._sharp = False
        self._started = -math.inf
        self._in_hand = False
        self._number = 0
        self._on_way: dict[int, _OnItsWay] = {}
        self._ack_timeout = self._pacing.ack_timeout
        self._latencies: deque[float] = deque(maxlen=RECENT)
        self.acknowledges = False
        self.shown = 0
        self.dropped = 0
        self.error: str | None = None

    @property
    def level(self) -> int:
        """Resolution level of a moving camera, an index into LADDER."""
        return self._resolution.level

    @property
    def version(self) -> int:
        """Version of the scene that is shown."""
        return self._version

    @property
    def latency(self) -> float | None:
        """Median seconds from beginning a moving camera's picture to its acknowledgement."""
        return median(list(self._latencies)[-VERY_RECENT:]) if self._latencies else None

    @property
    def window(self) -> int:
        """Largest number of pictures in flight to a page that acknowledges them."""
        fastest = min(self._latencies, default=0.0)
        wanted = math.ceil(fastest * self._pacing.rate) + 1
        return min(max(wanted, self._pacing.window), self._pacing.widest_window)

    def on_camera(self, pose: Pose, now: float) -> None:
        """Report the pose of the browser's camera."""
        if pose == self._pose:
            return
        if self._pose is not None:
            self._moved_at = now
        self._pose = pose
        self._motion.add(pose, now)

    def on_settings(self, settings: ViewSettings) -> None:
        """Report the settings of the panel."""
        self._settings = settings

    def on_scene(self, version: int) -> None:
        """Report the version of the newest scene, from 1; 0 without a scene."""
        self._newest_version = version

    def next_job(self, now: float) -> Job | None:
        """The picture to render now; None if there is none, or one is being rendered."""
        if not self._can_render or now < self._room_at:
            return None
        assert self._pose is not None
        if now >= self._adopt_after:
            self._version = self._newest_version
        sharp = now >= self._rests_at
        state = (self._pose, self._settings, self._version)
        if state == self._rendered and self._sharp >= sharp:
            return None
        if len(self._on_way) >= self.window:  # the timeout has made room
            self._ack_timeout = min(2 * self._ack_timeout, self._pacing.max_ack_timeout)
        level = 0 if sharp else self._resolution.level
        self._number += 1
        job = Job(
            number=self._number,
            pose=self._pose if sharp else self._predicted(now),
            settings=self._settings,
            version=self._version,
            level=level,
            size=picture_size(self._pose.canvas, self._settings.max_side, level),
            quality=SHARP_QUALITY if sharp else LADDER[level].quality,
            sharp=sharp,
        )
        if self._rendered is None or self._rendered[2] != self._version:
            self._adopt_after = math.inf  # until its cost is known
        self._rendered, self._sharp, self._started = state, sharp, now
        self._in_hand = True
        self._on_way[job.number] = _OnItsWay(job, now, [])
        while len(self._on_way) > MOST_AWAITED:
            del self._on_way[min(self._on_way)]
        return job

    def wait(self, now: float) -> float | None:
        """Seconds until `next_job` may answer otherwise without any report; None for never."""
        if not self._can_render:
            return None
        times: list[float] = []
        if self._version != self._newest_version:
            times.append(self._adopt_after)
        if self._rendered != (self._pose, self._settings, self._version):
            times.append(now)
        if not self._sharp:
            times.append(self._rests_at)
        return max(0.0, max(min(times), self._room_at) - now) if times else None

    def on_rendered(self, job: Job, seconds: float, now: float) -> None:
        """Report that rendering `job` took `seconds`; its picture is not sent yet."""
        self._finish(job, seconds, now)
        if job.number in self._on_way:
            self._on_way[job.number].stages.append(seconds)

    def on_sent(self, job: Job, seconds: float, now: float) -> None:
        """Report that encoding the picture of `job` took `seconds`, and that the network has it."""
        self.error = None
        picture = self._on_way.get(job.number)
        if picture is None:
            return
        picture.stages.append(seconds)
        picture.sent = now
        if not self.acknowledges:
            del self._on_way[job.number]
            self.shown += 1
            self._measured(picture)

    def on_shown(self, number: int, page: float, decoding: float, now: float) -> None:
        """Report an acknowledgement: the page has shown a picture, and will show no earlier one.

        `page` is the time from its arrival until it was shown, `decoding` that of decoding it [s].
        """
        if number > self._number:
            return  # there is no such picture
        if not self.acknowledges:
            self.acknowledges, self.shown = True, 0
        self._ack_timeout = self._pacing.ack_timeout
        self.shown += 1
        self.dropped += sum(key < number for key in self._on_way)
        picture = self._on_way.get(number)
        self._on_way = {key: each for key, each in self._on_way.items() if key > number}
        if picture is None or not picture.stages:
            return
        if not picture.job.sharp:
            self._latencies.append(now - picture.started)
        transit = now - picture.sent - page
        picture.stages += [decoding, transit - self._pacing.usual_transit]
        self._measured(picture)

    def on_error(self, job: Job, message: str, now: float) -> None:
        """Report that `job` failed; it is not tried again before something changes."""
        self._finish(job, 0.0, now)
        self._on_way.pop(job.number, None)
        self.error = message

    @property
    def _can_render(self) -> bool:
        return not self._in_hand and self._pose is not None and self._newest_version > 0

    @property
    def _rests_at(self) -> float:
        return self._moved_at + self._pacing.rest_after

    @property
    def _room_at(self) -> float:
        """Time at which another picture may be rendered, if none is acknowledged before."""
        if not self.acknowledges:
            return self._started + self._pacing.silent_interval
        if len(self._on_way) < self.window:
            return self._started + self._pacing.fastest_interval
        return self._started + self._ack_timeout

    def _predicted(self, now: float) -> Pose:
        # The latency includes the way of the acknowledgement, by which a pose has come, too.
        pose = (
            self._motion.at(now + (self.latency or 0.0), now) if self.acknowledges else self._pose
        )
        assert pose is not None
        return pose

    def _measured(self, picture: _OnItsWay) -> None:
        job = picture.job
        # A sharp picture is compressed less: only its rendering is like that of a moving one.
        seconds = picture.stages[0] if job.sharp else max(picture.stages)
        measured = Measured(job.pose.canvas, job.settings.max_side, job.level, seconds)
        if job.sharp:
            self._resolution.resting(measured)
        else:
            self._resolution.moving(measured)

    def _finish(self, job: Job, seconds: float, now: float) -> None:
        if self._adopt_after == math.inf:
            # Pictures of a moving camera are rendered anyhow, whatever scene they show.
            idle = seconds * (1 / self._pacing.scene_share - 1) if job.sharp else 0.0
            idle = min(idle, self._pacing.max_scene_delay)
            self._adopt_after = now + max(self._pacing.scene_interval, idle)
        self._in_hand = False
