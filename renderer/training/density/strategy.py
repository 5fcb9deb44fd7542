"""What the trainer asks of density control."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from ...splats import Parameters
from ..config import TrainConfig
from ..step.fit import Terms
from ..step.optimizer import Optimizers
from .mcmc import MCMCStrategy


class Strategy(Protocol):
    """Adds, moves and removes splats: gsplat's interface, and a say in the step.

    At refinements `info` has "survey" besides what gsplat's has: a function that takes a number of
    photos, and gives what `survey.survey` does.
    """

    @property
    def watches(self) -> bool:
        """Whether `step_post_backward` looks at every step, rather than at refinements alone."""
        ...

    def initialize_state(self, scene_scale: float = 1.0) -> dict[str, Any]: ...

    def terms(self, state: dict[str, Any]) -> Terms:
        """What steps do besides following the photometric loss."""
        ...

    def noise(self, state: dict[str, Any], step: int) -> float:
        """Strength of the noise on the centres at `step`."""
        ...

    def step_post_backward(
        self,
        params: Parameters,
        optimizers: Optimizers,
        state: dict[str, Any],
        step: int,
        info: dict[str, Any],
    ) -> None: ...


def make_strategy(config: TrainConfig, generator: torch.Generator) -> Strategy:
    """The strategy that `config` names; `generator`, on the CPU, feeds it."""
    if config.strategy == "mcmc":
        return MCMCStrategy(config, generator)
    # Imported when asked for: no other fit needs gsplat.
    from .default import WaveDefaultStrategy

    return WaveDefaultStrategy(config, generator)
