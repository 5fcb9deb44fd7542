"""Density control of "3D Gaussian Splatting as Markov Chain Monte Carlo" (arXiv 2404.09591)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._native import NoiseArguments
from ...backends.registry import backend_for
from ...splats import Parameters, RawSplats
from ..config import TrainConfig
from ..gabor.waves import carry_waves
from ..optimizer import Optimizers, take_rows
from ..schedule import Schedule

DEAD_OPACITY = 0.005
"""A splat at or below this is moved to where a living one is."""
MOST_COPIES = 51
"""More splats than this in one place count as this many."""
NOISE_SLOPE = 100.0
"""The noise fades as sigmoid(slope * (DEAD_OPACITY - opacity)), paper section 3.2."""
MIN_NOISE_LOGIT = -20.0
"""A splat whose share of the noise is less than e^-20 gets none."""


class MCMCStrategy:
    """Relocates dead splats, grows to the cap and adds noise to faint splats; gsplat's interface.

    Dead and new splats are drawn together, in proportion to opacity, onto living ones; all that
    share a place get the opacity and scale that keep its image (eq. 9). The number of splats
    grows geometrically, from the first refinement on, to `max_splats` at `grow_stop`.

    Lengths are measured in scene scales, which makes noise and regularisation free of the
    capture's unit. All random numbers come from `generator`, on the CPU.
    """

    def __init__(self, config: TrainConfig, generator: torch.Generator) -> None:
        self._config = config
        self._schedule = Schedule.of(config)
        self._generator = generator

    def initialize_state(self, scene_scale: float = 1.0) -> dict[str, Any]:
        """What is carried from step to step."""
        return {"scene_scale": scene_scale, "initial_count": None}

    @torch.no_grad()
    def regularize(
        self, raw: Parameters, state: dict[str, Any], gradients: dict[str, Tensor]
    ) -> Tensor | float:
        """The loss that lets unneeded splats fade and shrink (paper, section 3.5): a weight times
        the mean opacity, and one times the mean standard deviation. Adds its gradient."""
        splats = RawSplats.of(raw)
        opacities, scales = torch.sigmoid(splats.opacity_logits), torch.exp(splats.log_scales)
        opacity_weight = self._config.opacity_weight / max(1, opacities.numel())
        scale_weight = self._config.scale_weight / state["scene_scale"] / max(1, scales.numel())
        gradients["opacities"].add_(opacities * (1 - opacities), alpha=opacity_weight)
        gradients["scales"].add_(scales, alpha=scale_weight)
        return opacity_weight * opacities.sum() + scale_weight * scales.sum()

    def step_pre_backward(
        self,
        params: Parameters,
        optimizers: Optimizers,
        state: dict[str, Any],
        step: int,
        info: dict[str, Any],
    ) -> None:
        """Nothing; part of the interface."""

    @torch.no_grad()
    def step_post_backward(
        self,
        params: Parameters,
        optimizers: Optimizers,
        state: dict[str, Any],
        step: int,
        info: dict[str, Any],
    ) -> None:
        """Move and add splats, and add noise to their centres; call after the optimisers' step."""
        if state["initial_count"] is None:
            state["initial_count"] = len(params["means"])
        if self._schedule.refines(step):
            initial, most = state["initial_count"], self._config.max_splats
            self._refine(params, optimizers, self._schedule.splats(step, initial, most))
        rate = self._schedule.rates(step, self._config.learning_rates)["means"]
        self._inject_noise(params, self._config.noise * rate / state["scene_scale"])

    def _refine(self, params: Parameters, optimizers: Optimizers, wanted: int) -> None:
        opacities = torch.sigmoid(params["opacities"])
        count = len(opacities)
        dead = torch.nonzero(~(opacities > DEAD_OPACITY)).squeeze(-1)
        moved = len(dead) + max(0, wanted - count)
        if moved == 0 or len(dead) == count:
            return
        weights = opacities.index_fill(0, dead, 0.0)
        sources = _draw(weights, moved, self._generator)

        rows = torch.arange(count, device=dead.device)
        rows[dead] = sources[: len(dead)]
        rows = torch.cat([rows, sources[len(dead) :]])
        copies = torch.bincount(rows, minlength=count)[rows]
        anchor_means, anchor_scales = params["means"][rows], params["scales"][rows]
        take_rows(params, optimizers, rows, fresh=copies > 1)
        _share(params, copies)
        carry_waves(RawSplats.of(params), anchor_means, anchor_scales)

    def _inject_noise(self, params: Parameters, strength: float) -> None:
        """Move faint splats by Sigma n, where n is white noise and Sigma the splat's covariance."""
        raw = RawSplats.of(params)
        seed = int(torch.randint(2**62, (), generator=self._generator))
        arguments = NoiseArguments(
            splats=len(raw),
            seed=seed,
            strength=strength,
            slope=NOISE_SLOPE,
            opacity_threshold=DEAD_OPACITY,
            min_logit=MIN_NOISE_LOGIT,
            means=raw.means,
            quats=raw.quats,
            log_scales=raw.log_scales,
            opacity_logits=raw.opacity_logits,
        )
        backend_for(raw.means.device).inject_noise(arguments)


def share_opacity(opacities: Tensor, copies: Tensor) -> tuple[Tensor, Tensor]:
    """Opacity and factor on the scale of each of n equal splats that replace one (eq. 9).

    `opacities` [M] in (0, 1) and `copies` [M] int64, n >= 1, give [M] each. The paper's double sum
    over i <= n and k < i of binomials C(i - 1, k) is, by the hockey-stick identity, one sum
    of C(n, k). It alternates, so it is taken in double precision.
    """
    table = torch.tensor(
        [
            [(-1.0) ** (k - 1) * math.comb(n, k) / math.sqrt(k) for k in range(1, MOST_COPIES + 1)]
            for n in range(MOST_COPIES + 1)
        ],
        dtype=torch.float64,
        device=opacities.device,
    )
    copies = copies.clamp(max=MOST_COPIES)
    whole = opacities.double().clamp(max=1.0 - 1e-6)
    shared = -torch.expm1(torch.log1p(-whole) / copies)
    powers = shared[:, None] ** torch.arange(1, MOST_COPIES + 1, device=opacities.device)
    factor = whole / (table[copies] * powers).sum(dim=-1)
    return shared.to(opacities.dtype), factor.to(opacities.dtype)


def _share(params: Parameters, copies: Tensor) -> None:
    several = torch.nonzero(copies > 1).squeeze(-1)
    opacities = torch.sigmoid(params["opacities"][several])
    shared, factor = share_opacity(opacities, copies[several])
    params["opacities"][several] = torch.logit(shared.clamp(DEAD_OPACITY, 1.0 - 1e-6))
    params["scales"][several] += torch.log(factor)[:, None]


def _draw(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """[count] indices, with replacement, by weights in [0, 1]; torch.multinomial takes at most 2^24
    of them."""
    # As whole numbers: running sums of floats have no fixed order on a GPU.
    cumulative = (weights.double() * 2**32).long().cumsum(0)
    ticks = torch.rand(count, generator=generator, dtype=torch.float64).to(weights.device)
    indices = torch.searchsorted(cumulative, (ticks * cumulative[-1]).long(), right=True)
    return indices.clamp(max=len(weights) - 1)
