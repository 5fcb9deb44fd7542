"""What the viewer renders when: the loop's decisions under a clock that the tests turn."""

from __future__ import annotations

import ast
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import viewer.loop
from viewer.loop import LADDER, Job, Pacing, Pose, RenderLoop, ViewSettings, picture_size

CANVAS = (1200, 900)
START = Pose((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.0, CANVAS)
PACING = Pacing()


def moved(x: float) -> Pose:
    return replace(START, position=(x, 0.0, 0.0))


@dataclass
class Browser:
    """A loop with its clock, and a renderer that takes as long as `cost` says."""

    cost: Callable[[Job], float] = lambda _: 0.001
    loop: RenderLoop = field(default_factory=RenderLoop)
    now: float = 100.0
    done: list[Job] = field(default_factory=list)

    def ready(self) -> Browser:
        """With a scene, a pose and the first picture shown."""
        self.loop.on_scene(1)
        self.loop.on_camera(START, self.now)
        assert self.render() is not None
        self.now += 10.0
        return self

    def render(self) -> Job | None:
        """Do the next job, if there is one."""
        job = self.loop.next_job(self.now)
        if job is not None:
            seconds = self.cost(job)
            self.now += seconds
            self.loop.on_done(job, seconds, self.now)
            self.done.append(job)
        return job

    def drag(self, pictures: int, interval: float = 0.02) -> list[Job]:
        """Move the camera every `interval` seconds for as many pictures."""
        jobs: list[Job] = []
        x = self.now
        while len(jobs) < pictures:
            x += 1.0
            self.loop.on_camera(moved(x), self.now)
            before = self.now
            job = self.render()
            assert job is not None
            jobs.append(job)
            self.now = max(self.now, before + interval)
        return jobs

    def levels(self, pictures: int) -> list[int]:
        return [job.level for job in self.drag(pictures)]


def linear(full: float, fixed: float = 0.0) -> Callable[[Job], float]:
    """Seconds of a picture that takes `full` + `fixed` at full size."""
    pixels = CANVAS[0] * CANVAS[1]
    return lambda job: fixed + full * job.size[0] * job.size[1] / pixels


def test_nothing_is_rendered_before_there_is_a_scene_and_a_pose() -> None:
    loop = RenderLoop()
    assert loop.next_job(0.0) is None
    loop.on_scene(1)
    assert loop.next_job(1.0) is None
    assert loop.wait(1.0) is None
    loop.on_camera(START, 2.0)
    assert loop.next_job(2.0) is not None


def test_nothing_is_rendered_before_training_has_made_a_scene() -> None:
    loop = RenderLoop()
    loop.on_scene(0)
    loop.on_camera(START, 0.0)
    assert loop.next_job(5.0) is None
    assert loop.wait(5.0) is None


def test_the_first_picture_is_sharp_and_full_size() -> None:
    browser = Browser().ready()
    (job,) = browser.done
    assert job.sharp
    assert job.size == CANVAS
    assert (job.pose, job.version) == (START, 1)


def test_nothing_is_rendered_when_nothing_changed() -> None:
    browser = Browser().ready()
    browser.loop.on_camera(START, browser.now)
    browser.loop.on_settings(ViewSettings())
    browser.loop.on_scene(1)
    assert browser.render() is None
    assert browser.loop.wait(browser.now) is None


@pytest.mark.parametrize(
    "settings",
    [
        ViewSettings(mode="depth"),
        ViewSettings(background=(255, 255, 255)),
        ViewSettings(max_side=640),
        ViewSettings(waves=False),
        ViewSettings(cameras=True),
    ],
)
def test_every_setting_asks_for_a_new_sharp_picture(settings: ViewSettings) -> None:
    browser = Browser().ready()
    browser.loop.on_settings(settings)
    job = browser.render()
    assert job is not None
    assert job.settings == settings
    assert job.sharp
    assert browser.render() is None


def test_one_job_is_in_flight_at_a_time_and_the_newest_pose_comes_next() -> None:
    browser = Browser().ready()
    loop = browser.loop
    loop.on_camera(moved(1), browser.now)
    first = loop.next_job(browser.now)
    assert first is not None
    for x in (2, 3, 4):
        loop.on_camera(moved(x), browser.now)
        assert loop.next_job(browser.now) is None
        assert loop.wait(browser.now) is None
    loop.on_done(first, 0.01, browser.now)
    second = loop.next_job(browser.now)
    assert second is not None
    assert second.pose == moved(4)


def test_a_picture_of_a_moving_camera_is_not_sharp() -> None:
    browser = Browser().ready()
    (job,) = browser.drag(1)
    assert not job.sharp


def test_a_resting_camera_is_sharpened_within_150_ms_of_its_last_move() -> None:
    browser = Browser(linear(0.5)).ready()
    *_, last = browser.drag(5)
    stopped = browser.now
    assert last.level > 0
    assert browser.loop.next_job(browser.now) is None
    wait = browser.loop.wait(browser.now)
    assert wait is not None
    assert wait <= 0.15
    browser.now += wait
    assert browser.now - stopped <= 0.15
    job = browser.render()
    assert job is not None
    assert job.sharp
    assert job.size == CANVAS
    assert browser.render() is None
    assert browser.loop.wait(browser.now) is None


def test_a_moving_camera_is_sharpened_even_when_full_size_is_fast() -> None:
    """Quality differs, too: a moving picture is compressed more."""
    browser = Browser().ready()
    (moving,) = browser.drag(1)
    browser.now += PACING.rest_after
    job = browser.render()
    assert job is not None
    assert moving.size == job.size
    assert job.sharp


def test_resolution_drops_until_a_picture_fits_the_budget() -> None:
    cost = linear(0.2)
    browser = Browser(cost).ready()
    jobs = browser.drag(10)
    assert cost(jobs[-1]) <= PACING.budget
    assert jobs[-1].level == jobs[3].level


def test_the_sharp_picture_already_tells_how_coarse_a_moving_one_must_be() -> None:
    cost = linear(0.2)
    browser = Browser(cost).ready()
    assert cost(browser.drag(1)[0]) <= PACING.budget


def test_resolution_stops_at_the_end_of_the_ladder() -> None:
    browser = Browser(lambda _: 2.0).ready()
    assert browser.levels(4)[-1] == len(LADDER) - 1


def test_a_cheap_scene_keeps_full_resolution_in_motion() -> None:
    browser = Browser(linear(0.01)).ready()
    assert set(browser.levels(20)) == {0}


def test_one_slow_picture_a_little_over_the_budget_changes_nothing() -> None:
    browser = Browser(linear(0.02)).ready()
    browser.drag(3)
    browser.cost = lambda _: 1.5 * PACING.budget
    browser.drag(1)
    browser.cost = linear(0.02)
    assert set(browser.levels(5)) == {0}


def test_resolution_recovers_one_level_at_a_time_when_the_scene_gets_cheaper() -> None:
    browser = Browser(linear(0.5)).ready()
    low = browser.levels(5)[-1]
    browser.cost = linear(0.005)
    levels = browser.levels(40)
    assert levels[0] == low
    assert levels[-1] == 0
    assert all(before - after in (0, 1) for before, after in itertools.pairwise(levels))
    assert levels.count(low) >= 3


@pytest.mark.parametrize("full", [0.01, 0.03, 0.034, 0.05, 0.06, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("fixed", [0.0, 0.005, 0.02, 0.03])
def test_resolution_does_not_swing_between_two_levels(full: float, fixed: float) -> None:
    browser = Browser(linear(full, fixed)).ready()
    browser.drag(30)
    assert len(set(browser.levels(60))) == 1


def test_resting_and_moving_again_starts_at_the_level_found_before() -> None:
    browser = Browser(linear(0.2)).ready()
    before = browser.levels(10)[-1]
    browser.now += 1.0
    assert browser.render() is not None
    assert browser.levels(1) == [before]


def test_a_new_scene_is_rendered_though_the_camera_rests() -> None:
    browser = Browser().ready()
    browser.loop.on_scene(2)
    job = browser.render()
    assert job is not None
    assert job.version == 2
    assert job.sharp


def test_following_a_training_takes_at_most_its_share_of_the_time() -> None:
    cost = 0.4
    browser = Browser(lambda _: cost).ready()
    version, started, until = 1, browser.now, browser.now + 60.0
    while browser.now < until:
        version += 1
        browser.loop.on_scene(version)
        if browser.render() is None:
            wait = browser.loop.wait(browser.now)
            assert wait is not None
            browser.now += max(wait, 0.01)
    spent = cost * (len(browser.done) - 1)
    assert spent <= PACING.scene_share * (browser.now - started) + cost
    assert spent >= 0.8 * PACING.scene_share * (browser.now - started)


def test_a_fast_scene_is_followed_at_a_bounded_rate() -> None:
    browser = Browser(lambda _: 0.001).ready()
    browser.done.clear()
    for version in range(2, 1002):
        browser.loop.on_scene(version)
        browser.render()
        browser.now += 0.01
    assert len(browser.done) <= 10 / PACING.scene_interval + 1


def test_a_moving_camera_does_not_adopt_new_scenes_any_faster() -> None:
    browser = Browser(lambda _: 0.01).ready()
    for version in range(2, 102):
        browser.loop.on_scene(version)
        browser.drag(1)
    seen = {job.version for job in browser.done}
    assert len(seen) <= 100 * 0.02 / PACING.scene_interval + 2
    assert len(browser.done) == 101


def test_the_last_scene_of_a_training_is_always_shown() -> None:
    browser = Browser().ready()
    browser.loop.on_scene(2)
    browser.render()
    browser.loop.on_scene(3)
    assert browser.render() is None
    wait = browser.loop.wait(browser.now)
    assert wait is not None
    browser.now += wait
    job = browser.render()
    assert job is not None
    assert job.version == 3


def test_an_error_is_kept_and_the_same_picture_is_not_tried_again() -> None:
    browser = Browser().ready()
    loop = browser.loop
    loop.on_settings(ViewSettings(mode="alpha"))
    job = loop.next_job(browser.now)
    assert job is not None
    loop.on_error(job, "out of memory", browser.now)
    assert loop.error == "out of memory"
    assert loop.next_job(browser.now + 5) is None
    assert loop.wait(browser.now + 5) is None


def test_the_next_picture_that_works_clears_the_error() -> None:
    browser = Browser().ready()
    loop = browser.loop
    loop.on_camera(moved(1), browser.now)
    job = loop.next_job(browser.now)
    assert job is not None
    loop.on_error(job, "broken", browser.now)
    browser.drag(1)
    assert loop.error is None


def test_an_error_says_nothing_about_speed() -> None:
    browser = Browser().ready()
    browser.loop.on_camera(moved(1), browser.now)
    job = browser.loop.next_job(browser.now)
    assert job is not None
    browser.loop.on_error(job, "broken", browser.now)
    assert browser.loop.level == 0


def test_a_picture_has_the_shape_of_the_canvas_within_the_chosen_size() -> None:
    assert picture_size((1920, 1080), 1280, 0) == (1280, 720)
    assert picture_size((1080, 1920), 1280, LADDER.index(0.5)) == (360, 640)
    assert picture_size((640, 480), 1280, 0) == (640, 480)


def test_a_picture_stays_large_enough_to_see_something() -> None:
    assert picture_size((800, 400), 1280, len(LADDER) - 1) == (256, 128)
    assert picture_size((200, 100), 1280, len(LADDER) - 1) == (200, 100)


@pytest.mark.parametrize("canvas", [(1, 1), (1, 100_000), (100_000, 1), (10**9, 10**9)])
def test_no_canvas_makes_a_picture_too_large_or_empty(canvas: tuple[int, int]) -> None:
    for level in range(len(LADDER)):
        size = picture_size(canvas, 1280, level)
        assert min(size) >= 16
        assert max(size) <= 1280


def test_the_loop_knows_neither_threads_nor_clocks_nor_the_browser() -> None:
    source = Path(viewer.loop.__file__).read_text(encoding="utf-8")
    imported: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module or "")
    assert imported <= set(sys.stdlib_module_names)
    assert not imported & {"threading", "time", "asyncio"}
