"""Pictures on their way to a page: how many, how late, and from where, under the tests' clock."""

from __future__ import annotations

import math

import pytest
from paced_browser import CANVAS, PACING, Browser, linear, moved


def test_a_page_that_acknowledges_is_sent_no_more_than_a_window_ahead() -> None:
    browser = Browser(delay=math.inf).ready()
    browser.loop.on_shown(1, 0.0, 0.0, browser.now)
    rendered = 0
    for x in range(20):
        browser.loop.on_camera(moved(x), browser.now)
        rendered += browser.render() is not None
        browser.wait(0.02)
    assert rendered == PACING.window
    browser.loop.on_shown(3, 0.0, 0.0, browser.now)
    assert browser.render() is not None
    assert browser.render() is None


def test_each_picture_shown_makes_room_for_the_newest_pose() -> None:
    browser = Browser(delay=0.03).ready()
    browser.drag(30, interval=0.005)
    start = browser.now
    jobs = browser.drag(60, interval=0.005)
    assert browser.loop.window == PACING.window
    assert (browser.now - start) / len(jobs) <= 1 / PACING.rate


def test_a_distant_page_is_sent_more_ahead_so_that_it_still_gets_sixty() -> None:
    browser = Browser(delay=0.12).ready()
    browser.drag(30, interval=0.005)
    assert PACING.window < browser.loop.window <= PACING.widest_window
    start = browser.now
    jobs = browser.drag(60, interval=0.005)
    assert len(jobs) / (browser.now - start) >= 58
    browser.delay = 3.0
    browser.drag(5)
    assert browser.loop.window <= PACING.widest_window


def silent() -> Browser:
    """A page that has acknowledged its first picture, and no other."""
    browser = Browser(delay=math.inf).ready()
    browser.loop.on_shown(1, 0.0, 0.0, browser.now)
    return browser


def fill_window(browser: Browser) -> None:
    for x in range(PACING.window):
        browser.loop.on_camera(moved(1 + x), browser.now)
        assert browser.render() is not None
        browser.wait(PACING.fastest_interval)
    browser.loop.on_camera(moved(50), browser.now)
    assert browser.render() is None


def test_a_page_that_stops_acknowledging_is_sent_ever_fewer_pictures() -> None:
    browser = silent()
    before, start = len(browser.done), browser.now
    while browser.now < start + 100.0:
        browser.loop.on_camera(moved(browser.now), browser.now)
        browser.render()
        browser.wait(0.01)
    # After 1, 2, 4, 8, 16, 30 and 30 seconds, each since the one before.
    assert len(browser.done) - before == PACING.window + 7


def test_waiting_for_a_page_ends_when_it_acknowledges() -> None:
    browser = silent()
    fill_window(browser)
    browser.loop.on_shown(2, 0.0, 0.0, browser.now)
    assert browser.loop.wait(browser.now) == 0
    assert browser.render() is not None


def test_waiting_for_a_page_ends_after_the_timeout() -> None:
    browser = silent()
    fill_window(browser)
    wait = browser.loop.wait(browser.now)
    assert wait is not None
    assert 0 < wait <= PACING.ack_timeout
    browser.wait(wait)
    assert browser.render() is not None
    wait = browser.loop.wait(browser.now)
    assert wait is None  # nothing has changed since
    browser.loop.on_camera(moved(60), browser.now)
    wait = browser.loop.wait(browser.now)
    assert wait == pytest.approx(2 * PACING.ack_timeout, abs=0.01)


def test_a_page_that_acknowledges_again_has_its_window_again() -> None:
    browser = silent()
    fill_window(browser)
    browser.wait(PACING.ack_timeout)
    last = browser.render()
    assert last is not None
    browser.loop.on_shown(last.number, 0.0, 0.0, browser.now)
    browser.wait(1.0)
    fill_window(browser)


def test_pictures_that_take_seconds_lower_the_resolution_all_the_same() -> None:
    browser = Browser(linear(1.2), delay=0.02).ready()
    browser.drag(20)
    assert browser.loop.level > 0


