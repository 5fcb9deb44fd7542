"""What is told of a step of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor

from ...losses import decibel

GIVE_UP_AFTER = 100
"""Skipped steps in a row after which a run has failed."""


class StepOutcome(NamedTuple):
    """What a step did.

    Attributes:
        loss: what the objective gives, by default the photometric loss.
        mse: the picture's mean squared error, before the step.
        changed: whether the step was taken: not if loss or gradient were not finite, nor if
            `fitted` is False.
        fitted: whether the lists of tiles had room for all pairs.
        broken: whether numbers of single splats were not finite, which then had no gradient.
        pairs: of splat and tile; 0 where the lists are as long as they have to be.
        terms: of the loss, by name; filled when the step is done.
    """

    loss: float
    mse: float
    changed: bool
    fitted: bool
    broken: bool
    pairs: int
    terms: Mapping[str, float] = {}

    @classmethod
    def of(cls, report: Tensor) -> StepOutcome:
        """What `SplatFit.report` says."""
        loss, mse, changed, fitted, broken, pairs = report.tolist()
        return cls(loss, mse, bool(changed), bool(fitted), bool(broken), int(pairs))


@dataclass(frozen=True)
class StepReport:
    """What one step did. On a GPU it may not be done: whoever asks for `loss`, `psnr` or `skipped`
    waits for it.

    Attributes:
        step: steps started, this one included.
        splats: number of splats after the step.
        seconds: time spent in steps since the start of the run [s].
        view: name of this step's photo.
        outcome: waits for the step, and tells what it did.
    """

    step: int
    splats: int
    seconds: float
    view: str
    outcome: Callable[[], StepOutcome]

    def __getstate__(self) -> dict[str, Any]:
        """For copies, which do not hold the trainer. Waits for the step."""
        return {**vars(self), "outcome": partial(StepOutcome, *self.outcome())}

    @property
    def loss(self) -> float:
        """Of this step's photo, by default the photometric one."""
        return self.outcome().loss

    @property
    def terms(self) -> Mapping[str, float]:
        """Terms of the loss by name."""
        return self.outcome().terms

    @property
    def psnr(self) -> float:
        """Of this step's photo before the step [dB]."""
        return decibel(self.outcome().mse)

    @property
    def skipped(self) -> bool:
        """Whether nothing was changed, as loss or gradient was not finite."""
        return not self.outcome().changed


def check_converges(skipped: int, step: int) -> None:
    """Checks that of the steps up to `step` not too many were `skipped` in a row.

    Raises:
        ArithmeticError: the fit has diverged.
    """
    if skipped >= GIVE_UP_AFTER:
        raise ArithmeticError(
            f"the fit has diverged: the loss or its gradient was not finite in {GIVE_UP_AFTER} "
            f"steps in a row, up to step {step}"
        )
