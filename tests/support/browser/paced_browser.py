"""A browser of pure logic, under a clock that the tests turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gaborsplat.viewer.pacing.loop import Job, Pacing, RenderLoop
from gaborsplat.viewer.settings import Pose

CANVAS = (1200, 900)
START = Pose((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.0, CANVAS)
PACING = Pacing()


def moved(x: float) -> Pose:
    return replace(START, position=(x, 0.0, 0.0))


@dataclass
class Browser:
    """A loop with its clock, and a renderer that takes as long as `cost` says. Its page
    acknowledges pictures, `delay` seconds after they were sent."""

    cost: Callable[[Job], float] = lambda _: 0.001
    acknowledges: bool = True
    delay: float = 0.0
    loop: RenderLoop = field(default_factory=RenderLoop)
    now: float = 100.0
    done: list[Job] = field(default_factory=list)
    coming: list[tuple[float, int]] = field(default_factory=list)

    def ready(self) -> Browser:
        """With a scene, a pose and the first picture shown."""
        self.loop.on_scene(1)
        self.loop.on_camera(START, self.now)
        assert self.render() is not None
        self.wait(10.0)
        return self

    def wait(self, seconds: float) -> None:
        """Let time pass, and the page acknowledge what it has shown by then."""
        until = self.now + seconds
        while self.coming and self.coming[0][0] <= until:
            self.now, number = self.coming.pop(0)
            self.loop.on_shown(number, self.delay, 0.0, self.now)
        self.now = until

    def render(self) -> Job | None:
        """Do the next job, if there is one."""
        self.wait(0.0)
        job = self.loop.next_job(self.now)
        if job is not None:
            seconds = self.cost(job)
            self.wait(seconds)
            self.loop.on_rendered(job, seconds, self.now)
            self.loop.on_sent(job, 0.0, self.now)
            if self.acknowledges:
                self.coming.append((self.now + self.delay, job.number))
            self.wait(0.0)
            self.done.append(job)
        return job

    def drag(self, pictures: int, interval: float = 0.02) -> list[Job]:
        """Move the camera every `interval` seconds until so many pictures are rendered."""
        jobs: list[Job] = []
        for _ in range(100 * pictures):
            self.loop.on_camera(moved(self.now), self.now)
            before = self.now
            job = self.render()
            jobs += [job] if job is not None else []
            if len(jobs) == pictures:
                return jobs
            self.wait(max(0.0, before + interval - self.now))
        raise AssertionError(f"{len(jobs)} of {pictures} pictures were rendered")


def linear(full: float, fixed: float = 0.0) -> Callable[[Job], float]:
    """Seconds of a picture that takes `full` + `fixed` at full size."""
    pixels = CANVAS[0] * CANVAS[1]
    return lambda job: fixed + full * job.size[0] * job.size[1] / pixels
