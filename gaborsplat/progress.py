"""How a long job tells that it moves: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .console import error_console
from .renderer.training import StepReport, Trainer
from .scenes import Capture, load_capture

LINES = 20
"""Lines that a whole run prints where there is no terminal."""
SECONDS = 30.0
"""Between two lines on the same thing there, while COLMAP works."""


class TrainingProgress:
    """Loss, PSNR, splats, steps per second and time left. The figures are running means."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer, self._first = trainer, trainer.steps_done
        self._told = self._place()[0]
        self._loss = self._psnr = float("nan")
        self._started = time.perf_counter()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=error_console,
            disable=not error_console.is_terminal,
        )
        done, total, place = self._place()
        self._task = self._bar.add_task(place, total=total, completed=int(done), figures="")

    def __enter__(self) -> TrainingProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    @property
    def psnr(self) -> float:
        """Running mean over the training photos [dB]."""
        return self._psnr

    def rate(self, step: int) -> float:
        """Steps per second since the start."""
        return (step - self._first) / max(time.perf_counter() - self._started, 1e-9)

    def update(self, report: StepReport) -> None:
        """Show one more step."""
        if not report.skipped:
            self._loss = _mixed(self._loss, report.loss)
            self._psnr = _mixed(self._psnr, report.psnr)
        rate = self.rate(report.step)
        figures = (
            f"loss {self._loss:.4f}  PSNR {self._psnr:.2f} dB  "
            f"{report.splats:,} splats  {rate:.1f} steps/s"
        )
        done, total, place = self._place()
        self._bar.update(self._task, completed=done, description=place, figures=figures)
        every = total / LINES if self._trainer.config.time else max(total // LINES, 1)
        if not error_console.is_terminal and done // every > self._told // every:
            left = total - done if self._trainer.config.time else (total - done) / max(rate, 1e-9)
            error_console.print(f"step {place}  {figures}  {left:.0f} s left")
            self._told = done

    def _place(self) -> tuple[float, float, str]:
        """How much is done, of how much, and how that is said: steps, or seconds of a run that has
        so many."""
        step, config = self._trainer.steps_done, self._trainer.config
        if config.time is None:
            return step, config.steps, f"{step}/{config.steps}"
        elapsed = min(self._trainer.pace.elapsed, config.time)
        return elapsed, config.time, f"{step}, {elapsed:.0f}/{config.time:.0f} s"


class SfmProgress:
    """What COLMAP does with photos that have no model, and how far it is."""

    def __init__(self) -> None:
        self._doing, self._told = "", 0.0
        self._bar = Progress(
            TextColumn("COLMAP: {task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            console=error_console,
            disable=not error_console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None)

    def close(self) -> None:
        """Leave the terminal to others."""
        self._bar.stop()

    def __call__(self, doing: str, done: int, total: int) -> None:
        """Show how many photos are done."""
        if not self._doing:
            self._bar.start()
        self._bar.update(self._task, description=doing, completed=done, total=total)
        now = time.monotonic()
        if not error_console.is_terminal and (doing != self._doing or now > self._told + SECONDS):
            error_console.print(f"COLMAP: {doing} {done}/{total}")
            self._told = now
        self._doing = doing


@contextmanager
def fitting(what: str) -> Generator[Callable[[int, int], None], None, None]:
    """A bar for a fit, moved by a call with the steps done and those in all."""
    with Progress(
        console=error_console, transient=True, disable=not error_console.is_terminal
    ) as bar:
        task = bar.add_task(what)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def load_shown(scene: Path, **options: Any) -> Capture:
    """`load_capture` with its `options`, shown while COLMAP works."""
    with closing(SfmProgress()) as progress:
        return load_capture(scene, sfm_progress=progress, **options)


def _mixed(mean: float, value: float) -> float:
    return value if math.isnan(mean) else 0.95 * mean + 0.05 * value
