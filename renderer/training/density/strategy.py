"""What the trainer asks of density control."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from ...splats import Parameters
from ..config import TrainConfig
from ..optimizer import Optimizers
from .mcmc import MCMCStrategy


class Strategy(Protocol):
    """Adds, moves and removes splats: gsplat's interface, and a say in the loss."""

    def initialize_state(self, scene_scale: float = 1.0) -> dict[str, Any]: ...

    def regularize(
        self, raw: Parameters, state: dict[str, Any], gradients: dict[str, Tensor]
    ) -> Tensor | float: ...

    def step_pre_backward(
        self,
        params: Parameters,
        optimizers: Optimizers,
        state: dict[str, Any],
        step: int,
        info: dict[str, Any],
    ) -> None: ...

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
