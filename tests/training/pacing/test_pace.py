"""Where in its schedule a run is: by its steps, or by a clock that the tests turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gaborsplat.renderer.training import TrainConfig
from gaborsplat.renderer.training.pacing import pace as pacing
from gaborsplat.renderer.training.pacing.pace import Pace
from gaborsplat.renderer.training.schedule import Schedule

TIMED = TrainConfig(time=60.0, expected_steps=600, sh_degree=3)


class Clock:
    """Stands still until somebody moves it."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacing, "now", clock)
    return clock


class Run:
    """A run of steps that do nothing but take time, and what was due in it."""

    def __init__(self, clock: Clock, config: TrainConfig) -> None:
        self.clock, self.pace, self.schedule = clock, Pace(config), Schedule.of(config)
        self.steps = 0
        self.places: list[int] = []
        self.refined: list[int] = []
        self.limited = 0

    def step(self, seconds: float) -> None:
        self.pace.begin(self.steps)
        self.clock.seconds += seconds
        self.steps += 1
        refined = self.pace.due(self.schedule.refines)
        self.refined += [] if refined is None else [refined]
        self.limited += self.pace.due(self.schedule.limits_waves) is not None
        self.places.append(self.pace.step)
        self.pace.end()

    def to_the_end(self, seconds: Callable[[int], float]) -> Run:
        while not self.pace.done(self.steps):
            self.step(seconds(self.steps))
        return self


def test_a_run_by_steps_is_at_its_steps_whatever_they_take(clock: Clock):
    run = Run(clock, TrainConfig(steps=500))
    steps = range(500)
    run.to_the_end(lambda step: 0.1 + step % 7)
    assert run.places == list(steps)
    assert run.refined == [step for step in steps if run.schedule.refines(step)]
    assert run.limited == sum(run.schedule.limits_waves(step) for step in steps)
    assert run.pace.left == float("inf")
    assert run.pace.affords(1e9, 1.0)


SPEEDS: dict[str, Callable[[int], float]] = {
    "as expected": lambda _: 0.1,
    "three times slower": lambda _: 0.3,
    "so slow that there are few": lambda _: 1.4,
    "four times faster": lambda _: 0.025,
    "slower and slower": lambda step: 0.02 + 0.0005 * step,
    "faster and faster": lambda step: 0.4 / (1 + 0.01 * step),
    "now and then very slow": lambda step: 2.0 if step % 50 == 20 else 0.08,
}


@pytest.mark.parametrize("speed", SPEEDS.values(), ids=SPEEDS)
def test_a_run_by_time_ends_in_time_and_goes_through_all_stages(
    clock: Clock, speed: Callable[[int], float]
):
    run = Run(clock, TIMED).to_the_end(speed)
    assert 0.95 * 60 <= run.pace.elapsed <= 60
    assert run.places == sorted(run.places)
    assert (run.places[0], run.places[-1]) == (0, 599)
    assert [run.schedule.active_sh_degree(place) for place in (0, *run.places[-2:])] == [0, 3, 3]
    expected = [step for step in range(600) if run.schedule.refines(step)]
    assert run.refined == sorted(set(run.refined))
    assert {*run.refined} <= {*expected}
    # A step that takes long goes over several refinements.
    assert len(run.refined) >= min(0.75 * len(expected), 0.4 * run.steps)
    assert run.schedule.growth(run.refined[-1]) == 1
    assert run.limited == times_limited(run)


