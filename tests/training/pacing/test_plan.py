"""What a run of a given time is planned to do with it."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from fitting import small_capture

import gaborsplat as gs
from gaborsplat.renderer.training.config import Default
from gaborsplat.renderer.training.cost import plan, trial
from gaborsplat.renderer.training.cost.plan import LEAST_STEPS, Budget, planned
from gaborsplat.renderer.training.cost.trial import StepTime
from gaborsplat.renderer.training.pacing.resolution import reduction_at

CPU = torch.device("cpu")
STEP = StepTime(fixed=2e-3, per_splat=1e-6, per_pixel=1e-7, decode=0.02)
SIZES = [(320, 480)] * 40
BUDGET = Budget(STEP, SIZES, kept=10**10, points=10_000)
MINUTE = gs.TrainConfig(time=60.0, coarse_to_fine=True)


def run_of(budget: Budget, seconds: float, config: gs.TrainConfig = MINUTE) -> tuple[float, int]:
    """The steps and the splats of a run."""
    splats = budget.splats(config, seconds, 3_000_000)
    return budget.steps(replace(config, max_splats=splats), seconds), splats


@pytest.fixture
def known_speed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Trials that find `STEP`; how they were asked for."""
    asked: list[dict[str, Any]] = []

    def known(*_: Any, **options: Any) -> StepTime:
        asked.append(options)
        return STEP

    monkeypatch.setattr(plan, "time_steps", known)
    return asked


def test_more_time_and_a_faster_machine_give_more_steps_and_splats():
    runs = [run_of(BUDGET, seconds) for seconds in (10, 60, 600)]
    assert runs == sorted(runs)
    assert all(first[1] < then[1] for first, then in pairwise(runs))
    faster = replace(BUDGET, step=StepTime(1e-3, 0.5e-6, 0.5e-7, 0.02))
    assert run_of(faster, 60) > run_of(BUDGET, 60)
    for steps, splats in runs:
        assert splats == pytest.approx(plan.SPLATS_PER_STEP * steps, rel=0.03)


def test_steps_are_as_many_as_their_time_and_that_of_photos_leaves():
    still = replace(MINUTE, max_splats=10_000, gabor=0, coarse_to_fine=False)
    once = STEP.of(10_000, 320 * 480)
    assert BUDGET.steps(still, 60) == pytest.approx((60 - 40 * 0.02) / once)
    forgetful = replace(BUDGET, kept=0)
    assert forgetful.steps(still, 60) == pytest.approx(60 / (once + 0.02))
    # Not all photos are seen.
    assert BUDGET.steps(still, 1) == pytest.approx(1 / (once + 0.02))
    assert BUDGET.steps(replace(still, gabor=2), 60) < BUDGET.steps(still, 60)
    assert BUDGET.steps(replace(still, steps=100), 60) == 100


def test_small_photos_make_room_for_more_steps():
    still = replace(MINUTE, max_splats=10_000, gabor=0)
    whole = BUDGET.steps(replace(still, coarse_to_fine=False), 60)
    shares = [reduction_at(moment / 1000) for moment in range(1000)]
    times = [STEP.of(10_000, 320 * 480 / each**2) for each in shares]
    expected = whole * STEP.of(10_000, 320 * 480) * sum(1 / each for each in times) / 1000
    assert BUDGET.steps(still, 60) == pytest.approx(expected, rel=0.01)
    assert expected > 1.05 * whole


def test_a_plan_decides_what_nobody_gave(known_speed: list[dict[str, Any]]):
    capture = small_capture()
    config, seconds = planned(gs.TrainConfig(time=600.0), capture, CPU)
    assert config.expected_steps is not None
    assert config.expected_steps > LEAST_STEPS
    assert config.coarse_to_fine is False  # such small photos cost little
    assert config.not_given() == ["steps", "max_splats"]
    assert config.max_splats > 1000
    assert 0 <= seconds < 1
    assert config.time == 600
    given = gs.TrainConfig(time=600.0, steps=700, max_splats=300, coarse_to_fine=False)
    bounded, _ = planned(given, capture, CPU)
    assert bounded == replace(given, expected_steps=700)
    assert bounded.not_given() == []
    assert [asked["small"] for asked in known_speed] == [False, False]
    planned(gs.TrainConfig(time=10.0), capture, CPU)
    assert known_speed[-1]["small"]


def test_a_trial_that_takes_the_time_is_told_of(
    known_speed: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    for seconds, told in ((0.4, False), (0.6, True)):
        times = iter((0.0, seconds, seconds))
        monkeypatch.setattr(plan, "now", lambda times=times: next(times))
        with caplog.at_level(logging.WARNING):
            planned(gs.TrainConfig(time=1.0), small_capture(), CPU)
        assert ("took 0.6 s of the 1 s" in caplog.text) == told
    assert known_speed


def test_trials_have_the_harmonics_that_a_run_may_have(monkeypatch: pytest.MonkeyPatch):
    degrees: list[object] = []

    class Watched(gs.Trainer):
        def __init__(self, data: Any, config: gs.TrainConfig, *rest: Any) -> None:
            degrees.append((config.sh_degree, config.time))
            super().__init__(data, config, *rest)

    monkeypatch.setattr(trial, "Trainer", Watched)
    config = gs.TrainConfig(time=20.0, max_splats=3000)
    planned(config, small_capture(), CPU)
    assert len(degrees) > 1
    assert {*degrees} == {(config.degree, None)}


def test_photos_begin_small_where_their_pixels_take_the_time():
    large = replace(BUDGET, sizes=[(1280, 1920)] * 40)
    assert large.is_of_pixels(30_000)
    assert not large.is_of_pixels(1_000_000)
    assert not BUDGET.is_of_pixels(30_000)


def test_more_splats_are_not_taken_because_they_are_allowed(known_speed: list[dict[str, Any]]):
    free, _ = planned(gs.TrainConfig(time=20.0), small_capture(), CPU)
    bounded, _ = planned(gs.TrainConfig(time=20.0, max_splats=2_900_000), small_capture(), CPU)
    assert bounded.max_splats == pytest.approx(free.max_splats, rel=0.03)
    assert len(known_speed) == 2


def test_runs_by_steps_and_those_that_are_planned_have_no_trial(known_speed: list[dict[str, Any]]):
    for config in (gs.TrainConfig(), replace(MINUTE, expected_steps=9)):
        assert planned(config, small_capture(), CPU) == (config, 0.0)
    assert known_speed == []


@pytest.mark.parametrize("inference", [False, True])
def test_a_trial_is_of_the_machine_and_counts(inference: bool):
    with torch.inference_mode(inference):
        config, seconds = planned(gs.TrainConfig(time=30.0), small_capture(), CPU)
    assert seconds > 0
    assert config.expected_steps is not None
    assert config.expected_steps >= LEAST_STEPS


def test_without_a_trial_a_run_is_the_presets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def damaged(*_: Any, **__: Any) -> StepTime:
        raise OSError("photo.jpg: cannot be read")

    monkeypatch.setattr(plan, "time_steps", damaged)
    with caplog.at_level(logging.WARNING):
        config, _ = planned(gs.TrainConfig(time=30.0), small_capture(), CPU)
    assert "no trial" in caplog.text and "photo.jpg" in caplog.text
    assert isinstance(config.max_splats, Default)
    assert (config.max_splats, config.schedule_steps) == (30_000, 2000)
