"""The optimisation: one photo a step, from initial splats to fitted ones."""

from __future__ import annotations

import gc
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.nn import Parameter

from ..devices import is_out_of_memory, pick_device
from ..settings import RenderSettings
from ..splats import Parameters, Splats
from .color.degree import with_degree
from .config import TrainConfig
from .corrections.choosing import corrections_for, decided
from .corrections.correction import Correction
from .corrections.corrections import Corrections
from .data import FitInput, LeftOut, Lengths, Photo, Turns
from .density.initial import initial_parameters
from .density.strategy import make_strategy
from .density.survey import survey
from .fairlock import FairLock
from .gabor.wave_init import PHOTOS, init_from_residual
from .gabor.waves import limit_waves, start_waves
from .pacing.pace import Pace
from .pacing.resolution import PhotosInTime
from .schedule import Schedule
from .state import STATE_VERSION, NotCopied, check_state, moved, put_back, settings_of
from .step.fit import SplatFit
from .step.objective import Objective, PhotometricObjective
from .step.optimizer import keep_within, prune_broken
from .step.report import StepOutcome, check_converges
from .step.report import StepReport as StepReport
from .step.runner import StartedStep, StepRunner

PROGRESS = (
    "steps_done",
    "seconds",
    "skipped_steps",
    "pruned_splats",
    "_skipped_in_a_row",
    "_scene_scale",
    "_sh_degree",
    "_waves_started",
)
"""Plain values that change from step to step."""
WAVES = ("frequencies", "coefficients")


