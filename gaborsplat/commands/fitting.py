"""The fit of a run, and what is saved of it whatever happens."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..console import console, decimal_bytes, decimals, error_console
from ..devices import peak_memory
from ..inputs.loading import LoadedScene
from ..progress import TrainingProgress
from ..renderer.devices import is_out_of_memory
from ..renderer.files import remove_orphans
from ..renderer.splats import Splats
from ..renderer.training import (
    CheckpointWriter,
    EndAtOnce,
    StepReport,
    TooFewPhotos,
    Trainer,
    TrainingView,
    deferred_interrupt,
    evaluate,
    finish,
)
from ..run_folder import RunFolder
from ..scenes import Capture, InputError, SplatMetadata, one_line
from ..viewer import Action, Download, LiveView
from .export.page import page_download
from .refined import write_refined
from .watched import LiveTraining

LOG_EVERY = 10
"""Steps between two lines of log.jsonl."""
OVERFITTED = 0.1
"""Test views that end so much below their best are worth a word [dB]: two measurements of one fit,
a few hundred steps apart, differ by less."""


class TrainingEnded(RuntimeError):
    """Training ended before it was done, or something of it could not be saved. One line, as people
    are told."""


@dataclass
class Run:
    """What fits, what it fits to, and where it is saved.

    Attributes:
        writer: of its checkpoints.
        splats_of: the step whose splats this has written to splats.ply; -1 before it has.
    """

    trainer: Trainer
    capture: Capture
    folder: RunFolder
    writer: CheckpointWriter = field(init=False)
    splats_of: int = field(init=False, default=-1)

    def __post_init__(self) -> None:
        self.writer = CheckpointWriter(self.folder.checkpoints, self.trainer, self._failed)

    def save(self) -> str:
        """Everything needed to go on from here; returns what was saved where."""
        checkpoint = self.writer.save()
        self.folder.forget_photos(self.trainer.left_out.reasons)
        return f"{checkpoint}; {self.save_splats()}"

    def save_splats(self) -> str:
        """The splats as they are now; returns what was saved where."""
        splats = self.trainer.splats()
        origin = self.capture.origin.tolist()
        self.folder.write_splats(splats, origin, self.trainer.config)
        write_refined(self.folder, self.trainer, self.capture)
        self.folder.write_corrections(self.trainer.corrections.document())
        where, self.splats_of = self.folder.splats_file, self.trainer.steps_done
        return f"{len(splats):,} splats of step {self.trainer.steps_done}: {where}"

    def save_what_can_be(self) -> list[str]:
        """As `save`, each part as far as it works; returns what did not."""
        problems: list[str] = []
        for part in (self.save_splats, self.writer.save):
            try:
                part()
            except Exception as error:
                problems.append(one_line(error))
        with suppress(OSError, InputError):
            self.folder.forget_photos(self.trainer.left_out.reasons)
        return problems

    def _failed(self, error: OSError) -> None:
        """A checkpoint could not be written beside training."""
        error_console.print(f"warning: no checkpoint: {one_line(error)}", style="bold yellow")
        try:
            done = f"saved instead: {self.save_splats()}"
        except (OSError, InputError) as also:
            done = f"nor splats: {one_line(also)}"
        error_console.print(f"warning: {done}; training goes on", style="bold yellow")

    def actions(self, live: LiveView) -> Sequence[Action]:
        """What browsers may ask for. Between two steps, when all that is saved fits together."""
        return [
            Action(
                "Save PLY",
                f"Write the splats of this moment to {self.folder.splats_file}",
                lambda: live.ask(self.save_splats),
            ),
            Action(
                "Save checkpoint",
                "Save all that is needed to go on from here, should training be stopped",
                lambda: live.ask(self.save),
            ),
            Action(
                "Save page",
                "The splats of this moment and a viewer in one file, which any browser shows",
                lambda: self._page(live),
            ),
        ]

    def _page(self, live: LiveView) -> Download:
        """Taken between two steps, and packed while training goes on."""
        taken: list[Splats] = []

        def take() -> str:
            taken.append(self.trainer.splats().detach().map(Tensor.clone))
            return ""

        live.ask(take)
        x, y, z = self.capture.origin.tolist()
        settings = self.trainer.settings
        metadata = SplatMetadata(antialiased=settings.antialiased, origin=(x, y, z))
        scene = LoadedScene(taken[0], settings, metadata)
        cameras = [view.camera for view in self.capture.train]
        return page_download(scene, cameras, self.folder.path.name)


class Fit:
    """One run, from the trainer's step to the written result."""

    def __init__(
        self,
        run: Run,
        live: LiveTraining | None,
        eval_every: int,
        tell_where: Callable[[], None],
    ) -> None:
        """`tell_where` says where training stopped, if it did."""
        self._run, self._tell_where = run, tell_where
        self._trainer, self._capture, self._folder = run.trainer, run.capture, run.folder
        self._live, self._eval_every = live, eval_every
        self._loss, self._rate = math.nan, 0.0
        self._tested_at, self._test_took = 0.0, 0.0
        self._lost: list[str] = []
        self._no_pictures = False

    def run(self) -> None:
        """Steps until done or interrupted; either way, and after an error, everything is saved.

        Raises:
            KeyboardInterrupt: it was interrupted.
            TrainingEnded: a step failed, or not all could be saved.
            InputError: most photos are gone.
        """
        self._folder.forget_metrics()
        remove_orphans(self._folder.path)
        self._folder.log.go_on_after(self._trainer.steps_done)
        # Until all is saved, and that is said: nothing that asks the program to end cuts it short.
        with deferred_interrupt(saves=True) as interrupt, self._telling():
            problems = self._fit_and_save(interrupt)
            interrupt()
        with self._telling():
            self._finish(problems)

    @contextmanager
    def _telling(self) -> Generator[None, None, None]:
        """If training ends here, where it stopped is said."""
        try:
            yield
        except (KeyboardInterrupt, TrainingEnded):
            self._tell_where()
            raise

    def _fit_and_save(self, interrupt: Callable[[], None]) -> list[str]:
        """All steps, and all that is saved of them; returns what could not be."""
        saves, problems = True, list[str]()
        try:
            self._steps(interrupt)
        except EndAtOnce:
            saves = False
            raise
        except (InputError, TrainingEnded):
            raise
        except Exception as error:
            what = f"after step {self._trainer.steps_done}: {reason(error)}"
            raise TrainingEnded(what) from error
        finally:
            # A step that was cut short left nothing worth saving: the last checkpoint stands.
            if saves and self._trainer.intact:
                problems = self._run.save_what_can_be()
            for problem in problems:
                error_console.print(f"warning: not saved: {problem}", style="bold yellow")
        return problems

    def _finish(self, problems: list[str]) -> None:
        try:
            self._evaluate()
        except Exception as error:
            what = f"training is done, but it cannot be evaluated: {reason(error)}"
            raise TrainingEnded(what) from error
        lost = problems + self._lost
        if lost:
            raise TrainingEnded(f"training is done, but not all is saved: {lost[0]}")

    def _steps(self, interrupt: Callable[[], None]) -> None:
        trainer = self._trainer
        with TrainingProgress(trainer) as progress:
            while not trainer.done:
                interrupt()
                if self._live is not None:
                    with trainer.pace.resting():
                        self._live.between_steps(interrupt)
                report = self._step()
                progress.update(report)
                self._loss, self._rate = report.loss, progress.rate(report.step)
                self._after_step(report)
                if self._live is not None:
                    self._live.update(trainer, report, self._rate)

    def _step(self) -> StepReport:
        done = self._trainer.steps_done
        try:
            return self._trainer.step()
        except TooFewPhotos as error:
            raise InputError(str(error)) from error
        except Exception as error:
            what = f"step {done + 1} failed: {reason(error)}"
            raise TrainingEnded(what) from error

    def _after_step(self, report: StepReport) -> None:
        trainer, extra = self._trainer, dict[str, Any]()
        if self._eval_every and report.step % self._eval_every == 0 and self._may_test():
            extra = {"test_psnr": self._test_psnr()}
        if extra or report.step % LOG_EVERY == 0 or trainer.done:
            self._log(report, extra)
        if not trainer.done:
            self._run.writer.after_step()

    def _log(self, report: StepReport, extra: dict[str, Any]) -> None:
        try:
            self._folder.log.write(
                step=report.step,
                loss=report.loss,
                psnr=report.psnr,
                splats=report.splats,
                steps_per_second=self._rate,
                seconds=report.seconds,
                elapsed=self._trainer.pace.elapsed,
                **extra,
            )
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        """Tell once of each file that cannot be written, and go on."""
        problem = one_line(error)
        if problem not in self._lost:
            self._lost.append(problem)
            error_console.print(f"warning: not written: {problem}", style="bold yellow")

    def _may_test(self) -> bool:
        """Whether there is time to look at the test views between two steps."""
        trainer, pace = self._trainer, self._trainer.pace
        if trainer.done:
            return False
        # The first time it is not known how long that takes: to decode a view and to draw it, about
        # as long as two steps.
        step = trainer.seconds / max(1, trainer.steps_done)
        took = self._test_took or 2 * len(self._capture.test) * step
        return pace.affords(took, pace.elapsed - self._tested_at)

    def _test_psnr(self) -> float | None:
        trainer, test = self._trainer, self._capture.test
        began = time.perf_counter()
        found = evaluate(trainer.splats(), test, trainer.settings, left_out=trainer.left_out)
        psnr = found.psnr
        self._tested_at, self._test_took = trainer.pace.elapsed, time.perf_counter() - began
        if self._live is not None:
            self._live.test_psnr = psnr
        return psnr

    def _evaluate(self) -> None:
        result = finish(self._trainer, self._capture, self._compare)
        metrics = {**result.metrics(), "peak_memory_bytes": peak_memory()}
        try:
            self._folder.forget_photos(self._trainer.left_out.reasons)
            self._folder.write_metrics(metrics)
        except OSError as error:
            self._lose(error)
        quality = result.evaluation
        if self._live is not None:
            self._live.test_psnr = quality.psnr
            self._live.finish(self._trainer, self._loss, self._rate)
        psnr = f"{decimals(quality.psnr, 2)} dB"
        if self._trainer.config.exposure != "off":
            psnr += f" ({decimals(quality.cc_psnr, 2)} dB with colours matched)"
        console.print(
            f"Test PSNR {psnr}, SSIM {decimals(quality.ssim, 4)} on "
            f"{len(quality.per_image)} views. {len(result.splats):,} splats, "
            f"{decimal_bytes(result.splats.nbytes)}, {result.seconds:.0f} s of training."
        )
        if quality.aligned is not None:
            console.print(
                f"With test cameras aligned: PSNR {decimals(quality.aligned.psnr, 2)} dB, "
                f"SSIM {decimals(quality.aligned.ssim, 4)}."
            )
        for line in self._trainer.corrections.told():
            console.print(line)
        # Where exposure or cameras are learnt, those of test views are their own, or wrong: their
        # PSNR may fall as splats become better.
        if self._trainer.config.exposure == "off" and quality.aligned is None:
            self._warn_if_overfitted(quality.psnr)
        if self._run.splats_of == self._trainer.steps_done:
            console.print(f"Splats: {self._folder.splats_file}")

    def _warn_if_overfitted(self, psnr: float | None) -> None:
        """Say so if test views were better earlier in the run."""
        best = self._folder.log.best_test()
        if best is not None and psnr is not None and best.test_psnr >= psnr + OVERFITTED:
            error_console.print(
                f"note: test views had {best.test_psnr:.2f} dB after {best.step:,} steps with "
                f"{best.splats:,} splats: what was learnt since holds for the training photos "
                "alone; fewer --steps or --max-splats will do"
            )

    def _compare(self, view: TrainingView, image: Tensor, photo: Tensor) -> None:
        if self._no_pictures:
            return  # as the first one, and said
        try:
            self._folder.write_comparison(view, image, photo)
        except OSError as error:
            self._no_pictures = True
            self._lose(error)


def reason(error: Exception) -> str:
    """What a person is told of an error within a step, and what may help."""
    if not is_out_of_memory(error):
        return one_line(error)
    said = " ".join(str(error).split()) or type(error).__name__
    helps = "fewer splats (--max-splats) or smaller photos (--max-size) take less"
    return f"out of memory ({said}); {helps}"
