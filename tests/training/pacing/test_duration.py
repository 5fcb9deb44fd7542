"""Durations as people write them."""

from __future__ import annotations

import pytest

from gaborsplat.renderer.training.pacing.duration import seconds_of

WRITTEN = {"90": 90, "90s": 90, "5m": 300, "1.5h": 5400, "0.5": 0.5, ".5m": 30, "2.h": 7200}
REFUSED = [
    "",
    "m",
    "5 m",
    "-5m",
    "0",
    "0s",
    "5min",
    "1h30m",
    "nan",
    "inf",
    "1e3",
    "٣",
    "5M",
    "1.2.3",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_a_duration_has_a_unit_or_is_in_seconds(text: str):
    assert seconds_of(text) == WRITTEN[text]


@pytest.mark.parametrize("text", [*REFUSED, "9" * 400])
def test_what_is_no_duration_is_refused_with_what_it_is(text: str):
    with pytest.raises(
        ValueError, match=r"must be a time above zero such as 90s, 5m or 1\.5h, not"
    ):
        seconds_of(text)
