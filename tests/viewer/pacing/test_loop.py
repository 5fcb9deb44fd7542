"""What the viewer renders when: the loop's decisions under a clock that the tests turn."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from paced_browser import CANVAS, PACING, START, Browser, linear, moved

from gaborsplat.viewer.pacing import loop, motion, resolution
from gaborsplat.viewer.pacing.loop import RenderLoop
from gaborsplat.viewer.settings import CropBox, ViewSettings


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
        ViewSettings(sh_degree=0),
        ViewSettings(near=1.0),
        ViewSettings(crop=CropBox((0, 0, 0), (1, 1, 1))),
        ViewSettings(beside="photo"),
        ViewSettings(split=0.3),
        ViewSettings(cameras=True),
        ViewSettings(path=True),
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


def test_one_job_is_in_hand_at_a_time_and_the_newest_pose_comes_next() -> None:
    browser = Browser().ready()
    loop = browser.loop
    loop.on_camera(moved(1), browser.now)
    first = loop.next_job(browser.now)
    assert first is not None
    for x in (2, 3, 4):
        loop.on_camera(moved(x), browser.now)
        assert loop.next_job(browser.now) is None
        assert loop.wait(browser.now) is None
    browser.wait(0.02)
    loop.on_rendered(first, 0.02, browser.now)
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
    browser.wait(wait)
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
    browser.wait(PACING.rest_after)
    job = browser.render()
    assert job is not None
    assert moving.size == job.size
    assert job.sharp
    assert job.quality > moving.quality


def test_resting_and_moving_again_starts_at_the_level_found_before() -> None:
    browser = Browser(linear(0.2)).ready()
    before = browser.drag(20)[-1].level
    assert before > 0
    browser.wait(1.0)
    assert browser.render() is not None
    assert browser.drag(1)[0].level == before


def test_a_new_scene_is_rendered_though_the_camera_rests() -> None:
    browser = Browser().ready()
    browser.loop.on_scene(2)
    job = browser.render()
    assert job is not None
    assert job.version == 2
    assert job.sharp


def test_following_a_training_takes_at_most_its_share_of_the_time() -> None:
    cost = 0.04
    browser = Browser(lambda _: cost).ready()
    version, started, until = 1, browser.now, browser.now + 60.0
    while browser.now < until:
        version += 1
        browser.loop.on_scene(version)
        if browser.render() is None:
            wait = browser.loop.wait(browser.now)
            assert wait is not None
            browser.wait(max(wait, 0.01))
    spent = cost * (len(browser.done) - 1)
    assert spent <= PACING.scene_share * (browser.now - started) + cost
    assert spent >= 0.8 * PACING.scene_share * (browser.now - started)


def test_a_fast_scene_is_followed_at_a_bounded_rate() -> None:
    browser = Browser(lambda _: 0.001).ready()
    browser.done.clear()
    for version in range(2, 1002):
        browser.loop.on_scene(version)
        browser.render()
        browser.wait(0.01)
    assert len(browser.done) <= 10 / PACING.scene_interval + 1


def test_the_next_scene_is_seen_in_bounded_time_however_long_a_picture_takes() -> None:
    browser = Browser(lambda _: 3.0).ready()
    browser.loop.on_scene(2)
    assert browser.render() is not None
    browser.loop.on_scene(3)
    wait = browser.loop.wait(browser.now)
    assert wait is not None
    assert wait <= PACING.max_scene_delay


def test_a_moving_camera_sees_new_scenes_at_a_bounded_rate_whatever_pictures_cost() -> None:
    browser = Browser(lambda _: 0.01).ready()
    start = browser.now
    for version in range(2, 202):
        browser.loop.on_scene(version)
        browser.drag(1)
    seen = {job.version for job in browser.done}
    most = (browser.now - start) / PACING.scene_interval + 2
    assert most / 2 <= len(seen) <= most


def test_the_last_scene_of_a_training_is_always_shown() -> None:
    browser = Browser().ready()
    browser.loop.on_scene(2)
    browser.render()
    browser.loop.on_scene(3)
    assert browser.render() is None
    wait = browser.loop.wait(browser.now)
    assert wait is not None
    browser.wait(wait)
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
    browser = Browser(linear(0.2)).ready()
    before = browser.drag(20)[-1].level
    assert before > 0
    for x in range(20):
        browser.loop.on_camera(moved(x), browser.now)
        job = browser.loop.next_job(browser.now)
        assert job is not None
        browser.loop.on_error(job, "broken", browser.now)
        browser.wait(0.1)
    assert browser.loop.level == before


def test_the_loop_knows_neither_threads_nor_clocks_nor_the_browser() -> None:
    for module in (loop, motion, resolution):
        source = Path(module.__file__).read_text(encoding="utf-8")
        names = {
            name
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
            + [alias.name for alias in node.names]
        }
        assert not names & {"threading", "time", "asyncio", "queue", "session", "panel"}
