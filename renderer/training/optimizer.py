"""One Adam per parameter, and the rows of both added, moved and removed together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Adam, Optimizer

from .._native import AdamArguments
from ..backends.base import Backend, Repeated
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
        state, (beta1, beta2) = self._state(), group["betas"]
        steps = state["step"] = float(state["step"]) + 1
        return group["lr"] / (1 - beta1**steps), (1 - beta2**steps) ** 0.5

    def arguments(
        self, gradient: Tensor, visible: Tensor | None, rates: Tensor | None = None
    ) -> AdamArguments:
        """What the backend's pass takes for one step along `gradient`. `visible` as above; without
        `rates`, those are to be set."""
        (group,) = self.param_groups
        (parameter,) = group["params"]
        state, (beta1, beta2), count = self._state(), group["betas"], parameter.shape[0]
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

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """The parameter and its moments."""
        (parameter,) = self.param_groups[0]["params"]
        state = self._state()
        return parameter, state["exp_avg"], state["exp_avg_sq"]

    def _state(self) -> dict[str, Any]:
        (parameter,) = self.param_groups[0]["params"]
        state = self.state[parameter]
        if not state:
            state["step"] = 0.0
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state


def make_optimizers(parameters: Parameters) -> Optimizers:
    """An Adam for every parameter by name, as gsplat's strategies take them.

    Their rates are zero: they depend on the step, and are to be set before each.
    """
    return {name: SplatAdam([tensor], lr=0.0, eps=EPS) for name, tensor in parameters.items()}


class AdamSteps:
    """Steps of Adam for several parameters at once, recorded where that saves time. What torch
    wraps around every `step`, its hooks and its profiler, takes longer than the pass of a small
    scene."""

    def __init__(self) -> None:
        self._where: list[int] = []
        self._repeated: Repeated[None] | None = None

    @torch.no_grad()
    def step(
        self, optimizers: Optimizers, gradients: dict[str, Tensor], visible: Tensor | None
    ) -> None:
        """One step along `gradients`, for all splats or those that are `visible` [N] bool."""
        chosen: list[tuple[SplatAdam, Tensor]] = []
        for name, gradient in gradients.items():
            optimizer = optimizers[name]
            assert isinstance(optimizer, SplatAdam)
            chosen.append((optimizer, gradient))
        like = gradients["means"]
        rates = torch.tensor([each.next_rates() for each, _ in chosen], dtype=like.dtype)
        self._of(chosen, visible, backend_for(like.device)).start(rates)

    def forget(self) -> None:
        """Let go of parameters and gradients: others come."""
        self._where, self._repeated = [], None

    def _of(
        self, chosen: list[tuple[SplatAdam, Tensor]], visible: Tensor | None, backend: Backend
    ) -> Repeated[None]:
        """Steps of these parameters, which were recorded before if they lie where they lay."""
        tensors = [tensor for each, gradient in chosen for tensor in (*each.tensors(), gradient)]
        where = [tensor.data_ptr() for tensor in tensors]
        where += [0 if visible is None else visible.data_ptr(), len(tensors[0])]
        if self._repeated is None or where != self._where:

            def step(rates: Tensor) -> None:
                backend.adam_step(
                    [
                        each.arguments(gradient, visible, row)
                        for (each, gradient), row in zip(chosen, rates, strict=True)
                    ]
                )

            self._where = where
            self._repeated = backend.repeated(step, Workspace(), tensors[0].device)
        return self._repeated


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
