"""One Adam per parameter, and the rows of both added, moved and removed together."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Adam, Optimizer

from .._native import AdamArguments
from ..backends.base import Repeated
from ..backends.memory import Workspace
from ..backends.registry import backend_for
from ..splats import Parameters

Optimizers = dict[str, Optimizer]

EPS = 1e-15
"""Adam's epsilon: gradients of an averaged loss are tiny, and 1e-8 would damp them."""


class SplatAdam(Adam):
    """torch's Adam for one parameter [N, ...] of all splats, stepped by the backend's own pass.

    Its state has torch's names, so strategies and checkpoints treat it as they do torch's.
    """

    visible: Tensor | None = None
    """[N] bool: splats that the next step may change; None for all. Those that are left out keep
    their moments too: gsplat calls this selective, Taming 3DGS (arXiv 2406.15643) sparse Adam."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Change the parameter by its gradient; nothing without one."""
        (parameter,) = self.param_groups[0]["params"]
        if parameter.grad is not None:
            step_size, bias_correction2_sqrt = self.next_rates()
            arguments = self.arguments(parameter.grad.contiguous(), self.visible)
            arguments.set(step_size=step_size, bias_correction2_sqrt=bias_correction2_sqrt)
            backend_for(parameter.device).adam_step([arguments])

    def next_rates(self) -> tuple[float, float]:
        """The `rates` of `AdamArguments` for the next step, which is counted as done."""
        (group,) = self.param_groups
        return count_step(group, self.moments())

    def arguments(
        self, gradient: Tensor, visible: Tensor | None, rates: Tensor | None = None
    ) -> AdamArguments:
        """What the backend's pass takes for one step along `gradient`. `visible` as above; without
        `rates`, those are to be set."""
        (group,) = self.param_groups
        (parameter,) = group["params"]
        state, (beta1, beta2), count = self.moments(), group["betas"], parameter.shape[0]
        return AdamArguments(
            splats=count,
            size=parameter.numel() // max(1, count),
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            rates=rates,
            values=parameter,
            exp_avg=state["exp_avg"],
            exp_avg_sq=state["exp_avg_sq"],
            gradients=gradient,
            visible=visible,
        )

    def moments(self) -> dict[str, Any]:
        """The state of the parameter, zeros at first."""
        (parameter,) = self.param_groups[0]["params"]
        state = self.state[parameter]
        if not state:
            state["step"] = 0.0
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state


def count_step(group: dict[str, Any], state: dict[str, Any]) -> tuple[float, float]:
    """The step size and the square root of the second bias correction of one more step of Adam,
    from torch's settings and state of a parameter."""
    steps, (beta1, beta2) = float(state["step"]) + 1, group["betas"]
    state["step"] = steps
    return group["lr"] / (1 - beta1**steps), (1 - beta2**steps) ** 0.5


def make_optimizers(parameters: Parameters) -> Optimizers:
    """An Adam for every parameter by name, as gsplat's strategies take them.

    Their rates are zero: they depend on the step, and are to be set before each.
    """
    return {name: SplatAdam([tensor], lr=0.0, eps=EPS) for name, tensor in parameters.items()}


class _Stepped(NamedTuple):
    """What a recorded step changes and reads: for as long as all of it is the same."""

    optimizer: SplatAdam
    parameter: Tensor
    gradient: Tensor
    group: dict[str, Any]
    state: dict[str, Any]

    @classmethod
    def of(cls, optimizer: Optimizer, gradient: Tensor) -> _Stepped:
        assert isinstance(optimizer, SplatAdam)
        (group,) = optimizer.param_groups
        (parameter,) = group["params"]
        return cls(optimizer, parameter, gradient, group, optimizer.moments())

    def holds(self, optimizer: Optimizer, gradient: Tensor) -> bool:
        return (
            self.optimizer is optimizer
            and self.gradient is gradient
            and optimizer.param_groups[0] is self.group
            and self.group["params"][0] is self.parameter
            and optimizer.state.get(self.parameter) is self.state
        )


class AdamSteps:
    """Steps of Adam for several parameters at once, recorded where that saves time. What torch
    wraps around every `step`, its hooks and its profiler, takes longer than the pass of a small
    scene."""

    def __init__(self) -> None:
        self._stepped: list[_Stepped] = []
        self._visible: Tensor | None = None
        self._rates = torch.empty(0, 2)
        self._repeated: Repeated[None] | None = None

    def step(
        self, optimizers: Optimizers, gradients: dict[str, Tensor], visible: Tensor | None
    ) -> None:
        """One step along `gradients`, for all splats or those that are `visible` [N] bool."""
        if not self._holds(optimizers, gradients, visible):
            self._take(optimizers, gradients, visible)
        assert self._repeated is not None
        rates = [count_step(each.group, each.state) for each in self._stepped]
        self._rates.numpy()[:] = rates
        self._repeated.start(self._rates)

    def forget(self) -> None:
        """Let go of parameters and gradients: others come."""
        self._stepped, self._visible, self._repeated = [], None, None

    def _holds(
        self, optimizers: Optimizers, gradients: dict[str, Tensor], visible: Tensor | None
    ) -> bool:
        """Whether the next step changes and reads what the last one did."""
        known, found = self._visible, visible
        same = (known is found) if known is None or found is None else known.is_set_to(found)
        return (
            same
            and len(gradients) == len(self._stepped)
            and all(
                each.holds(optimizers[name], gradient)
                for each, (name, gradient) in zip(self._stepped, gradients.items(), strict=True)
            )
        )

    def _take(
        self, optimizers: Optimizers, gradients: dict[str, Tensor], visible: Tensor | None
    ) -> None:
        stepped = [_Stepped.of(optimizers[name], gradient) for name, gradient in gradients.items()]
        like = gradients["means"]
        backend = backend_for(like.device)

        @torch.no_grad()
        def step(rates: Tensor) -> None:
            rows = zip(stepped, rates, strict=True)
            backend.adam_step(
                [each.optimizer.arguments(each.gradient, visible, row) for each, row in rows]
            )

        self._stepped, self._visible = stepped, visible
        self._rates = torch.empty(len(stepped), 2, dtype=like.dtype)
        self._repeated = backend.repeated(step, Workspace(), like.device)


@torch.no_grad()
def take_rows(raw: Parameters, optimizers: Optimizers, rows: Tensor, fresh: Tensor) -> None:
    """Make row `rows[i]` of every parameter row i, in place in both dicts.

    `rows` is [M] int64 and may repeat, drop and append; where `fresh` [M] bool is True, Adam's
    moments start from zero.
    """
    for name, old in raw.items():
        new = Parameter(old[rows], requires_grad=old.requires_grad)
        state = optimizers[name].state.pop(old, {})
        for key, moment in state.items():
            if key != "step":
                moved = moment[rows]
                moved[fresh] = 0.0
                state[key] = moved
        optimizers[name].state[new] = state
        optimizers[name].param_groups[0]["params"] = [new]
        raw[name] = new


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
