"""The stages of a run, whatever its length."""

from __future__ import annotations

import pytest

from gaborsplat.renderer.training.config import LearningRates, TrainConfig
from gaborsplat.renderer.training.schedule import Schedule


@pytest.mark.parametrize("steps", [100, 500, 2000, 30_000])
def test_runs_of_any_length_pass_through_the_same_stages(steps: int) -> None:
    schedule = Schedule.of(TrainConfig(steps=steps))
    refinements = [step for step in range(steps) if schedule.refines(step)]
    assert len(refinements) >= 25
    assert schedule.growth(schedule.grow_stop) == 1.0
    assert 0 < schedule.wave_start < refinements[-1] < 0.8 * steps
    degrees = [schedule.active_sh_degree(step) for step in (0, steps // 2 + 1, steps - 1)]
    assert degrees == [0, 3, 3]
    exchanged = [schedule.exchanged(step) for step in refinements]
    assert sum(exchanged) == pytest.approx(1.0, abs=0.1)
    assert exchanged[-1] == 0


def test_learning_rates_are_the_given_ones_in_a_full_run_and_larger_in_a_short_one() -> None:
    given = LearningRates()
    full, short = Schedule.of(TrainConfig(steps=30_000)), Schedule.of(TrainConfig(steps=3750))
    assert full.rates(0, given)["means"] == given.means
    assert full.rates(30_000, given)["means"] == pytest.approx(given.means * given.means_final)
    assert short.rates(0, given)["means"] == pytest.approx(2 * given.means)
    assert short.rates(2000, given)["scales"] == pytest.approx(2 * given.scales)
    assert short.rates(0, given)["opacities"] == given.opacities
    assert Schedule.of(TrainConfig(steps=10)).rates(0, given)["shN"] == pytest.approx(4 * given.shN)


def test_all_rates_are_level_until_the_last_part_of_a_run_and_then_fall_to_their_end() -> None:
    given = LearningRates(final=0.25)
    schedule = Schedule.of(TrainConfig(steps=30_000))
    for name in ("scales", "quats", "opacities", "sh0", "shN", "frequencies", "coefficients"):
        rates = [schedule.rates(step, given)[name] for step in (0, 20_000, 25_500, 30_000, 40_000)]
        assert rates[:2] == [getattr(given, name)] * 2
        assert rates[2:] == pytest.approx([getattr(given, name) * by for by in (0.5, 0.25, 0.25)])
