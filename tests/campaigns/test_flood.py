"""The viewer under a short flood; `python -m benchmarks.campaigns.flood` is the long one."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from benchmarks.campaigns.flood import MOST_LINES, Options, Outcome, report, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    options = Options(minutes=1 / 3, clients=4, side=1024)
    outcome = run(options)
    report(outcome, options)
    return outcome


@pytest.mark.slow
def test_a_short_flood_does_no_harm(outcome: Outcome) -> None:
    assert outcome.complaints() == []
    assert outcome.tally.attacks
    assert outcome.tally.pictures > 0


@pytest.mark.slow
def test_the_verdict_sees_harm(outcome: Outcome) -> None:
    after = outcome.after
    for harm, said in [
        ({"after": replace(after, lines=MOST_LINES + 1)}, "lines of output"),
        ({"after": replace(after, threads=after.threads + 10)}, "threads are left"),
        ({"after": replace(after, files=after.files + 10)}, "files are left open"),
        ({"log": "Traceback (most recent call last):"}, "1 tracebacks"),
        ({"status": None}, "ended with status None"),
        ({"tally": replace(outcome.tally, pictures=0)}, "0.0 pictures a second"),
        ({"tally": replace(outcome.tally, lost_screenshots=1)}, "1 screenshots were lost"),
    ]:
        (complaint,) = replace(outcome, **harm).complaints()
        assert said in complaint
    grown = [replace(after, rss=100_000_000 * number) for number in range(1, 101)]
    long = replace(outcome, seconds=3600.0, samples=grown)
    assert ["memory went" in each for each in long.complaints()] == [True]
    level = replace(long, samples=[after] * 100)
    assert level.complaints() == []