def times_limited(run: Run) -> int:
    """How often waves are limited: ten times, or less where one step goes over two of them."""
    return len({place // run.schedule.limit_every for place in (*run.places[1:], 600)} - {0})


def test_its_place_follows_the_time_that_has_passed(clock: Clock):
    run = Run(clock, TIMED)
    for _ in range(20):
        run.step(1.5)
        passed = run.pace.elapsed
    run.step(1.5)
    assert passed == pytest.approx(30)
    assert run.places[-1] == 300
    assert run.pace.progress == 0.5
    assert run.pace.left == pytest.approx(28.5)


def test_what_passes_between_steps_counts_but_not_a_rest(clock: Clock):
    run = Run(clock, TIMED)
    clock.seconds += 100  # before the first step
    run.step(1.0)
    clock.seconds += 2.0
    run.step(1.0)
    with run.pace.resting():
        clock.seconds += 500.0
    run.step(1.0)
    assert run.pace.elapsed == pytest.approx(5.0)


def test_a_rest_ends_where_its_work_fails(clock: Clock):
    run = Run(clock, TIMED)
    run.step(1.0)
    with pytest.raises(KeyboardInterrupt), run.pace.resting():
        clock.seconds += 500.0
        raise KeyboardInterrupt
    run.step(1.0)
    assert run.pace.elapsed == pytest.approx(2.0)


def test_what_was_spent_before_the_first_step_leaves_the_stages_as_they_are(clock: Clock):
    run = Run(clock, TIMED)
    run.pace.spend(20.0)
    run.to_the_end(lambda _: 0.1)
    assert run.places[0] == 0
    assert run.places[200] == 300  # half of the 40 s that were left
    assert 57 <= run.pace.elapsed <= 60
    assert 0.95 * 40 <= 0.1 * run.steps <= 40


def test_steps_that_were_given_are_the_most(clock: Clock):
    bounded = replace(TIMED, steps=100)
    quick = Run(clock, bounded).to_the_end(lambda _: 0.1)
    assert quick.steps == 100
    assert quick.pace.elapsed == pytest.approx(10)
    assert quick.places[-1] == 599
    slow = Run(clock, bounded).to_the_end(lambda _: 1.0)
    assert 57 <= slow.steps <= 60
    assert slow.places[-1] == 599


def test_a_run_goes_on_with_the_time_that_was_left(clock: Clock):
    first = Run(clock, TIMED)
    for _ in range(20):
        first.step(1.0)
    second = Run(clock, TIMED)
    second.pace.go_on(first.pace.state(), 0.0)
    second.steps = first.steps
    clock.seconds += 10_000
    second.to_the_end(lambda _: 0.5)
    assert second.places[0] == 200
    assert 57 <= second.pace.elapsed <= 60
    assert 0.5 * (second.steps - 20) == pytest.approx(39.5, abs=1)


def test_a_run_that_has_ended_goes_on_if_it_gets_more_time(clock: Clock):
    first = Run(clock, TIMED).to_the_end(lambda _: 0.1)
    again, longer = Run(clock, TIMED), Run(clock, replace(TIMED, time=90.0))
    for each in (again, longer):
        each.pace.go_on(first.pace.state(), 0.0)
        each.steps = first.steps
    assert again.pace.done(again.steps)
    longer.to_the_end(lambda _: 0.1)
    assert 0.95 * 90 <= longer.pace.elapsed <= 90
    assert longer.steps - first.steps == pytest.approx(300, abs=5)


def test_a_run_by_steps_that_gets_a_time_has_used_what_its_steps_took(clock: Clock):
    run = Run(clock, TIMED)
    run.pace.go_on(None, 45.0)
    assert run.pace.left == 15
    run.to_the_end(lambda _: 0.1)
    assert 0.1 * run.steps == pytest.approx(15, abs=1)


def test_what_is_done_besides_steps_has_a_small_part_of_the_time(clock: Clock):
    run = Run(clock, TIMED)
    run.step(1.0)
    assert run.pace.affords(1.0)
    assert not run.pace.affords(40.0)
    assert run.pace.affords(1.0, 30.0)
    assert not run.pace.affords(1.0, 10.0)


def test_what_comes_after_the_last_step_is_left_time_for(clock: Clock):
    run = Run(clock, TIMED)
    while not run.pace.done(run.steps):
        run.pace.begin(run.steps)
        clock.seconds += 0.1
        if run.pace.due(run.schedule.limits_waves) is not None:
            with run.pace.closing():
                clock.seconds += 2.0
        run.pace.end()
        run.steps += 1
    assert 57 <= run.pace.elapsed <= 60
    assert run.pace.step == 599
