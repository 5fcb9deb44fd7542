"""What to render next for one browser: pure logic, without threads, clocks or a browser.

The owner of a loop tells it what happens (the camera moved, training published a new scene, a
picture is ready) and asks it for the next job. Times are seconds of any monotonic clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

LADDER: tuple[float, ...] = (1.0, 0.75, 0.5, 0.375, 0.25, 0.1875, 0.125)
"""Picture size relative to the full one, for each level of the resolution ladder."""

MIN_LONGEST_SIDE = 256
"""A coarser picture than this [px] of a moving camera helps nobody, however slow rendering is."""

MIN_SIDE = 16
"""Pictures are never narrower or lower than this [px], however thin the canvas."""

Mode = Literal["rgb", "depth", "alpha", "frequency"]
MODES: tuple[Mode, ...] = ("rgb", "depth", "alpha", "frequency")


@dataclass(frozen=True)
class Pose:
    """Where a browser's camera stands. Axes: x right, y down, z forward."""

    wxyz: tuple[float, float, float, float]  # rotation from camera to world
    position: tuple[float, float, float]  # camera centre in the world
    fov: float  # vertical field of view [radians]
    canvas: tuple[int, int]  # (width, height) of the page's canvas [px]


@dataclass(frozen=True)
class ViewSettings:
    """What a person can choose in the panel and changes the picture."""

    mode: Mode = "rgb"
    background: tuple[int, int, int] = (0, 0, 0)
    """RGB in [0, 255]."""
    max_side: int = 1280
    """Longest side of the picture [px]."""
    waves: bool = True
    """Whether the Gabor waves are drawn, or the Gaussian envelopes alone."""
    cameras: bool = False
    """Whether the training cameras are drawn among the splats."""


@dataclass(frozen=True)
class Pacing:
    """How time is shared between smooth motion, sharp pictures and training."""

    budget: float = 1 / 30
    """Seconds that a picture may take while the camera moves."""
    rest_after: float = 0.1
    """The camera rests when it has not moved for this many seconds."""
    scene_interval: float = 0.25
    """Fewest seconds between two new scenes, whatever they cost."""
    scene_share: float = 0.2
    """Largest share of the time that following a scene in training may take."""


@dataclass(frozen=True)
class Job:
    """One picture to render."""

    pose: Pose
    settings: ViewSettings
    version: int  # of the scene
    level: int  # on LADDER
    size: tuple[int, int]  # (width, height) [px]
    sharp: bool  # full size and best quality: the camera rests


def picture_size(canvas: tuple[int, int], max_side: int, level: int) -> tuple[int, int]:
    """(width, height) [px] of a picture with the shape of `canvas` [px] at a level of LADDER.

    At level 0 its longest side is the canvas's, cut to `max_side` [px]; at the others it shrinks
    from there down to MIN_LONGEST_SIDE.
    """
    full = min(max(canvas), max_side)
    longest = max(full * LADDER[level], min(full, MIN_LONGEST_SIDE))
    width, height = (max(MIN_SIDE, round(side * longest / max(canvas))) for side in canvas)
    return width, height