def test_a_network_of_a_second_a_picture_lowers_the_resolution() -> None:
    browser = Browser(delay=0.02).ready()
    browser.drag(3)
    line_free_at = browser.now
    for _ in range(2000):
        browser.loop.on_camera(moved(browser.now), browser.now)
        job = browser.loop.next_job(browser.now)
        if job is not None:
            browser.loop.on_rendered(job, 0.002, browser.now)
            browser.loop.on_sent(job, 0.001, browser.now)
            share = job.size[0] * job.size[1] / (CANVAS[0] * CANVAS[1])
            line_free_at = max(line_free_at, browser.now) + 1.2 * share
            browser.coming.append((line_free_at, job.number))
        browser.wait(0.016)
    assert browser.loop.level >= 3


def test_a_page_that_makes_numbers_up_gains_nothing() -> None:
    browser = silent()
    fill_window(browser)
    browser.loop.on_shown(10**18, 0.0, 0.0, browser.now)
    assert browser.loop.next_job(browser.now) is None


def test_a_page_that_draws_at_any_rate_gets_no_more_than_75_pictures_a_second() -> None:
    browser = Browser(lambda _: 0.0).ready()
    start = browser.now
    jobs = browser.drag(100, interval=1 / 240)
    assert len(jobs) / (browser.now - start) <= 1.01 / PACING.fastest_interval


def test_a_page_that_does_not_acknowledge_gets_thirty_pictures_a_second() -> None:
    browser = Browser(acknowledges=False).ready()
    start = browser.now
    jobs = browser.drag(60, interval=0.004)
    pace = (browser.now - start) / len(jobs)
    assert pace == pytest.approx(PACING.silent_interval, rel=0.15)


def test_shown_and_dropped_pictures_are_counted() -> None:
    browser = Browser(delay=math.inf).ready()
    browser.loop.on_shown(1, 0.0, 0.0, browser.now)
    browser.drag(PACING.window)
    browser.loop.on_shown(4, 0.0, 0.0, browser.now)
    assert (browser.loop.shown, browser.loop.dropped) == (2, 2)


def test_latency_is_that_from_asking_for_a_picture_until_it_is_shown() -> None:
    browser = Browser(linear(0.01), delay=0.04).ready()
    browser.drag(20)
    assert browser.loop.latency == pytest.approx(0.05, abs=0.002)


def test_a_steady_camera_is_rendered_where_it_will_be_when_shown() -> None:
    browser = Browser(lambda _: 0.005, delay=0.03).ready()
    browser.drag(30, interval=1 / 60)
    browser.wait(1 / 60)
    at = browser.now
    browser.loop.on_camera(moved(at), at)
    job = browser.render()
    assert job is not None
    # The camera's position is the time.
    assert job.pose.position[0] == pytest.approx(at + 0.035, abs=0.004)


def test_a_resting_camera_is_rendered_where_it_is() -> None:
    browser = Browser(lambda _: 0.005, delay=0.03).ready()
    last = browser.drag(30, interval=1 / 60)[-1]
    stood = browser.loop._pose
    browser.wait(PACING.rest_after)
    job = browser.render()
    assert job is not None
    assert job.sharp
    assert job.pose == stood
    assert job.pose != last.pose


def test_a_slow_network_lowers_the_resolution() -> None:
    """Bytes take their time: pictures arrive later and later the larger they are."""
    browser = Browser().ready()
    for _ in range(40):
        browser.loop.on_camera(moved(browser.now), browser.now)
        job = browser.loop.next_job(browser.now)
        assert job is not None
        browser.loop.on_rendered(job, 0.002, browser.now)
        browser.loop.on_sent(job, 0.001, browser.now)
        browser.wait(0.02 + 0.2 * job.size[0] * job.size[1] / (CANVAS[0] * CANVAS[1]))
        browser.loop.on_shown(job.number, 0.005, 0.002, browser.now)
    assert browser.loop.level >= 2
