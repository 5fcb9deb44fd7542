"""When things happen in a run. Short runs pass through the same stages as long ones."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .config import LearningRates, TrainConfig

FULL_RUN = 30_000
"""Steps of a run for which the usual learning rates were found."""
WAVE_LIMITS = 10
"""About how often in a run waves that are too fine are shortened."""
MAX_SHORT_RUN_LR_SCALE = 4.0
"""Most by which the rates of a short run exceed these."""
EXCHANGE_STOP = 0.4
"""Fraction of the run in which splats are exchanged."""
SETTLING = 0.7
"""Fraction of the run from which on all rates fall: splats then end at what photos taken one by one
ask for on average, not at what the last few did."""


@dataclass(frozen=True)
class Schedule:
    """The stages of one run, in steps counted from 0."""

    steps: int
    sh_degree: int
    sh_every: int
    wave_start: int
    refine_start: int
    refine_stop: int
    refine_every: int
    grow_stop: int
    exchange_stop: int
    limit_every: int

    @classmethod
    def of(cls, config: TrainConfig) -> Schedule:
        """The stages that `config` asks for."""
        steps = config.schedule_steps
        return cls(
            steps=steps,
            sh_degree=config.degree,
            sh_every=max(1, min(config.sh_every, steps // (2 * max(1, config.degree)))),
            wave_start=int(config.wave_start * steps),
            refine_start=int(min(500, config.refine_start * steps)),
            refine_stop=int(config.refine_stop * steps),
            refine_every=max(1, min(config.refine_every, steps // 40)),
            grow_stop=int(min(config.grow_stop, config.refine_stop) * steps),
            exchange_stop=int(min(EXCHANGE_STOP, config.refine_stop) * steps),
            limit_every=max(1, steps // WAVE_LIMITS),
        )

    def active_sh_degree(self, step: int) -> int:
        """Degree of the harmonics that are learnt at `step`."""
        return min(self.sh_degree, step // self.sh_every)

    def refines(self, step: int) -> bool:
        """Whether splats are added and removed after `step`."""
        inside = self.refine_start < step < self.refine_stop
        return inside and step % self.refine_every == 0

    def limits_waves(self, step: int) -> bool:
        """Whether waves that are too fine are shortened after `step`."""
        return (step + 1) % self.limit_every == 0 or step + 1 == self.steps

    def growth(self, step: int) -> float:
        """0 when refinement starts, 1 from the last refinement before `grow_stop` on."""
        span = max(1, self.grow_stop - self.refine_every - self.refine_start)
        return min(1.0, max(0.0, (step - self.refine_start) / span))

    def splats(self, step: int, initial: int, most: int) -> int:
        """How many a run of `initial` splats that shall become `most` has after refining at `step`:
        each refinement multiplies them by the same."""
        return int(initial * (most / max(1, initial)) ** self.growth(step) + 0.5)

    def exchanged(self, step: int) -> float:
        """The part of what is exchanged in a whole run that is due when refining at `step`."""
        span = max(1, self.exchange_stop - self.refine_start)
        return min(1.0, self.refine_every / span) if step < self.exchange_stop else 0.0

    def rates(self, step: int, given: LearningRates) -> dict[str, float]:
        """Learning rate of every parameter at `step`, with the centres' in scene scales."""
        short_run_lr_scale = (FULL_RUN / self.steps) ** (1 / 3)
        short_run_lr_scale = min(MAX_SHORT_RUN_LR_SCALE, max(1.0, short_run_lr_scale))
        rates = {field.name: float(getattr(given, field.name)) for field in fields(given)}
        means_final, final = rates.pop("means_final"), rates.pop("final")
        done = min(1.0, step / self.steps)
        for name in ("means", "scales", "quats", "shN"):
            rates[name] *= short_run_lr_scale
        settled = final ** (max(0.0, done - SETTLING) / (1 - SETTLING))
        return {
            name: rate * (means_final**done if name == "means" else settled)
            for name, rate in rates.items()
        }
