"""The optimisation: one photo a step, from initial splats to fitted ones."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from ..devices import pick_device
from ..losses import decibel
from ..splats import Parameters, RawSplats, Splats
from .config import TrainConfig
from .data import FitInput, PhotosOnDevice, TrainingView, scene_scale
from .density.initial import initial_parameters
from .density.strategy import make_strategy
from .fairlock import FairLock
from .gabor.wave_init import PHOTOS, init_from_residual
from .gabor.waves import limit_waves, start_waves
from .objective import PhotoObjective
from .optimizer import AdamSteps, make_optimizers, prune_broken
from .schedule import Schedule

STATE_VERSION = 1
"""Version of what `Trainer.state_dict` returns."""
MUST_AGREE = ("gabor", "sh_degree", "strategy", "seed")
"""Settings that a state and the trainer that takes it must share; others may change."""
PROGRESS = (
    "steps_done",
    "seconds",
    "skipped_steps",
    "pruned_splats",
    "_skipped_in_a_row",
    "_scene_scale",
    "_order",
    "_sh_degree",
    "_waves_started",
)
"""Plain values that change from step to step."""
GIVE_UP_AFTER = 100
"""Skipped steps in a row after which the run has failed."""


@dataclass(frozen=True)
class StepReport:
    """What one step did.

    Attributes:
        step: steps done, this one included.
        loss: photometric loss of this step's photo and the strategy's regularization.
        psnr: of this step's photo before the step [dB].
        splats: number of splats after the step.
        seconds: time spent in steps since the start of the run [s].
        view: name of this step's photo.
        skipped: whether nothing was changed, as loss or gradient was not finite.
    """

    step: int
    loss: float
    psnr: float
    splats: int
    seconds: float
    view: str
    skipped: bool


class Trainer:
    """Fits splats to the training views of a capture, step by step.

    Two trainers with equal data, config and device go through equal steps; on the CPU, with one
    number of threads, bit for bit. `step`, `splats` and `state_dict` may be called from
    different threads.

    Args:
        data: views to fit, and points to begin with.
        config: settings of the fit.
        device: where it runs, as for `pick_device`.
        objective: finds loss and gradient; one that takes its settings from `config` by default.

    Attributes:
        config: settings of the fit.
        device: where it runs.
        parameters: what is fitted, raw, by name; only between steps.
        steps_done: steps so far.
        seconds: spent in steps so far [s].
        skipped_steps: those of them whose loss or gradient was not finite.
        pruned_splats: splats that were removed because they were not finite.
        intact: False during a step, and after one that was cut short: nothing to save or show then.

    Raises:
        ValueError: there are no training views, or the device cannot be used.
    """

    def __init__(
        self,
        data: FitInput,
        config: TrainConfig,
        device: torch.device | str = "cpu",
        objective: PhotoObjective | None = None,
    ) -> None:
        if not data.train:
            raise ValueError("there are no views to train on")
        self.config = config
        self.device = pick_device(device)
        self.steps_done = 0
        self.seconds = 0.0
        self.skipped_steps = 0
        self.pruned_splats = 0
        self._views = data.train
        self._photos = PhotosOnDevice(self.device)
        self._settings = config.render_settings()
        objective = objective or PhotoObjective(self.device, self._settings, config.ssim_weight)
        objective.deferred = True
        self._objective = objective
        self._schedule = Schedule.of(config)
        self._scene_scale = scene_scale([view.camera for view in data.train], data.points)
        # On the CPU whatever the device, so that both see the same random numbers.
        self._generator = torch.Generator().manual_seed(config.seed)
        raw = initial_parameters(data, config, torch.Generator().manual_seed(config.seed))
        self.parameters: Parameters = {
            name: Parameter(tensor.detach().to(self.device)) for name, tensor in raw.items()
        }
        self._optimizers, self._adam = make_optimizers(self.parameters), AdamSteps()
        self._strategy = make_strategy(config, self._generator)
        self._strategy_state = self._strategy.initialize_state(self._scene_scale)
        self._order: list[int] = []
        self._sh_degree = 0
        self._waves_started = False
        self._skipped_in_a_row = 0
        self.intact = True
        self._turn = FairLock()

    @property
    def done(self) -> bool:
        """Whether all steps of the config are done."""
        return self.steps_done >= self.config.steps

    def splats(self) -> Splats:
        """A copy of the splats as they are now."""
        with self._turn, torch.no_grad():
            return RawSplats.of(self.parameters).activated().map(Tensor.clone)

    def step(self) -> StepReport:
        """Fit one photo. Raises ArithmeticError if the run has diverged beyond repair."""
        with self._turn:
            started = time.perf_counter()
            self.intact = False
            view = self._next_view()
            loss, quality, skipped = self._fit(view)
            self.steps_done += 1
            self.intact = True
            self.seconds += time.perf_counter() - started
            splats = len(self.parameters["means"])
            return StepReport(
                self.steps_done, loss, quality, splats, self.seconds, view.name, skipped
            )

    def _fit(self, view: TrainingView) -> tuple[float, float, bool]:
        """Loss, PSNR [dB] and whether the step was skipped."""
        step = self.steps_done
        self._enter(step)
        photo = self._photos.get(view)
        raw = RawSplats.of(self.parameters)
        if self.config.gabor == 0 or not self._waves_started:
            raw = raw.without_waves()
        state, fit = self._strategy_state, (self.parameters, self._optimizers)
        while True:
            picture = self._objective.forward(raw, photo.camera, sh_degree=self._sh_degree)
            self._strategy.step_pre_backward(*fit, state, step, picture.info)
            result, gradients = self._objective.backward(picture, photo.image, photo.mask)
            if self._objective.settle():
                break
        regularization = self._strategy.regularize(self.parameters, state, gradients)
        sums = torch.stack([gradient.sum() for gradient in gradients.values()])
        # All that the host wants to know, so that it waits for a GPU but once more.
        loss, mse, change = torch.stack(
            [result.loss + regularization, result.mse, sums.sum().double()]
        ).tolist()
        skipped = not (math.isfinite(loss) and math.isfinite(change))
        changes = skipped or self._schedule.refines(step)  # how many splats there are
        if skipped:
            self._skip(step)
        else:
            self._skipped_in_a_row = 0
            visible = picture.visible if self.config.visible_adam else None
            self._adam.step(self._optimizers, gradients, visible)
        if changes:
            self._forget()
        if not skipped:
            self._strategy.step_post_backward(*fit, state, step, picture.info)
        if changes:
            self.pruned_splats += prune_broken(*fit, state)
        if self._waves_started and self._schedule.limits_waves(step):
            self._limit_waves()
        return loss, decibel(mse), skipped

    def _forget(self) -> None:
        """Let go of splats in whose place others come: there may not be memory for both."""
        self._objective.forget()
        self._adam.forget()

    def _enter(self, step: int) -> None:
        """Bring everything that depends on the step up to date."""
        rates = self._schedule.rates(step, self.config.learning_rates)
        rates["means"] *= self._scene_scale
        for name, optimizer in self._optimizers.items():
            optimizer.param_groups[0]["lr"] = rates[name]
        # A run that is extended later has longer stages, but never goes back to an earlier one.
        degree = self._schedule.active_sh_degree(step)
        if degree > self._sh_degree:
            self._sh_degree = degree
            self._forget()
        if not self._waves_started and step >= self._schedule.wave_start:
            self._start_waves()
            self._waves_started = True
            self._forget()

    def _start_waves(self) -> None:
        config = self.config
        start_waves(RawSplats.of(self.parameters), self._generator)
        if config.gabor > 0 and config.wave_birth == "residual":
            order = torch.randperm(len(self._views), generator=self._generator)
            views = [self._views[index] for index in order[:PHOTOS].tolist()]
            init_from_residual(
                RawSplats.of(self.parameters),
                views,
                self._settings,
                config.ssim_weight,
                degree=self._sh_degree,
            )

    def _limit_waves(self) -> None:
        if self.config.gabor == 0 or not self.config.wave_limit:
            return
        cameras = [view.camera.to(self.device) for view in self._views]
        limit_waves(RawSplats.of(self.parameters), cameras, self._settings)

    def _next_view(self) -> TrainingView:
        """Every view once, in random order, then again."""
        if not self._order:
            order = torch.randperm(len(self._views), generator=self._generator)
            self._order = order.tolist()
        return self._views[self._order.pop()]

    def _skip(self, step: int) -> None:
        self.skipped_steps += 1
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row >= GIVE_UP_AFTER:
            raise ArithmeticError(
                f"the fit has diverged: the loss or its gradient was not finite in "
                f"{GIVE_UP_AFTER} steps in a row, up to step {step}"
            )

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything needed to go on exactly where this trainer is."""
        with self._turn:
            state = {
                "version": STATE_VERSION,
                "views": [view.name for view in self._views],
                "config": {name: getattr(self.config, name) for name in MUST_AGREE},
                "progress": {name: getattr(self, name) for name in PROGRESS},
                "raw": {name: p.detach() for name, p in self.parameters.items()},
                "optimizers": {name: o.state_dict() for name, o in self._optimizers.items()},
                "strategy": self._strategy_state,
                "generator": self._generator.get_state(),
            }
            return copy.deepcopy(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the trainer that gave `state` was.

        The config may ask for more steps or splats than that trainer's did. Raises ValueError if
        the state is of another version, kind of splats, strategy or capture.
        """
        self._check(state)
        state = copy.deepcopy(state)
        with self._turn:
            self._forget()
            for name in PROGRESS:
                setattr(self, name, state["progress"][name])
            self.parameters = {
                name: Parameter(tensor.to(self.device)) for name, tensor in state["raw"].items()
            }
            self._optimizers = make_optimizers(self.parameters)
            for name, optimizer in self._optimizers.items():
                # Its rates are those of another step, maybe of another config: `_enter` sets ours.
                optimizer.load_state_dict(state["optimizers"][name])
            self._strategy_state = {
                name: value.to(self.device) if isinstance(value, Tensor) else value
                for name, value in state["strategy"].items()
            }
            self._generator.set_state(state["generator"])

    def _check(self, state: dict[str, Any]) -> None:
        if state.get("version") != STATE_VERSION:
            raise ValueError(f"version must be {STATE_VERSION}, not {state.get('version')}")
        missing = {"views", "config", "progress", "raw", "optimizers", "strategy", "generator"}
        missing -= state.keys()
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        for name in MUST_AGREE:
            theirs, ours = state["config"][name], getattr(self.config, name)
            if theirs != ours:
                raise ValueError(f"it was trained with {name} = {theirs}, not {ours}")
        if state["views"] != [view.name for view in self._views]:
            raise ValueError("it was trained on other views than this capture's")
        if len({len(tensor) for tensor in state["raw"].values()}) != 1:
            raise ValueError("its parameters differ in length")
        count = len(state["raw"]["means"])
        if count > self.config.max_splats:
            raise ValueError(
                f"it has {count} splats, more than max_splats = {self.config.max_splats}"
            )
