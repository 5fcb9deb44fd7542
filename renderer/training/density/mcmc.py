"""Density control of "3D Gaussian Splatting as Markov Chain Monte Carlo" (arXiv 2404.09591)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...editing.order import morton_order
from ...splats import Parameters, RawSplats
from ..config import TrainConfig
from ..gabor.waves import carry_waves
from ..schedule import Schedule
from ..step.fit import Terms
from ..step.optimizer import Optimizers, take_rows

DEAD_OPACITY = 0.005
"""A splat at or below this is moved to where a living one is."""
MOST_COPIES = 51
"""More splats than this in one place count as this many."""
NOISE_SLOPE = 100.0
"""The noise fades as sigmoid(slope * (DEAD_OPACITY - opacity)), paper section 3.2."""
MIN_NOISE_LOGIT = -20.0
"""A splat whose share of the noise is less than e^-20 gets none."""
SURVEYED = 2
"""Photos that are surveyed at a refinement."""
MEMORY = 0.8
"""What an earlier survey counts for at the next one."""


class MCMCStrategy:
    """Relocates dead splats, grows to the cap and adds noise to faint splats; gsplat's interface.

    Dead and new splats are drawn together onto living ones; all that share a place get the opacity
    and scale that keep its image (eq. 9). The number of splats grows geometrically, from the first
    refinement on, to `max_splats` at `grow_stop`.

    While splats are exchanged, some photos are surveyed (`survey.py`) at every refinement. Those
    splats that add least to a photo that shows them then count as dead too, and where splats are
    drawn to is in proportion to the error that they have a part in. Later, and where nobody
    surveys, it is in proportion to opacity, as in the paper.

    At refinements splats are put in an order in which neighbours lie together (`order.py`).

    Lengths are measured in scene scales, which makes noise and regularisation free of the
    capture's unit. All random numbers come from `generator`, on the CPU.

    Attributes:
        watches: False, what a step drew is not looked at.
    """

    watches = False

    def __init__(self, config: TrainConfig, generator: torch.Generator) -> None:
        self._config = config
        self._schedule = Schedule.of(config)
        self._generator = generator

    def initialize_state(self, scene_scale: float = 1.0) -> dict[str, Any]:
        """What is carried from step to step."""
        return {"scene_scale": scene_scale, "initial_count": None, "survey": None}

    def terms(self, state: dict[str, Any]) -> Terms:
        """What lets unneeded splats fade and shrink (paper, section 3.5), and who gets noise."""
        return Terms(
            opacity_weight=self._config.opacity_weight,
            scale_weight=self._config.scale_weight / state["scene_scale"],
            noise_slope=NOISE_SLOPE,
            opacity_threshold=DEAD_OPACITY,
            noise_min_logit=MIN_NOISE_LOGIT,
        )

    def noise(self, state: dict[str, Any], step: int) -> float:
        """Strength of the noise at `step`: faint splats move by Sigma n times it, where n is white
        noise and Sigma the splat's covariance."""
        rate = self._schedule.rates(step, self._config.learning_rates)["means"]
        return self._config.noise * rate / state["scene_scale"]

    @torch.no_grad()
    def step_post_backward(
        self,
        params: Parameters,
        optimizers: Optimizers,
        state: dict[str, Any],
        step: int,
        info: dict[str, Any],
    ) -> None:
        """Move and add splats at refinements; call after the step of Adam."""
        if not self._schedule.refines(step):
            return
        if state["initial_count"] is None:
            state["initial_count"] = len(params["means"])
        initial, most = state["initial_count"], self._config.max_splats
        part = self._config.exchange * self._schedule.exchanged(step)
        survey = _remembered(state.get("survey"), info.get("survey")) if part > 0 else None
        weights = torch.sigmoid(params["opacities"])
        gone = ~(weights > DEAD_OPACITY)
        if survey is not None:
            gone |= _least(survey, int(part * len(gone)))
            weights = _wrong(survey, gone, weights)
        wanted = self._schedule.splats(step, initial, most)
        rows = self._rows(params["means"], gone, weights, wanted)
        state["survey"] = _take(params, optimizers, rows, survey)

    def _rows(self, means: Tensor, gone: Tensor, weights: Tensor, wanted: int) -> Tensor:
        """Which splat each of those to come is a copy of, neighbours side by side: those that are
        `gone` [N] and those that are missing of `wanted` ones are drawn by `weights` [N]."""
        count = len(means)
        rows = torch.arange(count, device=means.device)
        dead = torch.nonzero(gone).squeeze(-1)
        moved = len(dead) + max(0, wanted - count)
        weights = weights.index_fill(0, dead, 0.0)
        if moved > 0 and bool((weights > 0).any()):
            sources = _draw(weights, moved, self._generator)
            rows[dead] = sources[: len(dead)]
            rows = torch.cat([rows, sources[len(dead) :]])
        return rows[morton_order(means[rows])]


def _remembered(earlier: Tensor | None, survey: Callable[[int], Tensor] | None) -> Tensor | None:
    """A new survey [N, 3], with what earlier ones found; None if nobody surveys."""
    if survey is None:
        return None
    found = survey(SURVEYED)
    return found if earlier is None else MEMORY * earlier + found


def _wrong(survey: Tensor, gone: Tensor, opacities: Tensor) -> Tensor:
    """[N] in [0, 1], the error that splats have a part in, of the largest; where there is none,
    the opacities."""
    error = survey[:, 2].clamp_min(0.0).masked_fill(gone, 0.0)
    most = error.max()
    return torch.where(most > 0, error / most, opacities)


def _least(survey: Tensor, count: int) -> Tensor:
    """[N] True of the `count` splats that add least to a photo, of those that any shows."""
    shown, weight, _ = survey.unbind(1)
    seen = shown > 0
    each = torch.where(seen, weight / shown.clamp_min(1e-6), torch.inf)
    least = torch.zeros_like(seen)
    least[each.argsort(stable=True)[:count]] = True
    return least & seen


def _take(
    params: Parameters, optimizers: Optimizers, rows: Tensor, survey: Tensor | None
) -> Tensor | None:
    """Make splats copies of `rows` [M], which share what the one was, its image included. Returns
    the survey of them."""
    copies = torch.bincount(rows, minlength=len(params["means"]))[rows]
    anchor_means, anchor_scales = params["means"][rows], params["scales"][rows]
    take_rows(params, optimizers, rows, fresh=copies > 1)
    _share(params, copies)
    carry_waves(RawSplats.of(params), anchor_means, anchor_scales)
    if survey is None:
        return None
    shown, shares = survey[rows].split([1, 2], dim=1)
    return torch.cat([shown, shares / copies[:, None]], dim=1)


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
    ticks = torch.rand(count, generator=generator, dtype=torch.float64, device=generator.device)
    indices = torch.searchsorted(
        cumulative, (ticks.to(weights.device) * cumulative[-1]).long(), right=True
    )
    return indices.clamp(max=len(weights) - 1)
