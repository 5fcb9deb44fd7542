"""Splats that are fitted: their parameters, what Adam knows of them, and the step along a gradient.

A step is two passes of their own: the gradients of shading and of the projection go from registers
into Adam, and lie nowhere. Everything but the harmonics takes every step. The harmonics of splats
that a photo does not show miss it: without a gradient Adam moves a number by the quotient of its
moments times what all of them share, so that any number of missed steps is made good exactly when
the splat is next seen.

Whether a step changes anything is decided where it runs: not if loss or gradient are not finite,
nor if the lists of tiles were too short. So nobody has to wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

from ... import _native
from ..._native import constants
from ...backends.base import Backend
from ...backends.memory import Workspace
from ...backends.registry import backend_for
from ...backends.stages import BlendGradients
from ...raster.forward import Rasterized
from ...raster.inputs import ShadedSplats, SplatsInView
from ...raster.passes import projection_of, shading_of
from ...splats import PARAMETER_NAMES, LateHarmonics, Parameters, RawSplats
from .optimizer import BETAS, HARMONICS, LAST_STEP, Optimizers, SplatOptimizer, make_optimizers


class Terms(NamedTuple):
    """What a step does besides following the photometric loss; by default nothing.

    Attributes:
        opacity_weight: of the mean opacity in the loss.
        scale_weight: of the mean standard deviation.
        noise_slope: a splat gets sigmoid(slope * (opacity_threshold - opacity)) of the noise,
        opacity_threshold: as above,
        noise_min_logit: and none where that sigmoid's logit is not above this.
    """

    opacity_weight: float = 0.0
    scale_weight: float = 0.0
    noise_slope: float = 0.0
    opacity_threshold: float = 0.0
    noise_min_logit: float = 0.0


class _StepTensors(NamedTuple):
    """What the passes of a step share, where they run.

    Attributes:
        counters: [6] int64, see `Counter` of cuda/passes/optimizer.h; first, Adam's steps so far
            and those of the waves.
        rates: [17] of the step in progress.
        missed: [2, steps + 1], see `LateHarmonics`.
        not_finite: [1] int32, set between blending's gradient and the step.
        report: [6] float64, see `StepOutcome`.
    """

    counters: Tensor
    rates: Tensor
    missed: Tensor
    not_finite: Tensor
    report: Tensor

    @classmethod
    def zeros(cls, steps: int, like: Tensor) -> _StepTensors:
        """Before the first of so many steps."""

        def zeros(*shape: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=like.device)

        return cls(
            counters=zeros(constants.STEP_COUNTERS, dtype=torch.int64),
            rates=zeros(constants.STEP_RATES, dtype=like.dtype),
            missed=zeros(2, steps + 1, dtype=like.dtype),
            not_finite=zeros(1, dtype=torch.int32),
            report=zeros(constants.STEP_REPORTS, dtype=torch.float64),
        )

    def with_room(self, steps: int) -> _StepTensors:
        """The same for more steps."""
        missed = self.missed.new_zeros(2, steps + 1)
        missed[:, : self.missed.shape[1]] = self.missed
        return self._replace(missed=missed)


class SplatFit:
    """See above.

    Args:
        parameters: raw, by name; they are changed in place, or replaced in this dict.
        steps: about as many will be taken; more make room for themselves.
        visible_only: steps leave alone what the photo does not show, its moments too: gsplat calls
            this selective, Taming 3DGS (arXiv 2406.15643) sparse Adam.

    Attributes:
        parameters: as above.
        optimizers: what Adam knows of them, by the same names.
        whole: False while a step changes the parameters, and after one that was cut short then.
    """

    def __init__(self, parameters: Parameters, steps: int, *, visible_only: bool = False) -> None:
        self.parameters = parameters
        self.optimizers: Optimizers = make_optimizers(parameters)
        self._visible_only = visible_only
        self._workspace = Workspace()
        self._tensors = _StepTensors.zeros(steps, parameters["means"].detach())
        self._most_taken = 0  # steps, of which some may have changed nothing
        self.whole = True

    @property
    def raw(self) -> RawSplats:
        """The parameters as they are; harmonics may miss steps."""
        return RawSplats.of(self.parameters)

    @property
    def late(self) -> LateHarmonics:
        """The steps that harmonics miss."""
        first, rest = (self._moments(name) for name in HARMONICS)
        return LateHarmonics(
            self._tensors.missed, first[LAST_STEP], first["quotients"], rest["quotients"]
        )

    @property
    def report(self) -> Tensor:
        """[6] float64, what the last step did, for `StepOutcome.of`."""
        return self._tensors.report

    @property
    def not_finite(self) -> Tensor:
        """[1] int32: set to 1, the next step changes nothing. It is zero again after that."""
        return self._tensors.not_finite

    @property
    def full(self) -> bool:
        """Whether the next step needs `make_room` before it."""
        return self._most_taken + 1 >= self._tensors.missed.shape[1]

    def make_room(self) -> None:
        """Make room for as many steps again. What was recorded does not know of it."""
        self._tensors = self._tensors.with_room(2 * self._most_taken + 1)

    @staticmethod
    def wanted(rates: Mapping[str, float], noise: float = 0.0, seed: int = 0) -> Tensor:
        """What a step takes that is another one each time, [10] float64 on the CPU.

        Args:
            rates: learning rate of every parameter.
            noise: strength of the noise on the centres.
            seed: from 0 to 2^53; everything random follows from it.
        """
        numbers = [rates[name] for name in PARAMETER_NAMES]
        return torch.tensor([*numbers, noise, seed], dtype=torch.float64, device="cpu")

    def note_step(self) -> None:
        """Count a step that is started, be it by `step` or by what was recorded of that."""
        self._most_taken += 1

    @torch.no_grad()
    def step(
        self,
        view: SplatsInView,
        drawn: Rasterized,
        v: BlendGradients,
        loss_means: Tensor,
        wanted: Tensor,
        terms: Terms,
    ) -> None:
        """Take a step of Adam along the gradient of a picture, and fill `report`.

        Args:
            view: what was drawn: `raw`, with `late`, in one camera.
            drawn: what that gave.
            v: gradients of what was blended.
            loss_means: of the picture, see `Measured`.
            wanted: of the step, where the passes run.
            terms: likewise.
        """
        backend, t, tiles = backend_for(wanted.device), self._tensors, drawn.blended.tiles
        means = view.shape.means
        v_means = self._workspace.keep("means", _empty, means.shape, means.dtype, means.device)
        self.whole = False
        backend.begin_step(
            _native.BeginStepArguments(
                **self._shared(),
                room=tiles.splat_ids.shape[0],
                waves=view.shape.waves,
                wanted=wanted,
                loss_means=loss_means,
                not_finite=t.not_finite,
                pair_count=tiles.pair_count,
            )
        )
        self._step_harmonics(backend, view, drawn.shaded, v, v_means)
        self._step_geometry(backend, view, drawn.shaded, v, v_means, terms)
        backend.finish_step(
            _native.FinishStepArguments(
                **self._shared(),
                steps=t.missed.shape[1],
                missed=t.missed,
                loss_means=loss_means,
                pair_count=tiles.pair_count,
                report=t.report,
            )
        )
        self.whole = True

    def _step_harmonics(
        self,
        backend: Backend,
        view: SplatsInView,
        shaded: ShadedSplats,
        v: BlendGradients,
        v_means: Tensor,
    ) -> None:
        """Also gives the gradient of the means [N, 3] by the colours, of visible splats."""
        harmonics = view.harmonics
        assert harmonics is not None and shaded.colors is not None and harmonics.rest is not None
        first, rest = (self._moments(name) for name in HARMONICS)
        backend.shade_step(
            _native.ShadeStepArguments(
                **shading_of(view, harmonics),
                **self._shared(),
                visible=shaded.visible,
                colors=shaded.colors,
                v_colors=v.colors,
                v_means=v_means,
                next_sh0=harmonics.sh0,
                next_sh_rest=harmonics.rest,
                sh0_roots=first["roots"],
                sh_rest_roots=rest["roots"],
            )
        )

    def _step_geometry(
        self,
        backend: Backend,
        view: SplatsInView,
        shaded: ShadedSplats,
        v: BlendGradients,
        v_means: Tensor,
        terms: Terms,
    ) -> None:
        count = len(view.shape.means)
        backend.project_step(
            _native.ProjectStepArguments(
                **projection_of(view),
                **self._shared(),
                **self._changed(view),
                visible=shaded.visible,
                v_means2d=v.means2d,
                v_depths=v.depths,
                v_conics=v.conics,
                v_opacities2d=v.opacities,
                v_modulation2d=v.modulation2d,
                v_directions=v_means,
                opacity_weight=terms.opacity_weight / max(1, count),
                scale_weight=terms.scale_weight / max(1, 3 * count),
                noise_slope=terms.noise_slope,
                opacity_threshold=terms.opacity_threshold,
                noise_min_logit=terms.noise_min_logit,
            )
        )

    def _shared(self) -> dict[str, Any]:
        """What all passes of a step take."""
        return {
            "visible_only": self._visible_only,
            "beta1": BETAS[0],
            "beta2": BETAS[1],
            "counters": self._tensors.counters,
            "rates": self._tensors.rates,
        }

    @torch.no_grad()
    def catch_up(self) -> None:
        """Make good the steps that harmonics miss: before their rows are moved."""
        last = self._moments(HARMONICS[0])[LAST_STEP]
        for number, name in enumerate(HARMONICS):
            self._catch_up(number, self.parameters[name], self._moments(name)["roots"])
        last.copy_(self._tensors.counters[0].expand_as(last))

    @torch.no_grad()
    def current(self) -> RawSplats:
        """A copy of the parameters, no step missing."""
        copies = {name: tensor.detach().clone() for name, tensor in self.parameters.items()}
        for number, name in enumerate(HARMONICS):
            self._catch_up(number, copies[name], None)
        return RawSplats.of(copies)

    def state_dict(self, *, copy: bool = True) -> dict[str, Any]:
        """All that later steps depend on, on the CPU; without `copy` what lies there is ours."""
        t = self._tensors
        return {
            "raw": {name: _on_cpu(tensor, copy) for name, tensor in self.parameters.items()},
            "moments": {
                name: {key: _on_cpu(value, copy) for key, value in self._moments(name).items()}
                for name in self.parameters
            },
            "adam_steps": t.counters[:2].tolist(),
            "missed": _on_cpu(t.missed, copy),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the fit that gave `state` was. Raises ValueError if it does not fit."""
        like = self.parameters["means"].detach()
        found = {name: Parameter(tensor.to(like)) for name, tensor in state["raw"].items()}
        self.parameters.clear()
        self.parameters.update(found)
        self.optimizers = make_optimizers(self.parameters)
        for name in self.parameters:
            self._optimizer(name).fill(state["moments"][name])
        self.whole = True
        known = state["missed"].to(like)
        steps = max(self._tensors.missed.shape[1], known.shape[1]) - 1
        self._tensors = _StepTensors.zeros(0, like)._replace(missed=known).with_room(steps)
        counters = self._tensors.counters
        counters[:2] = counters.new_tensor(state["adam_steps"])
        self._most_taken = state["adam_steps"][0]

    def pointers(self) -> dict[str, tuple[Parameter, dict[str, Tensor]]]:
        """The parameters and their moments, by name: the tensors themselves."""
        return {name: (each, dict(self._moments(name))) for name, each in self.parameters.items()}

    def point_back(self, pointers: Mapping[str, tuple[Parameter, dict[str, Tensor]]]) -> None:
        """Fit what `pointers` gave again, whatever has been put in its place."""
        for name, (parameter, moments) in pointers.items():
            self.parameters[name] = parameter
            self._optimizer(name).belong_to(parameter, moments)

    def keep_types(self) -> None:
        """What others have done to the moments may have changed their types: change them back."""
        for name in self.parameters:
            self._optimizer(name).fill(self._moments(name))

    def _optimizer(self, name: str) -> SplatOptimizer:
        found = self.optimizers[name]
        assert isinstance(found, SplatOptimizer)
        return found

    def _moments(self, name: str) -> dict[str, Tensor]:
        return self._optimizer(name).moments

    def _changed(self, view: SplatsInView) -> dict[str, Any]:
        """What a step changes besides harmonics; waves only if they are drawn."""
        fields: dict[str, Any] = {}
        for name, tensor in view.shape.tensors().items():
            fields[f"next_{name}"] = tensor
            for key, suffix in (("exp_avg", "avg"), ("exp_avg_sq", "avg_sq")):
                moment = self._moments(name)[key]
                fields[f"{name}_{suffix}"] = moment if tensor.numel() else tensor
        return fields

    def _catch_up(self, number: int, values: Tensor, roots: Tensor | None) -> None:
        t, name = self._tensors, HARMONICS[number]
        backend_for(values.device).catch_up(
            _native.CatchUpArguments(
                splats=len(values),
                size=values[0].numel() if len(values) else 0,
                steps=t.missed.shape[1],
                beta1=BETAS[0],
                beta2=BETAS[1],
                missed=t.missed[number],
                counters=t.counters,
                last_steps=self._moments(HARMONICS[0])[LAST_STEP],
                values=values,
                quotients=self._moments(name)["quotients"],
                roots=roots,
            )
        )


def _on_cpu(tensor: Tensor, copy: bool) -> Tensor:
    return tensor.detach().to("cpu", copy=copy)


def _empty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=device)
