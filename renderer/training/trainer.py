"""The optimisation: one photo a step, from initial splats to fitted ones."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.nn import Parameter

from ..devices import pick_device
from ..settings import RenderSettings
from ..splats import Parameters, Splats
from .config import TrainConfig
from .data import FitInput, LeftOut, Lengths, Photo, PhotosOnDevice, TrainingView
from .density.initial import initial_parameters
from .density.strategy import make_strategy
from .fairlock import FairLock
from .gabor.wave_init import PHOTOS, init_from_residual
from .gabor.waves import limit_waves, start_waves
from .schedule import Schedule
from .step.fit import SplatFit, StepOutcome
from .step.objective import PhotoObjective, StartedStep
from .step.optimizer import keep_within, prune_broken
from .step.report import StepReport as StepReport

STATE_VERSION = 2
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


class Trainer:
    """Fits splats to the training views of a capture, step by step.

    Two trainers with equal data, config and device go through equal steps; on the CPU, with one
    number of threads, bit for bit. `step`, `splats` and `state_dict` may be called from
    different threads, in inference mode or not.

    Args:
        data: views to fit, and points to begin with.
        config: settings of the fit.
        device: where it runs, as for `pick_device`.
        objective: takes the steps; one that takes its settings from `config` by default.

    Attributes:
        config: settings of the fit.
        device: where it runs.
        settings: how splats are rendered, and should be shown.
        steps_done: steps so far.
        seconds: spent in steps so far [s].
        skipped_steps: those of them whose loss or gradient was not finite.
        pruned_splats: splats that were removed because they were not finite.
        left_out: views whose photos cannot be read: their turns go to others.
        intact: False during a step, and after one that was cut short: nothing to save or show then.

    Raises:
        ValueError: there are no training views, or the device cannot be used.
    """

    @torch.inference_mode(False)  # what is made here changes later, which may be outside of it
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
        self.left_out = LeftOut()
        self._lengths = Lengths.of([view.camera for view in data.train], data.points)
        self._scene_scale = self._lengths.scale
        self.settings = replace(config.render_settings(), near_plane=self._lengths.near_plane)
        self._has_own_objective = objective is None
        self._objective = objective or self._make_objective()
        self._schedule = Schedule.of(config)
        # On the CPU whatever the device, so that both see the same random numbers.
        self._generator = torch.Generator().manual_seed(config.seed)
        raw = initial_parameters(data, config, torch.Generator().manual_seed(config.seed))
        parameters: Parameters = {
            name: Parameter(tensor.detach().to(self.device)) for name, tensor in raw.items()
        }
        self._fit = SplatFit(parameters, config.steps, visible_only=config.visible_adam)
        self._pending: list[StartedStep] = []
        # Whether a step that is done changed nothing, or found splats that are not finite.
        self._unclean = False
        self._strategy = make_strategy(config, self._generator)
        self._strategy_state = self._strategy.initialize_state(self._scene_scale)
        self._order: list[int] = []
        self._sh_degree = 0
        self._waves_started = False
        self._skipped_in_a_row = 0
        self.intact = True
        self._turn = FairLock()

    @property
    def parameters(self) -> Parameters:
        """What is fitted, raw, by name; only between steps. Harmonics that photos did not show
        lately may miss steps of Adam: `splats` has these."""
        return self._fit.parameters

    @property
    def done(self) -> bool:
        """Whether all steps of the config are done."""
        return self.steps_done >= self.config.steps

    def splats(self) -> Splats:
        """A copy of the splats as they are now."""
        with self._own_turn(), torch.no_grad():
            self._settle()
            return self._fit.current().activated()

    def step(self) -> StepReport:
        """Fit one photo.

        Raises:
            ArithmeticError: the run has diverged beyond repair.
            TooFewPhotos: most cannot be read. The trainer is as it was after its last step.
        """
        with self._own_turn():
            started = time.perf_counter()
            view, photo = self._next_photo()
            self.intact = False
            step = self._take(photo)
            self.steps_done += 1
            self.intact = True
            self.seconds += time.perf_counter() - started
            splats = len(self.parameters["means"])
            return StepReport(self.steps_done, splats, self.seconds, view.name, self._outcome(step))

    @contextmanager
    def _own_turn(self) -> Generator[None]:
        """While this is entered no other thread has a turn, and tensors may be changed later."""
        with self._turn, torch.inference_mode(False):
            yield

    def _outcome(self, step: StartedStep) -> Callable[[], StepOutcome]:
        def outcome() -> StepOutcome:
            if step.known:
                return step.outcome()
            with self._own_turn():
                return step.outcome()

        return outcome

    def _take(self, photo: Photo) -> StartedStep:
        """One step, which on a GPU may go on."""
        step = self.steps_done
        rates = self._enter(step)
        seed = int(
            torch.randint(2**53, (), generator=self._generator, device=self._generator.device)
        )
        started = self._objective.start(
            self._fit,
            photo,
            self._fit.wanted(rates, self._strategy.noise(self._strategy_state, step), seed),
            sh_degree=self._sh_degree,
            waves=self._waves_started,
            terms=self._strategy.terms(self._strategy_state),
        )
        self._pending.append(started)
        last = step + 1 >= self.config.steps
        controls = self._strategy.watches or self._schedule.refines(step)
        if controls or last or not self._objective.ahead:
            self._settle()
        else:
            self._note(self._pending[:-1])
        if last:
            self._keep_within()
        if controls and started.outcome().changed:
            self._control(step, started.info)
        if self._waves_started and self._schedule.limits_waves(step):
            self._limit_waves()
        return started

    def _control(self, step: int, info: dict[str, Any]) -> None:
        """Let the strategy look at a step that is done, and add, move and remove splats."""
        refines = self._schedule.refines(step)
        if refines:
            self._fit.catch_up()
            info = dict(info)  # which goes with what is forgotten
            self._forget()
        self._strategy.step_post_backward(
            self.parameters, self._fit.optimizers, self._strategy_state, step, info
        )
        if refines:
            self._fit.keep_types()
            self._prune()
            self._keep_within()

    def _keep_within(self) -> None:
        keep_within(self.parameters, self._lengths.middle, self._lengths.reach)

    def _settle(self) -> None:
        """Wait for all steps that were started, and mend what they broke."""
        self._note(list(self._pending))
        if self._unclean:
            self._unclean = False
            self._forget()
            self._prune()

    def _note(self, steps: Sequence[StartedStep]) -> None:
        """Wait for some steps, the first ones that were started, and note what they did."""
        for started in steps:
            outcome = started.outcome()
            self._pending.remove(started)
            self._unclean |= outcome.broken or not outcome.changed
            if outcome.changed:
                self._skipped_in_a_row = 0
            else:
                self._skip()
        if self._unclean and self._pending:
            self._settle()

    def _prune(self) -> None:
        self.pruned_splats += prune_broken(
            self.parameters, self._fit.optimizers, self._strategy_state
        )

    def _forget(self) -> None:
        """Let go of splats in whose place others come: there may not be memory for both."""
        self._objective.forget()

    def _enter(self, step: int) -> dict[str, float]:
        """Bring everything that depends on the step up to date. Returns its learning rates."""
        # A run that is extended later has longer stages, but never goes back to an earlier one.
        degree = self._schedule.active_sh_degree(step)
        starts_waves = (
            self.config.gabor > 0 and not self._waves_started and step >= self._schedule.wave_start
        )
        if degree > self._sh_degree or starts_waves:
            self._settle()
            self._forget()
        self._sh_degree = max(degree, self._sh_degree)
        if starts_waves:
            self._fit.catch_up()
            self._start_waves()
            self._waves_started = True
        rates = self._schedule.rates(step, self.config.learning_rates)
        rates["means"] *= self._scene_scale
        return rates

    def _start_waves(self) -> None:
        config = self.config
        start_waves(self._fit.raw, self._generator)
        if config.gabor > 0 and config.wave_birth == "residual":
            views = [self._views[index] for index in self._shuffled()[:PHOTOS]]
            init_from_residual(
                self._fit.raw,
                views,
                self.settings,
                config.ssim_weight,
                degree=self._sh_degree,
                left_out=self.left_out,
            )

    def _limit_waves(self) -> None:
        if self.config.gabor == 0 or not self.config.wave_limit:
            return
        cameras = [view.camera.to(self.device) for view in self._views]
        limit_waves(self._fit.raw, cameras, self.settings)

    def _next_view(self) -> TrainingView:
        """Every view once, in random order, then again."""
        if not self._order:
            self._order = self._shuffled()
        return self._views[self._order.pop()]

    def _shuffled(self) -> list[int]:
        """Places of all views in random order."""
        count, generator = len(self._views), self._generator
        return torch.randperm(count, generator=generator, device=generator.device).tolist()

    def _next_photo(self) -> tuple[TrainingView, Photo]:
        """The next view whose photo can be read."""
        while True:
            view = self._next_view()
            photo = self.left_out.photo(view, self._photos.get)
            if photo is not None:
                return view, photo.over_any(self._generator)
            self.left_out.check_enough(self._views)

    def _make_objective(self) -> PhotoObjective:
        return PhotoObjective(self.device, self.settings, self.config.ssim_weight)

    def _show_from(self, near_plane: float) -> None:
        """Take another near plane."""
        if near_plane != self.settings.near_plane:
            self.settings = replace(self.settings, near_plane=near_plane)
            if self._has_own_objective:
                self._objective = self._make_objective()

    def _skip(self) -> None:
        self.skipped_steps += 1
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row >= GIVE_UP_AFTER:
            raise ArithmeticError(
                f"the fit has diverged: the loss or its gradient was not finite in "
                f"{GIVE_UP_AFTER} steps in a row, up to step {self.steps_done}"
            )

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything needed to go on exactly where this trainer is."""
        with self._own_turn():
            self._settle()
            return {
                "version": STATE_VERSION,
                "views": [view.name for view in self._views],
                "config": {name: getattr(self.config, name) for name in MUST_AGREE},
                "progress": {name: getattr(self, name) for name in PROGRESS},
                "near_plane": self.settings.near_plane,
                **self._fit.state_dict(),
                "strategy": {
                    name: value.to("cpu", copy=True) if isinstance(value, Tensor) else value
                    for name, value in self._strategy_state.items()
                },
                "generator": self._generator.get_state(),
            }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the trainer that gave `state` was.

        The config may ask for more steps or splats than that trainer's did, and up to half of the
        views may have come or gone. Raises ValueError if the state is of another version, kind of
        splats, strategy or capture.
        """
        self._check(state)
        with self._own_turn():
            self._settle()
            self._forget()
            for name in PROGRESS:
                setattr(self, name, copy.deepcopy(state["progress"][name]))
            self._show_from(state.get("near_plane", RenderSettings().near_plane))
            places = {view.name: index for index, view in enumerate(self._views)}
            due = (state["views"][index] for index in self._order)
            self._order = [places[name] for name in due if name in places]
            self._fit.load_state_dict(state)
            self._strategy_state = {
                name: value.to(self.device, copy=True) if isinstance(value, Tensor) else value
                for name, value in state["strategy"].items()
            }
            self._generator.set_state(state["generator"])

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            "a Trainer cannot be pickled or copied: give its state_dict() to load_state_dict() of "
            "another that is made of the same capture"
        )

    def _check(self, state: dict[str, Any]) -> None:
        if state.get("version") != STATE_VERSION:
            raise ValueError(f"version must be {STATE_VERSION}, not {state.get('version')}")
        missing = {"views", "config", "progress", "raw", "moments", "adam_steps", "missed"}
        missing |= {"strategy", "generator"}
        missing -= state.keys()
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        for name in MUST_AGREE:
            theirs, ours = state["config"][name], getattr(self.config, name)
            if theirs != ours:
                raise ValueError(f"it was trained with {name} = {theirs}, not {ours}")
        ours, theirs = {view.name for view in self._views}, set(state["views"])
        if 2 * len(ours & theirs) < max(len(ours), len(theirs)):
            raise ValueError("it was trained on other views than this capture's")
        if len({len(tensor) for tensor in state["raw"].values()}) != 1:
            raise ValueError("its parameters differ in length")
        count = len(state["raw"]["means"])
        if count > self.config.max_splats:
            raise ValueError(
                f"it has {count} splats, more than max_splats = {self.config.max_splats}"
            )