class RenderLoop:
    """Decides what one browser's next picture is.

    The newest request wins and one job is in flight at a time. While the camera moves, the
    resolution follows the measured time of a picture; when it rests, one sharp picture follows.
    Nothing is rendered twice: not the same scene from the same pose with the same settings, and
    not what has just failed.
    """

    def __init__(self, pacing: Pacing | None = None) -> None:
        self._pacing = pacing or Pacing()
        self._pose: Pose | None = None
        self._settings = ViewSettings()
        self._moved_at = -math.inf
        self._newest_version = 0
        self._version = 0
        self._adopt_after = -math.inf
        self._resolution = _Resolution(self._pacing.budget)
        self._shown: Job | None = None
        self._in_flight: Job | None = None
        self._error: str | None = None

    @property
    def error(self) -> str | None:
        """Why the last job failed; None when it did not."""
        return self._error

    @property
    def level(self) -> int:
        """Level of the ladder for pictures of a moving camera."""
        return self._resolution.level

    def on_camera(self, pose: Pose, now: float) -> None:
        """The browser's camera is at `pose`."""
        if pose == self._pose:
            return
        if self._pose is not None:
            self._moved_at = now
        self._pose = pose

    def on_settings(self, settings: ViewSettings) -> None:
        """The panel is set to `settings`."""
        self._settings = settings

    def on_scene(self, version: int) -> None:
        """The newest scene is `version`; versions count from 1, 0 is no scene yet."""
        self._newest_version = version

    def next_job(self, now: float) -> Job | None:
        """The picture to render now; None when there is none, or one is already in flight."""
        if self._in_flight is not None or self._pose is None or self._newest_version == 0:
            return None
        if now >= self._adopt_after:
            self._version = self._newest_version
        sharp = now >= self._rests_at
        if not self._differs(sharp):
            return None
        level = 0 if sharp else self._resolution.level
        size = picture_size(self._pose.canvas, self._settings.max_side, level)
        self._in_flight = Job(self._pose, self._settings, self._version, level, size, sharp)
        return self._in_flight

    def wait(self, now: float) -> float | None:
        """Seconds until `next_job` can answer otherwise with no news; None for never."""
        if self._in_flight is not None or self._pose is None or self._newest_version == 0:
            return None
        times: list[float] = []
        if self._version != self._newest_version:
            times.append(self._adopt_after)
        if self._shown is None or not self._shown.sharp:
            times.append(self._rests_at)
        return max(0.0, min(times) - now) if times else None

    def on_done(self, job: Job, seconds: float, now: float) -> None:
        """`job` took `seconds`, and its picture is on the way to the browser."""
        self._finish(job, seconds, now)
        self._error = None
        self._resolution.measured(job, seconds)

    def on_error(self, job: Job, message: str, now: float) -> None:
        """`job` failed. It is not tried again before something changes."""
        self._finish(job, 0.0, now)
        self._error = message

    @property
    def _rests_at(self) -> float:
        return self._moved_at + self._pacing.rest_after

    def _differs(self, sharp: bool) -> bool:
        shown = self._shown
        if shown is None or (sharp and not shown.sharp):
            return True
        state = (self._pose, self._settings, self._version)
        return (shown.pose, shown.settings, shown.version) != state

    def _finish(self, job: Job, seconds: float, now: float) -> None:
        if self._shown is None or job.version != self._shown.version:
            idle = seconds * (1 / self._pacing.scene_share - 1)
            self._adopt_after = now + max(self._pacing.scene_interval, idle)
        self._shown = job
        self._in_flight = None


class _Resolution:
    """The level for a moving camera, from measured times.

    A picture's time has a fixed part and one that grows with its pixels, so scaling a measured
    time by the number of pixels overestimates a larger picture. Going finer only when even this
    is well inside the budget, the level never swings between two neighbours.
    """

    SLACK = 0.7  # of the budget that a finer level's predicted time must stay below
    FAST_PICTURES = 3  # in a row before going finer
    SLOW_PICTURES = 2  # in a row before going coarser; one suffices beyond twice the budget

    def __init__(self, budget: float) -> None:
        self.level = 0
        self._budget = budget
        self._fast = 0
        self._slow = 0

    def measured(self, job: Job, seconds: float) -> None:
        """Take in that `job` took `seconds`."""
        if job.sharp:
            self._coarsen(job, seconds)
            return
        finer = max(0, job.level - 1)
        room = self.SLACK * self._budget
        has_room = finer < job.level and _predict(job, seconds, finer) < room
        self._fast = self._fast + 1 if has_room else 0
        self._slow = self._slow + 1 if seconds > self._budget else 0
        if self._slow >= self.SLOW_PICTURES or seconds > 2 * self._budget:
            self._coarsen(job, seconds)
        elif self._fast >= self.FAST_PICTURES:
            self._go_to(finer)

    def _coarsen(self, job: Job, seconds: float) -> None:
        """Go to the finest level whose predicted time fits, never to a finer one than now."""
        fitting = job.level
        while fitting < len(LADDER) - 1 and _predict(job, seconds, fitting) > self._budget:
            fitting += 1
        if fitting > self.level:
            self._go_to(fitting)

    def _go_to(self, level: int) -> None:
        self.level = level
        self._fast = self._slow = 0


def _predict(job: Job, seconds: float, level: int) -> float:
    """Seconds of `job`'s picture at another level when it took `seconds` at its own."""
    width, height = picture_size(job.pose.canvas, job.settings.max_side, level)
    return seconds * (width * height) / (job.size[0] * job.size[1])