class Trainer(NotCopied):
    """Fits splats to the training views of a capture, step by step.

    Two trainers with equal data, config and device go through equal steps; on the CPU, with one
    number of threads, bit for bit. `step`, `splats` and `state_dict` may be called from
    different threads, in inference mode or not.

    Args:
        data: views to fit, and points to begin with.
        config: settings of the fit.
        device: where it runs, as for `pick_device`.
        objective: what is made small; by default the photometric loss that `config` asks for.
        corrections: what is learnt of photos beside the splats and what `config` asks for.
        runner: takes the steps, in place of one that is made for the above.

    Attributes:
        config: settings of the fit.
        device: where it runs.
        settings: how splats are rendered, and should be shown.
        steps_done: steps so far.
        seconds: spent in steps so far [s].
        pace: how far the run is, and the time that it has taken.
        skipped_steps: those of them whose loss or gradient was not finite.
        pruned_splats: splats that were removed because they were not finite.
        corrections: as learnt so far.
        intact: False while a step changes the splats, and after one that was cut short just then:
            nothing to save or show.

    Raises:
        ValueError: there are no training views, or the device cannot be used.
    """

    @torch.inference_mode(False)  # what is made here changes later, which may be outside of it
    def __init__(
        self,
        data: FitInput,
        config: TrainConfig,
        device: torch.device | str = "cpu",
        objective: Objective | None = None,
        corrections: Sequence[Correction] = (),
        runner: StepRunner | None = None,
    ) -> None:
        if not data.train:
            raise ValueError("there are no views to train on")
        self.config = config = decided(with_degree(config, data), data)
        self.device = pick_device(device)
        self.steps_done, self.seconds = 0, 0.0
        self.skipped_steps = self.pruned_splats = 0
        self.pace = Pace(config)
        self._lengths = Lengths.of([view.camera for view in data.train], data.points)
        self._scene_scale = self._lengths.scale
        self.settings = replace(config.render_settings(), near_plane=self._lengths.near_plane)
        self._objective = objective or PhotometricObjective(config.ssim_weight)
        asked = [*corrections_for(config, data), *corrections]
        self.corrections = Corrections(asked, data.train, self.device)
        self._given = runner
        self._renew_runner()
        self._schedule = Schedule.of(config)
        # On the CPU whatever the device, so that both see the same random numbers.
        self._generator = torch.Generator().manual_seed(config.seed)
        photos = partial(PhotosInTime, self.device, config, self.pace)
        self._turns = Turns(data.train, photos, self._generator)
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
        self._sh_degree = 0
        self._waves_started = False
        self._skipped_in_a_row = 0
        self._turn = FairLock()

    @property
    def parameters(self) -> Parameters:
        """What is fitted, raw, by name; only between steps. Harmonics may miss steps of Adam."""
        return self._fit.parameters

    @property
    def left_out(self) -> LeftOut:
        """Views whose photos cannot be read: their turns go to others."""
        return self._turns.left_out

    @property
    def intact(self) -> bool:
        return self._fit.whole

    @property
    def done(self) -> bool:
        return self.pace.done(self.steps_done)

    def splats(self) -> Splats:
        """A copy of the splats as they are now."""
        with self._own_turn():
            return self._splats()

    def step(self) -> StepReport:
        """Fit one photo. Where memory runs out, what can be done without is let go of, and the step
        is tried once more.

        Whatever is raised, as long as it is `intact` the trainer is as it was after its last whole
        step, which is this one where only what follows the change of the splats has failed.

        Raises:
            ArithmeticError: the run has diverged beyond repair.
            TooFewPhotos: most cannot be read.
        """
        with self._own_turn():
            taken, started, done = None, time.perf_counter(), self.steps_done
            self.pace.begin(done)
            try:
                taken = self._try_step()
            except Exception as error:
                if self.steps_done > done or not (self.intact and is_out_of_memory(error)):
                    raise
            if taken is None:
                self._release()
                taken = self._try_step()
            name, step = taken
            self.pace.end()
            self.seconds += time.perf_counter() - started
            splats, outcome = len(self.parameters["means"]), partial(self._outcome, step)
            return StepReport(self.steps_done, splats, self.seconds, name, outcome)

    @torch.no_grad()
    def _splats(self) -> Splats:
        self._settle()
        return self._fit.current().activated()

    @contextmanager
    def _own_turn(self) -> Generator[None]:
        """While this is entered no other thread has a turn, and tensors may be changed later."""
        with self._turn, torch.inference_mode(False):
            yield

    @property
    def _starts_waves(self) -> bool:
        due = self.config.gabor > 0 and self.pace.step >= self._schedule.wave_start
        return due and not self._waves_started

    def _try_step(self) -> tuple[str, StartedStep]:
        """Returns the name of the step's view too."""
        order, degree, waves = list(self._turns.order), self._sh_degree, self._waves_started
        drawn = self._generator.get_state()
        try:
            photo = self._turns.next()
            with put_back([self.parameters[name] for name in WAVES] if self._starts_waves else []):
                started = self._take(photo)
        except BaseException:
            self._turns.order, self._sh_degree, self._waves_started = order, degree, waves
            self._generator.set_state(drawn)
            raise
        self.steps_done += 1
        self._follow(started)
        return photo.name, started

    def _release(self) -> None:
        """Let go of what can be made again, for want of memory."""
        self._settle()
        self._runner.forget()
        self._turns.forget()
        self._renew_runner()
        gc.collect()
        torch.cuda.empty_cache()  # nothing where there is no GPU

    def _outcome(self, step: StartedStep) -> StepOutcome:
        with nullcontext() if step.known else self._own_turn():
            return step.outcome()

    def _take(self, photo: Photo) -> StartedStep:
        """The change of the splats, which on a GPU may go on."""
        step = self.pace.step
        rates = self._enter(step)
        drawn = self._generator
        seed = int(torch.randint(2**53, (), generator=drawn, device=drawn.device))
        started = self._runner.start(
            self._fit,
            photo,
            self._fit.wanted(rates, self._strategy.noise(self._strategy_state, step), seed),
            sh_degree=self._sh_degree,
            waves=self._waves_started,
            terms=self._strategy.terms(self._strategy_state),
        )
        self._pending.append(started)
        return started

    def _follow(self, started: StartedStep) -> None:
        last, refined = self.pace.last, self.pace.due(self._schedule.refines)
        controls = refined is not None or (self._strategy.watches and bool(self.pace.span))
        if controls or last or not self._runner.ahead:
            self._settle()
        else:
            self._note(self._pending[:-1])
        if last:
            self._keep_within()
        if controls and started.outcome().changed:
            self._control(self.pace.step if refined is None else refined, started.info)
        limited = self.pace.due(self._schedule.limits_waves)
        if self._waves_started and self.config.wave_limit and limited is not None:
            with self.pace.closing():
                cameras = [view.camera.to(self.device) for view in self._turns.views]
                limit_waves(self._fit.raw, cameras, self.settings)

    def _control(self, step: int, info: dict[str, Any]) -> None:
        """Let the strategy look at a step that is done, and add, move and remove splats."""
        look = partial(self._strategy.step_post_backward, self.parameters, self._fit.optimizers)
        if not self._schedule.refines(step):
            look(self._strategy_state, step, info)
            return
        self._fit.catch_up()
        raw = self._fit.raw if self._waves_started else self._fit.raw.without_waves()
        surveyed = partial(survey, raw, self._turns, self._runner, self._sh_degree)
        info = {**info, "survey": surveyed}  # a copy, as the info goes with what is forgotten
        self._runner.forget()  # there may not be memory for splats and those in their place
        # The splats before a refinement are kept until those after it are whole.
        fit, state = self._fit.pointers(), moved(self._strategy_state, self.device)
        try:
            look(self._strategy_state, step, info)
            self._fit.keep_types()
            self._prune()
            self._keep_within()
        except BaseException:
            self._fit.point_back(fit)
            self._strategy_state = state
            raise

    def _keep_within(self) -> None:
        keep_within(self.parameters, self._lengths.middle, self._lengths.reach)

    def _settle(self) -> None:
        """Wait for all steps that were started, and mend what they broke."""
        self._note(list(self._pending))
        if self._unclean:
            self._runner.forget()
            self._prune()
            self._unclean = False

    def _note(self, steps: Sequence[StartedStep]) -> None:
        """Wait for some steps, the first ones that were started, and note what they did."""
        for started in steps:
            outcome = started.outcome()
            self._pending.remove(started)
            self._unclean |= outcome.broken or not outcome.changed
            self.skipped_steps += not outcome.changed
            self._skipped_in_a_row = 0 if outcome.changed else self._skipped_in_a_row + 1
            check_converges(self._skipped_in_a_row, self.steps_done)
        if self._unclean and self._pending:
            self._settle()

    def _prune(self) -> None:
        self.pruned_splats += prune_broken(
            self.parameters, self._fit.optimizers, self._strategy_state
        )

    def _enter(self, step: int) -> dict[str, float]:
        """Bring everything that depends on the step up to date. Returns its learning rates."""
        # A run that is extended later has longer stages, but never goes back to an earlier one.
        degree = self._schedule.active_sh_degree(step)
        starts_waves = self._starts_waves
        switched = self.corrections.enter(self.pace.progress, self._splats, self.settings)
        if switched or degree > self._sh_degree or starts_waves:
            self._settle()
            self._runner.forget()
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
        if config.wave_birth == "residual":
            views = self._turns.some(PHOTOS)
            init_from_residual(self._fit.raw, views, self._runner, self._sh_degree, self.left_out)

    def _renew_runner(self) -> None:
        self._runner = self._given or StepRunner(
            self.device, self.settings, self._objective, self.corrections
        )

    def _show_from(self, near_plane: float) -> None:
        """Take another near plane."""
        if near_plane != self.settings.near_plane:
            self.settings = replace(self.settings, near_plane=near_plane)
            self._renew_runner()

    def state_dict(self, *, copy: bool = True) -> dict[str, Any]:
        """A copy of everything needed to go on exactly where this trainer is. Without `copy`, what
        lies on the CPU is its own, which the next step changes."""
        with self._own_turn():
            self._settle()
            return {
                "version": STATE_VERSION,
                "views": [view.name for view in self._turns.views],
                "config": settings_of(self.config),
                "progress": {
                    "_order": list(self._turns.order),
                    **{name: deepcopy(getattr(self, name)) for name in PROGRESS},
                },
                "near_plane": self.settings.near_plane,
                "pace": self.pace.state(),
                **self._fit.state_dict(copy=copy),
                "strategy": moved(self._strategy_state, "cpu", copy=copy),
                "corrections": self.corrections.state_dict(),
                "generator": self._generator.get_state(),
            }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the trainer that gave `state` was.

        The config may ask for more steps or splats than that trainer's did, and up to half of the
        views may have come or gone. Raises ValueError if the state is of another version, kind of
        splats, strategy or capture.
        """
        names = [view.name for view in self._turns.views]
        config = check_state(state, self.config, names)
        with self._own_turn():
            self._settle()
            self._runner.forget()
            self.config, self._schedule = config, Schedule.of(config)
            for name in PROGRESS:
                setattr(self, name, deepcopy(state["progress"][name]))
            self.pace.go_on(state.get("pace"), self.seconds)
            self._show_from(state.get("near_plane", RenderSettings().near_plane))
            due = state["progress"]["_order"]
            self._turns.go_on([state["views"][place] for place in due])
            self._fit.load_state_dict(state)
            self._strategy_state = moved(state["strategy"], self.device)
            self.corrections.load_state_dict(state.get("corrections", {}), state["views"])
            self._generator.set_state(state["generator"])
