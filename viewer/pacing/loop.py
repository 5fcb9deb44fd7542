"""What to render next for one browser: pure logic, without threads, clocks or a browser.

The owner of a loop tells it what happens (the camera moved, training published a new scene, a
picture is rendered, sent, shown) and asks it for the next job. Times are seconds of any monotonic
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
"""Pictures whose latencies are remembered."""

VERY_RECENT = 9
"""Pictures whose median latency is the present one: stray ones do not count."""

MOST_AWAITED = 64
"""Pictures that are waited for; a page that never tells is sent ever more rarely."""


@dataclass(frozen=True)
class Pacing:
    """How time is shared between smooth motion, sharp pictures and training."""

    rest_after: float = 0.08
    """The camera rests when it has not moved for this many seconds."""
    window: int = 3
    """Pictures that may be on their way to a page that tells what it has shown..."""
    rate: float = 60.0
    """...or as many as make this many a second if they travel as fast as the fastest of late..."""
    widest_window: int = 12
    """...but never more than this."""
    usual_transit: float = 0.05
    """A picture that travels for this many seconds is not slowed by its bytes."""
    ack_timeout: float = 1.0
    """A page that has shown nothing for this many seconds is sent one picture more; after that, for
    twice as long, and so on..."""
    max_ack_timeout: float = 30.0
    """...up to this."""
    fastest_interval: float = 1 / 75
    """Fewest seconds between pictures, however often the page draws."""
    silent_interval: float = 1 / 30
    """Seconds between pictures for a page that does not tell: viser's own shows no more."""
    scene_interval: float = 0.25
    """Fewest seconds between two new scenes, whatever they cost."""
    scene_share: float = 0.01
    """Largest share of the time that following a scene in training may take..."""
    max_scene_delay: float = 10.0
    """...unless it would take longer than this many seconds to see the next one."""


@dataclass(frozen=True)
class Job:
    """One picture to render."""

    number: int  # counts from 1
    pose: Pose  # where the camera is expected when the picture is shown
    settings: ViewSettings
    version: int  # of the scene
    level: int  # on LADDER
    size: tuple[int, int]  # (width, height) [px]
    quality: int  # of the JPEG
    sharp: bool  # full size and best quality: the camera rests


@dataclass
class _OnItsWay:
    job: Job
    started: float
    stages: list[float]
    """Seconds that rendering, and what follows it, took."""
    sent: float = math.inf


class RenderLoop:
    """Decides what one browser's next picture is.

    The newest request wins and one picture is rendered at a time. A page that tells what it has
    shown is sent no more than a few pictures ahead of that, so that it sets the pace; any other
    gets 30 a second. While the camera moves, the resolution follows the measured times of a
    picture; when it rests, one sharp picture follows. Nothing is rendered twice: not the same
    scene from the same pose with the same settings, and not what has just failed.
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
        """Whether the page tells what it has shown."""
        self.shown = 0
        """Pictures that the page has shown; those sent to it, if it does not tell."""
        self.dropped = 0
        """Pictures that were sent but never shown."""
        self.error: str | None = None
        """Why the last job failed; None when it did not."""

    @property
    def level(self) -> int:
        """Level of the ladder for pictures of a moving camera."""
        return self._resolution.level

    @property
    def version(self) -> int:
        """Of the scene that is shown."""
        return self._version

    @property
    def latency(self) -> float | None:
        """Median seconds from the start of a picture of a moving camera until it is known to be
        shown."""
        return median(list(self._latencies)[-VERY_RECENT:]) if self._latencies else None

    @property
    def window(self) -> int:
        """Pictures that may be on their way to a page that tells what it has shown."""
        fastest = min(self._latencies, default=0.0)
        wanted = math.ceil(fastest * self._pacing.rate) + 1
        return min(max(wanted, self._pacing.window), self._pacing.widest_window)

    def on_camera(self, pose: Pose, now: float) -> None:
        """The browser's camera is at `pose`."""
        if pose == self._pose:
            return
        if self._pose is not None:
            self._moved_at = now
        self._pose = pose
        self._motion.add(pose, now)

    def on_settings(self, settings: ViewSettings) -> None:
        """The panel is set to `settings`."""
        self._settings = settings

    def on_scene(self, version: int) -> None:
        """The newest scene is `version`; versions count from 1, 0 is no scene yet."""
        self._newest_version = version

    def next_job(self, now: float) -> Job | None:
        """The picture to render now; None when there is none, or one is in hand."""
        if not self._can_render or now < self._room_at:
            return None
        assert self._pose is not None
        if now >= self._adopt_after:
            self._version = self._newest_version
        sharp = now >= self._rests_at
        state = (self._pose, self._settings, self._version)
        if state == self._rendered and self._sharp >= sharp:
            return None
        if len(self._on_way) >= self.window:  # room was made by a timeout
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
        """Seconds until `next_job` can answer otherwise with no news; None for never."""
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
        """`job`'s picture took `seconds` to render; it is not sent yet."""
        self._finish(job, seconds, now)
        if job.number in self._on_way:
            self._on_way[job.number].stages.append(seconds)

    def on_sent(self, job: Job, seconds: float, now: float) -> None:
        """`job`'s picture took `seconds` to encode and is handed to the network."""
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
        """The page has shown a picture, and shows none before it any more.

        `page` is the seconds from its arrival until it was shown, `decoding` those of decoding it.
        """
        if number > self._number:
            return  # nonsense: there is no such picture
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
        """`job` failed. It is not tried again before something changes."""
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
        """When another picture may be rendered, if nothing is shown before."""
        if not self.acknowledges:
            return self._started + self._pacing.silent_interval
        if len(self._on_way) < self.window:
            return self._started + self._pacing.fastest_interval
        return self._started + self._ack_timeout

    def _predicted(self, now: float) -> Pose:
        # The latency includes the way back to us, and a pose has come the same way.
        pose = (
            self._motion.at(now + (self.latency or 0.0), now) if self.acknowledges else self._pose
        )
        assert pose is not None
        return pose

    def _measured(self, picture: _OnItsWay) -> None:
        job = picture.job
        # A sharp picture is compressed less; only its rendering tells of a moving one.
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
