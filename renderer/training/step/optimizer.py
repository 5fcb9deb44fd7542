"""What Adam knows of every parameter, and the rows of both added, moved and removed together.

The moments of the harmonics are a byte each (cuda/math/moments.h); those of everything else are
numbers like the parameter's. `fit.py` takes the steps.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from ... import _native
from ...splats import Parameters

Optimizers = dict[str, Optimizer]

BETAS = (0.9, 0.999)
"""Adam's decays."""
HARMONICS = ("sh0", "shN")
"""Parameters whose moments are bytes."""
LAST_STEP = "last_step"
"""Name of what is kept beside the moments of the first of `HARMONICS`: [N] int32, the last step
that a splat's harmonics did not miss."""


class SplatOptimizer(Optimizer):
    """Adam's moments of one parameter [N, ...] of all splats, where gsplat's strategies look for
    them and move them.

    Its state has `exp_avg` and `exp_avg_sq`, or `quotients` and `roots`, each [N, ...].
    """

    def __init__(self, name: str, parameter: Tensor) -> None:
        super().__init__([parameter], {})
        self.name = name
        self.fill(self.fresh())

    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Raises TypeError: all parameters are stepped together, by `SplatFit`."""
        raise TypeError("SplatFit steps all parameters of splats together")

    @property
    def parameter(self) -> Tensor:
        """What is optimised."""
        return self.param_groups[0]["params"][0]

    @property
    def moments(self) -> dict[str, Tensor]:
        """The state of the parameter."""
        return self.state[self.parameter]

    def fill(self, moments: dict[str, Tensor]) -> None:
        """Make these the state, on the parameter's device.

        Raises:
            ValueError: they are others than such a parameter's.
        """
        fresh = self.fresh()
        if moments.keys() != fresh.keys():
            raise ValueError(f"{self.name} has {', '.join(moments)}, not {', '.join(fresh)}")
        for key, like in fresh.items():
            if moments[key].shape != like.shape:
                raise ValueError(
                    f"{key} of {self.name} must be {list(like.shape)}, "
                    f"not {list(moments[key].shape)}"
                )
        # gsplat's strategies append zeros that are float32, which holds every byte and every step.
        self.state[self.parameter] = {
            key: moments[key].to(like.device, like.dtype) for key, like in fresh.items()
        }

    def belong_to(self, parameter: Parameter, moments: dict[str, Tensor]) -> None:
        """Be of this parameter, with this state; no memory is needed."""
        self.state.clear()
        self.state[parameter] = moments
        self.param_groups[0]["params"] = [parameter]

    def fresh(self) -> dict[str, Tensor]:
        """The state before the first step."""
        like = self.parameter.detach()
        if self.name not in HARMONICS:
            return {key: torch.zeros_like(like) for key in ("exp_avg", "exp_avg_sq")}
        state = {key: torch.zeros_like(like, dtype=torch.uint8) for key in ("quotients", "roots")}
        if self.name == HARMONICS[0]:
            state[LAST_STEP] = torch.zeros(len(like), dtype=torch.int32, device=like.device)
        return state


def make_optimizers(parameters: Parameters) -> Optimizers:
    """One for every parameter by name, as gsplat's strategies take them."""
    return {name: SplatOptimizer(name, tensor) for name, tensor in parameters.items()}


def packed_moments(exp_avg: Tensor, exp_avg_sq: Tensor) -> dict[str, Tensor]:
    """The nearest bytes to Adam's moments, by their names in `SplatOptimizer`."""
    roots = _nearest(exp_avg_sq.sqrt(), _roots())
    kept = _roots().to(exp_avg.device)[roots.int()]
    quotients = torch.where(kept > 0, exp_avg / kept, 0.0)
    sizes = _nearest(quotients.abs(), _quotients())
    return {"quotients": sizes | (quotients < 0).to(torch.uint8) << 7, "roots": roots}


@cache
def _roots() -> Tensor:
    return torch.tensor(_native.moment_roots(), dtype=torch.float32, device="cpu")


@cache
def _quotients() -> Tensor:
    return torch.tensor(_native.moment_quotients(), dtype=torch.float32, device="cpu")


def _nearest(values: Tensor, table: Tensor) -> Tensor:
    """Places, uint8, of the entries of an ascending table that are nearest to values."""
    bounds = ((table[1:] + table[:-1]) / 2).to(values.device)
    return torch.bucketize(values, bounds).to(torch.uint8)


@torch.no_grad()
def take_rows(raw: Parameters, optimizers: Optimizers, rows: Tensor, fresh: Tensor) -> None:
    """Make row `rows[i]` of every parameter row i, in place in both dicts.

    `rows` is [M] int64 and may repeat, drop and append; where `fresh` [M] bool is True, Adam's
    moments start from zero. No steps may be missing (`SplatFit.catch_up`).
    """
    made: dict[str, tuple[Parameter, dict[str, Tensor]]] = {}
    for name, old in raw.items():
        new = Parameter(old[rows], requires_grad=old.requires_grad)
        state = {key: moment[rows] for key, moment in optimizers[name].state.get(old, {}).items()}
        for key, moment in state.items():
            if key != LAST_STEP:
                moment[fresh] = 0
        made[name] = (new, state)
    # All or nothing: there may not have been memory for one of them.
    for name, (new, state) in made.items():
        optimizers[name].state.pop(raw[name], None)
        optimizers[name].state[new] = state
        optimizers[name].param_groups[0]["params"] = [new]
        raw[name] = new


@torch.no_grad()
def keep_within(raw: Parameters, middle: Tensor, radius: float) -> None:
    """Pull splats back that have left the ball around `middle` [3], and shrink those that are
    larger than it. Does not wait for a GPU."""
    means = raw["means"]
    middle = middle.to(means.device, torch.float64)  # squares of what float32 holds overflow it
    offsets = means - middle
    shrunk = (radius / offsets.norm(dim=-1, keepdim=True)).clamp(max=1.0)
    means.copy_(torch.where(shrunk < 1, middle + shrunk * offsets, means))
    raw["scales"].clamp_(max=math.log(radius))


@torch.no_grad()
def prune_broken(raw: Parameters, optimizers: Optimizers, strategy_state: dict[str, Any]) -> int:
    """Remove splats with a parameter that is not finite; returns how many there were.

    Tensors in `strategy_state` have a row for every splat, as gsplat's strategies have it.
    """
    finite = torch.stack(
        [torch.isfinite(tensor).reshape(len(tensor), -1).all(dim=1) for tensor in raw.values()]
    ).all(dim=0)
    broken = int((~finite).sum())
    if broken > 0:
        rows = torch.nonzero(finite).squeeze(-1)
        take_rows(raw, optimizers, rows, fresh=torch.zeros_like(rows, dtype=torch.bool))
        for name, value in strategy_state.items():
            if isinstance(value, Tensor):
                strategy_state[name] = value[rows]
    return broken
