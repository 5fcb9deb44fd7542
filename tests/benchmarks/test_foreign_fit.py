"""Our trainer with another rasterizer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fitting import small_capture

from benchmarks.gpu.foreign import ForeignRunner
from gaborsplat.renderer.gsplat_api.rasterization import rasterization
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats
from gaborsplat.renderer.training import TrainConfig, Trainer
from gaborsplat.renderer.training.data import scene_scale
from gaborsplat.renderer.training.schedule import Schedule


def trainer(runner: ForeignRunner | None, **config: Any) -> Trainer:
    """One on the CPU, ours or by what stands in for gsplat's rasterizer."""
    plain: dict[str, Any] = {"exposure": "off", "refine_poses": "off", "exchange": 0.0, **config}
    settings = TrainConfig(steps=40, gabor=0, max_splats=150, **plain)
    return Trainer(small_capture(), settings, "cpu", runner=runner)


def foreign(**options: Any) -> ForeignRunner:
    return ForeignRunner(rasterization, RenderSettings(), **options)


def trained(trainer: Trainer) -> tuple[Splats, float]:
    """The splats, and the loss of the last steps."""
    losses = [trainer.step().loss for _ in range(trainer.config.steps)]
    return trainer.splats(), sum(losses[-10:]) / 10


def test_a_fit_by_a_foreign_rasterizer_is_ours():
    """But for the rounding of moments, and for rotations, which have next to no gradient here."""
    settings = {"refine_stop": 0.0, "noise": 0.0, "opacity_weight": 0.05, "scale_weight": 0.05}
    before = trainer(None, **settings).splats()
    (ours, loss), (theirs, their_loss) = (
        trained(trainer(runner, **settings)) for runner in (None, foreign())
    )
    assert their_loss == pytest.approx(loss, rel=1e-3)
    for name in ("means", "scales", "opacities", "sh"):
        start, one, other = (getattr(splats, name) for splats in (before, ours, theirs))
        assert (other - one).norm() < 0.1 * (one - start).norm(), name


@pytest.mark.parametrize("strategy", ["mcmc", "default"])
def test_splats_are_added_to_a_foreign_fit_with_their_moments(strategy: str):
    settings = {"strategy": strategy, "noise": 0.0, "grow_gradient": 0.006}
    ours, loss = trained(trainer(None, **settings))
    theirs, their_loss = trained(trainer(foreign(), **settings))
    assert len(ours) > 120
    assert len(theirs) == pytest.approx(len(ours), rel=0.03)  # few are near the bound
    assert their_loss == pytest.approx(loss, rel=0.02)


def test_a_foreign_fit_gets_the_noise_that_is_wanted():
    strengths: list[float] = []
    fit = trainer(foreign(add_noise=lambda *found: strengths.append(found[-1])))
    trained(fit)
    schedule, scale = (
        Schedule.of(fit.config),
        scene_scale([view.camera for view in small_capture().train], small_capture().points),
    )
    rates = [schedule.rates(step, fit.config.learning_rates)["means"] for step in range(40)]
    assert strengths == pytest.approx([fit.config.noise * rate / scale for rate in rates])


def test_a_foreign_step_is_not_taken_along_a_loss_that_is_not_finite():
    def broken(**arguments: Any) -> Any:
        color, alphas, info = rasterization(**arguments)
        return color / 0, alphas, info

    fit = trainer(ForeignRunner(broken, RenderSettings()))
    before = fit.splats()
    assert fit.step().skipped
    assert torch.equal(fit.splats().means, before.means)
