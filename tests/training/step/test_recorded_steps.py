"""Training steps whose passes are recorded, by the emulator, against those that are not."""

from __future__ import annotations

import gc
import math
import weakref
from dataclasses import dataclass, replace

import emulated
import pytest
import torch
from fitting import SIZE, Photo, SmallCapture, looking_at_origin, small_capture

from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import PARAMETER_NAMES, Parameters
from gaborsplat.renderer.training.config import TrainConfig
from gaborsplat.renderer.training.data import load_photo
from gaborsplat.renderer.training.step.fit import SplatFit
from gaborsplat.renderer.training.step.runner import StartedStep, StepRunner
from gaborsplat.renderer.training.trainer import StepReport, Trainer

pytestmark = [
    pytest.mark.skipif(not emulated.available(), reason="needs a C++ compiler"),
    pytest.mark.slow,
]
CONFIG = TrainConfig(
    exposure="off",
    refine_poses="off",
    steps=20,
    max_splats=150,
    gabor=1,
    sh_degree=1,
    wave_start=0.3,
    refine_start=0.1,
    refine_stop=0.25,
    grow_stop=0.25,
)
"""Nothing but the views changes in the second half."""


class Programs(emulated.Emulator):
    """Counts what is recorded."""

    recorded = 0

    def record(self, launches):
        self.recorded += 1
        return super().record(launches)


def capture_of_two_sizes() -> SmallCapture:
    """Photos of two sizes, one of them with a mask."""
    capture = small_capture(3)
    camera = looking_at_origin((0.0, 1.0, -4.0)).resized((40, 24))
    mask = torch.ones(24, 40, dtype=torch.bool)
    mask[:8, :12] = False
    photo = torch.randint(0, 256, (24, 40, 3), dtype=torch.uint8)
    other = Photo("other", camera, photo)
    masked = replace(other, name="masked", valid=mask)
    return replace(capture, train=[capture.train[0], other, masked])


def trained(capture: SmallCapture, *, told_at_once: bool = True) -> tuple[list[float], Parameters]:
    """Losses and parameters of a run, whose reports are read after each step or at the end."""
    trainer = Trainer(capture, CONFIG)
    reports: list[StepReport] = []
    for _ in range(CONFIG.steps):
        reports.append(trainer.step())
        if told_at_once:
            assert math.isfinite(reports[-1].loss)
    losses = [report.loss for report in reports]
    return losses, {name: value.detach().clone() for name, value in trainer.parameters.items()}


@pytest.mark.parametrize("told_at_once", [False, True])
def test_recorded_steps_train_as_those_that_are_not_and_as_the_cpu(told_at_once: bool):
    capture, launcher = capture_of_two_sizes(), Programs()
    on_cpu, _ = trained(capture)
    with emulated.emulated_cuda(launcher):
        losses, parameters = trained(capture, told_at_once=told_at_once)
    with emulated.emulated_cuda() as backend:
        backend.records = False
        anew, expected = trained(capture)
    assert launcher.recorded >= 3
    assert losses == anew
    assert losses == pytest.approx(on_cpu, rel=1e-3)
    for name, value in expected.items():
        assert torch.equal(parameters[name], value), name


@dataclass
class Transparent(Photo):
    """A view with an alpha channel."""

    transparent: bool = True

    def alpha(self) -> torch.Tensor:
        return (255 * torch.linspace(0, 1, SIZE[0]).expand(SIZE[::-1])).to(torch.uint8)


def test_steps_before_changing_backgrounds_are_recorded_for_each():
    capture, launcher = small_capture(3), Programs()
    views = [Transparent(view.name, view.camera, view.pixels) for view in capture.train]
    capture = replace(capture, train=views)
    on_cpu, _ = trained(capture)
    with emulated.emulated_cuda(launcher):
        losses, _ = trained(capture)
    assert losses == pytest.approx(on_cpu, rel=5e-3)
    assert launcher.recorded >= 2


class Fitted:
    """Splats that are fitted to one photo."""

    def __init__(self) -> None:
        capture = small_capture(2)
        self.fit = SplatFit(Trainer(capture, CONFIG).parameters, 100)
        self.runner = StepRunner(torch.device("cpu"), RenderSettings())
        self.photo = load_photo(capture.train[0], torch.device("cpu"))

    def start(self, rate: float = 1e-3) -> StartedStep:
        wanted = SplatFit.wanted(dict.fromkeys(PARAMETER_NAMES, rate))
        return self.runner.start(self.fit, self.photo, wanted, sh_degree=1)


def test_a_recorded_step_does_what_the_first_one_did():
    with emulated.emulated_cuda():
        fitted = Fitted()
        found = [fitted.start(rate=0.0).outcome() for _ in range(4)]
    assert len({outcome.loss for outcome in found}) == 1
    assert all(outcome.changed for outcome in found)


def test_a_step_whose_lists_were_too_short_changes_nothing_and_is_taken_again():
    launcher = Programs()
    with emulated.emulated_cuda(launcher):
        fitted = Fitted()
        with torch.no_grad():
            fitted.fit.parameters["scales"].sub_(3)
            for _ in range(3):
                fitted.start(rate=0.0).outcome()
            fitted.fit.parameters["scales"].add_(4)
        before, recorded = fitted.fit.state_dict(), launcher.recorded
        started = fitted.start()
        assert torch.equal(fitted.fit.parameters["means"], before["raw"]["means"])
        later = fitted.start()  # its lists are as short
        outcomes = [each.outcome() for each in (started, later)]
        assert launcher.recorded == recorded + 1
        assert all(outcome.changed for outcome in outcomes)
        assert outcomes[1].loss < outcomes[0].loss
        assert fitted.fit.state_dict()["adam_steps"][0] == before["adam_steps"][0] + 2
        expected = Fitted()
        expected.fit.load_state_dict(before)
        for _ in range(2):
            expected.start().outcome()
    for name, value in expected.fit.parameters.items():
        assert torch.equal(fitted.fit.parameters[name], value), name


def test_what_is_forgotten_is_not_kept_in_memory():
    with emulated.emulated_cuda():
        fitted = Fitted()
        for _ in range(3):
            fitted.start().outcome()
        means = weakref.ref(fitted.fit.parameters["means"])
        fitted.fit = SplatFit({k: v.detach().clone() for k, v in fitted.fit.parameters.items()}, 1)
        fitted.runner.forget()
        gc.collect()
        assert means() is None


def test_splats_that_are_pruned_are_not_kept_in_memory():
    with emulated.emulated_cuda():
        trainer = Trainer(small_capture(3), CONFIG)
        reports = [trainer.step() for _ in range(3)]
        before = weakref.ref(trainer.parameters["means"])
        with torch.no_grad():
            trainer.parameters["means"][0] = torch.nan
            trainer.parameters["opacities"][1] = torch.nan
        while trainer.pruned_splats == 0:
            reports.append(trainer.step())
        reports.append(trainer.step())
        gc.collect()
        assert before() is None
        assert all(math.isfinite(report.loss) for report in reports)


def test_an_order_of_sums_that_is_asked_for_later_is_kept_from_then_on():
    launcher = Programs()
    with emulated.emulated_cuda(launcher):
        fitted = Fitted()
        for _ in range(3):
            fitted.start()
        torch.use_deterministic_algorithms(True)
        try:
            launcher.launched.clear()
            fitted.start().outcome()
        finally:
            torch.use_deterministic_algorithms(False)
        assert launcher.launched.count("clear") == 3  # sums, and two ends of slots
