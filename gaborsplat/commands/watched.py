"""A training that browsers watch and pause."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from ..console import error_console
from ..renderer.training import StepReport, Trainer
from ..viewer import LiveView, TrainingStatus

PAUSE_POLL = 0.05
"""Seconds between two looks for what browsers ask of a training that is paused or over."""


class LiveTraining:
    """The viewer's hold on this run."""

    def __init__(self, view: LiveView) -> None:
        self._view = view
        self._told_of_pause = False
        self.test_psnr: float | None = None

    def serve(self) -> None:
        """Do what browsers have asked for."""
        self._view.serve()

    def between_steps(self, check: Callable[[], None]) -> None:
        """Serve, and while somebody in a browser has paused training go on serving; `check` may
        raise."""
        self.serve()
        while self._view.paused:
            if not self._told_of_pause:
                error_console.print("Paused in the browser.")
                self._told_of_pause = True
            time.sleep(PAUSE_POLL)
            check()
            self.serve()
        self._told_of_pause = False

    def update(self, trainer: Trainer, report: StepReport, rate: float) -> None:
        """After a step."""
        self._view.update(self._status(trainer, report.splats, report.loss, rate), trainer.splats)

    def finish(self, trainer: Trainer, loss: float, rate: float) -> None:
        """After the last step and its evaluation."""
        splats = trainer.splats()
        status = self._status(trainer, len(splats), loss, rate)
        self._view.finish(replace(status, finished=True), splats)

    def _status(self, trainer: Trainer, splats: int, loss: float, rate: float) -> TrainingStatus:
        return TrainingStatus(
            step=trainer.steps_done,
            steps=trainer.config.steps,
            splats=splats,
            loss=loss,
            psnr=self.test_psnr,
            steps_per_second=rate,
            time_left=None if trainer.config.time is None else trainer.pace.left,
        )
