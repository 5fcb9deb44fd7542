"""When things happen in a run. Short runs pass through the same stages as long ones."""

from __future__ import annotations

from dataclasses import dataclass

from .config import TrainConfig


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

    @classmethod
    def of(cls, config: TrainConfig) -> Schedule:
        """The stages that `config` asks for."""
        steps = config.steps
        return cls(
            steps=steps,
            sh_degree=config.sh_degree,
            sh_every=max(1, min(config.sh_every, steps // (2 * max(1, config.sh_degree)))),
            wave_start=int(config.wave_start * steps),
            refine_start=int(min(500, config.refine_start * steps)),
            refine_stop=int(config.refine_stop * steps),
            refine_every=max(1, min(config.refine_every, steps // 40)),
        )

    def active_sh_degree(self, step: int) -> int:
        """Degree of the harmonics that are learnt at `step`."""
        return min(self.sh_degree, step // self.sh_every)

    def refines(self, step: int) -> bool:
        """Whether splats are added and removed after `step`."""
        inside = self.refine_start < step < self.refine_stop
        return inside and step % self.refine_every == 0

    def refine_progress(self, step: int) -> float:
        """0 when refinement starts, 1 from the last refinement on."""
        span = max(1, self.refine_stop - self.refine_every - self.refine_start)
        return min(1.0, max(0.0, (step - self.refine_start) / span))

    def means_decay(self, step: int, final: float) -> float:
        """Factor on the centres' learning rate: 1 at the start, `final` at the end."""
        return final ** min(1.0, step / self.steps)
