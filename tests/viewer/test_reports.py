"""The viewer's log: told once, then counted."""

from __future__ import annotations

import logging

import pytest

from gaborsplat.viewer.reports import FIRST, GROWTH, LONGEST, MAX_LINE, Reports


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reports(clock: Clock) -> Reports:
    return Reports(clock)


def fail(message: str) -> Exception:
    try:
        raise RuntimeError(message)
    except RuntimeError as error:
        return error


def test_the_first_of_a_kind_is_told_and_others_are_counted(
    reports: Reports, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1000):
        reports.warn("camera", f"camera {number}")
        reports.warn("site", "another site")
    assert caplog.messages == ["camera 0", "another site"]
    clock.now += FIRST
    reports.warn("camera", "camera 1000")
    assert caplog.messages[2:] == ["camera 1000 (1000 times)"]


def test_an_error_is_told_with_its_traceback_once(
    reports: Reports, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(50):
        reports.error("a turn failed", fail(f"error {number}"))
        clock.now += 1
    told = [(record.getMessage(), bool(record.exc_info)) for record in caplog.records]
    assert told == [
        ("a turn failed: RuntimeError: error 0", True),
        ("a turn failed: RuntimeError: error 15 (15 times)", False),
    ]


def test_errors_of_other_places_are_other_kinds(
    reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    reports.error("a turn failed", fail("here"))
    try:
        int("there")
    except ValueError as error:
        reports.error("a turn failed", error)
    reports.error("another thing failed", fail("here"))
    assert len(caplog.records) == 3
    assert all(record.levelno == logging.ERROR for record in caplog.records)


def test_an_hour_of_trouble_is_a_few_lines(
    reports: Reports, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(36_000):
        reports.warn("flood", "again")
        clock.now += 0.1
    assert len(caplog.messages) <= 6
    assert clock.now > 1000 + FIRST * GROWTH**3


def test_after_a_long_silence_a_kind_is_new(
    reports: Reports, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    reports.error("a turn failed", fail("today"))
    clock.now += LONGEST + FIRST
    reports.error("a turn failed", fail("tomorrow"))
    assert all(record.exc_info for record in caplog.records)


def test_closing_tells_what_was_only_counted(
    reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        reports.warn("camera", f"camera {number}")
    reports.warn("site", "once")
    reports.close()
    assert caplog.messages == ["camera 0", "once", "camera 2 (2 times)"]


def test_what_browsers_say_stays_on_one_short_line(
    reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    reports.warn("site", "line\nline \x1b[31m" + 10**6 * "x")
    assert "\n" not in caplog.messages[0]
    assert "\x1b" not in caplog.messages[0]
    assert len(caplog.messages[0]) <= MAX_LINE
