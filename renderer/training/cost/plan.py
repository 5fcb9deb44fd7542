"""What a run of a given time does with it on this machine."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import NamedTuple

import torch

from ..config import Default, TrainConfig
from ..data import FitInput
from ..gabor.wave_init import PICTURES
from ..pacing.pace import now
from ..pacing.resolution import reduction_at
from ..schedule import Schedule
from .memory import FEWEST, free_memory, most_splats, photos_kept
from .trial import StepTime, time_steps

log = logging.getLogger(__name__)

SPLATS_PER_STEP = 40
"""Splats that a run becomes, at most, for every step that it has."""
PIXELS_SHARE = 0.5
"""Part of a step's time that is for pixels from which on photos begin small."""
MOST = 3_000_000
"""Splats that it becomes at most."""
LEAST_STEPS = 500
"""Steps that are expected at least: with fewer the stages would have hardly any."""
MOST_TRIAL = 0.5
"""Part of the time that a trial takes without a word."""
SHORT = 60.0
"""Runs of less time have a smaller trial [s]."""
MOMENTS = 100
"""Moments of a run at which the time of its steps is looked at."""


class Plan(NamedTuple):
    """What has been chosen.

    Attributes:
        config: with the steps that are expected, and splats and `coarse_to_fine`.
        seconds: that it took to find out.
    """

    config: TrainConfig
    seconds: float


def planned(config: TrainConfig, data: FitInput, device: torch.device) -> Plan:
    """`config` of a run with a `time`, with all that nobody gave as this machine's speed wants it;
    others as they are, and so those for which it is known how many steps are expected.

    More splats make steps slower, so that there are fewer of them. The number is that at which
    there are `SPLATS_PER_STEP` for each step.
    """
    time = config.time
    if time is None or config.expected_steps is not None:
        return Plan(config, 0.0)
    # The first one has torch load what takes seconds, as a program's start does.
    torch.optim.SGD([torch.zeros(1, dtype=torch.float32, device="cpu")])
    began = now()
    sizes, free = [view.camera.size for view in data.train], free_memory(device)
    room = MOST if free is None or not sizes else most_splats(config, sizes, device, free)
    if not sizes or not room:
        return Plan(config, now() - began)  # others say that this cannot be trained
    try:
        step = time_steps(data, config, device, room, small=time < SHORT)
    except (OSError, ValueError) as error:  # such as a photo that is damaged
        log.warning("note: no trial, steps and splats are the preset's: %s", error)
        return Plan(config, now() - began)
    kept = max(photos_kept(sizes, where, free) for where in (device, torch.device("cpu")))
    budget = Budget(step, sizes, kept, len(data.points))
    seconds = now() - began
    chosen = "max_splats" in config.not_given()
    most = min(MOST, room) if chosen else config.max_splats
    coarse = budget.is_of_pixels(budget.splats(config, time - seconds, most))
    config = config.or_else({"coarse_to_fine": coarse})
    splats = budget.splats(config, time - seconds, most)
    config = replace(config, max_splats=Default(splats) if chosen else splats)
    expected = max(LEAST_STEPS, round(budget.steps(config, time - seconds)))
    if seconds > MOST_TRIAL * time:
        told = f"to try this machine took {seconds:.1f} s of the {time:g} s that the run is given"
        log.warning("note: %s: little is learnt in the others", told)
    return Plan(replace(config, expected_steps=expected), seconds)


@dataclass(frozen=True)
class Budget:
    """What steps take, and what the photos add to that.

    Attributes:
        step: time of a step.
        sizes: (width, height) of the photos [px].
        kept: bytes of photos that stay in memory; all others are decoded at every step.
        points: that a run begins with.
    """

    step: StepTime
    sizes: Sequence[tuple[int, int]]
    kept: int
    points: int

    def steps(self, config: TrainConfig, seconds: float) -> float:
        """How many steps a run takes in so much time, `config.steps` at most if somebody gave
        them."""
        schedule = Schedule.of(replace(config, time=None, steps=LEAST_STEPS))
        initial = min(self.points, config.max_splats)
        pixels = mean(width * height for width, height in self.sizes)
        views = len(self.sizes)
        missed = max(0.0, 1 - self.kept / (3 * pixels * views))
        rates: list[float] = []
        for moment in range(MOMENTS):
            done = moment / MOMENTS
            smaller = reduction_at(done) if config.coarse_to_fine else 1
            splats = schedule.splats(int(done * schedule.steps), initial, config.max_splats)
            once = self.step.of(splats, pixels / smaller**2) + missed * self.step.decode
            rates.append(1 / max(once, 1e-9))
        rate = mean(rates)
        # Each photo is decoded when it is first wanted, and waves begin with some pictures.
        first = (1 - missed) * self.step.decode
        if config.gabor > 0 and config.wave_birth == "residual":
            seconds -= PICTURES * self.step.of(initial, pixels)
        steps = max(1.0, max((seconds - views * first) * rate, seconds / (1 / rate + first)))
        return steps if "steps" in config.not_given() else min(steps, config.steps)

    def is_of_pixels(self, splats: int) -> bool:
        """Whether a step with so many splats takes its time for pixels, so that small photos make
        it much faster."""
        pixels = mean(width * height for width, height in self.sizes)
        return self.step.per_pixel * pixels >= PIXELS_SHARE * self.step.of(splats, pixels)

    def splats(self, config: TrainConfig, seconds: float, most: int) -> int:
        """How many a run of so much time becomes."""
        few, many = min(FEWEST, most), most
        while many > 1.01 * few + 1:
            between = round((few * many) ** 0.5)
            steps = self.steps(replace(config, max_splats=between), seconds)
            few, many = (between, many) if between <= SPLATS_PER_STEP * steps else (few, between)
        return few
