"""gsplat's density control with waves: the original clone-and-split of 3D Gaussian splatting.

Importing this module imports gsplat, which takes a moment; its CUDA parts are not used.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from gsplat.strategy import DefaultStrategy
from torch import Tensor

from ...splats import Parameters, RawSplats
from ..config import TrainConfig
from ..gabor.waves import carry_waves
from ..schedule import Schedule
from ..step.fit import Terms
from ..step.optimizer import Optimizers
from .borrowed import Borrowed

RESETS_NEED = 15_000
"""Shorter runs have no time to recover from an opacity reset, so they have none."""
NEVER_GROWS = 1e9
"""Times seen, in gsplat's statistics, of a splat whose mean gradient shall be nothing."""


class WaveDefaultStrategy(DefaultStrategy):
    """gsplat 1.5's `DefaultStrategy`, plus inherited waves, a cap and its own random numbers.

    gsplat carries every tensor in `state` through its clones, splits and removals. So each
    refinement runs with every splat's centre and scale put there before it: afterwards they are
    the parent's, and the waves follow from the difference.

    `max_splats` holds at every moment: where more splats ask to grow than there is room for,
    those with the largest mean gradient do.

    Attributes:
        watches: True, the gradients of every step are looked at.
    """

    watches = True

    def __init__(self, config: TrainConfig, generator: torch.Generator) -> None:
        schedule = Schedule.of(config)
        super().__init__(
            grow_grad2d=config.grow_gradient,
            refine_start_iter=schedule.refine_start,
            refine_stop_iter=schedule.refine_stop,
            refine_every=schedule.refine_every,
            reset_every=3000 if schedule.steps >= RESETS_NEED else schedule.steps,
        )
        self._schedule = schedule
        self._max_splats = config.max_splats
        self._generator = generator

    def terms(self, state: dict[str, Any]) -> Terms:
        """Nothing: this strategy has no part in the loss."""
        return Terms()

    def noise(self, state: dict[str, Any], step: int) -> float:
        """0: there is none."""
        return 0.0

    def step_post_backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        params: Parameters,
        optimizers: Optimizers,
        state: dict[str, Any],
        step: int,
        info: dict[str, Any],
        packed: bool = False,
    ) -> None:
        """Collect gradients; at refinements clone, split and prune. See gsplat's `Strategy`."""
        if "visible" in info:  # gsplat takes radii for a mask
            info = {**info, "radii": info["radii"] * info["visible"][..., None]}
        inherited = (params, optimizers, state, step, info, packed)
        if not self._schedule.refines(step):
            with Borrowed():
                super().step_post_backward(*inherited)
            return
        self._leave_room(state, len(params["means"]))
        state["anchor_means"] = params["means"].detach().clone()
        state["anchor_scales"] = params["scales"].detach().clone()
        # On the device, which gsplat draws on; its draws follow from ours.
        generator = torch.Generator(params["means"].device)
        with Borrowed(generator.manual_seed(_draw_seed(self._generator))):
            super().step_post_backward(*inherited)
        carry_waves(RawSplats.of(params), state.pop("anchor_means"), state.pop("anchor_scales"))

    def _leave_room(self, state: dict[str, Any], count: int) -> None:
        """Let at most as many splats grow as `max_splats` leaves room for."""
        if state["grad2d"] is None:
            return
        total, seen = cast(Tensor, state["grad2d"]), cast(Tensor, state["count"])
        room = self._max_splats - count
        if room >= count:
            return
        order = (total / seen.clamp_min(1)).argsort(descending=True, stable=True)
        seen[order[max(0, room) :]] = NEVER_GROWS


def _draw_seed(generator: torch.Generator) -> int:
    return int(torch.randint(2**62, (), generator=generator, device=generator.device).item())
