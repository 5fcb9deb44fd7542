"""A fit some of whose numbers are not finite."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from fitting import SmallCapture, small_capture

from gaborsplat.renderer.backends.memory import Memory
from gaborsplat.renderer.training import TrainConfig, Trainer
from gaborsplat.renderer.training.data import Photo
from gaborsplat.renderer.training.step.objective import Measured, PhotometricObjective, Picture
from gaborsplat.renderer.training.step.report import GIVE_UP_AFTER

SHORT = TrainConfig(steps=300, max_splats=200, gabor=1, sh_degree=1)


@pytest.fixture(scope="module")
def capture() -> SmallCapture:
    return small_capture()


def test_splats_that_are_not_finite_are_removed_while_the_others_take_their_step(
    capture: SmallCapture,
) -> None:
    trainer = Trainer(capture, SHORT)
    before = trainer.splats()
    trainer.parameters["opacities"].data[7] = math.nan
    report = trainer.step()
    after = trainer.splats()
    assert not report.skipped
    assert (trainer.skipped_steps, trainer.pruned_splats) == (0, 1)
    assert len(after) == len(before) - 1
    assert not torch.equal(after.means[:7], before.means[:7])
    assert torch.isfinite(after.opacities).all()


class Unsteady(PhotometricObjective):
    """Whose gradient is at times not a number."""

    broken = True

    def measure(self, picture: Picture, photo: Photo, memory: Memory) -> Measured:
        result = super().measure(picture, photo, memory)
        if self.broken:
            result.v_color[10, 10] = math.nan
        return result


def unsteady(capture: SmallCapture, config: TrainConfig) -> tuple[Trainer, Unsteady]:
    objective = Unsteady()
    return Trainer(capture, config, objective=objective), objective


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(capture: SmallCapture) -> None:
    trainer, objective = unsteady(capture, SHORT)
    before = trainer.splats()
    assert trainer.step().skipped
    assert torch.equal(trainer.splats().means, before.means)
    objective.broken = False
    assert not trainer.step().skipped
    assert not torch.equal(trainer.splats().means, before.means)
    assert (trainer.steps_done, trainer.skipped_steps, trainer.pruned_splats) == (2, 1, 0)


def test_a_fit_that_stays_broken_stops_with_an_explanation(capture: SmallCapture) -> None:
    trainer, _ = unsteady(capture, replace(SHORT, steps=1000))
    with pytest.raises(ArithmeticError, match="diverged"):
        while not trainer.done:
            trainer.step()
    assert trainer.skipped_steps == GIVE_UP_AFTER
