"""Training steps whose passes are recorded, by the emulator, against those that are not."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import emulated
import pytest
import torch
from fitting import Photo, SmallCapture, looking_at_origin, small_capture
from tolerances import GRADIENT, assert_gradients_close

from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import RawSplats
from gaborsplat.renderer.training.config import TrainConfig
from gaborsplat.renderer.training.objective import PhotoObjective
from gaborsplat.renderer.training.trainer import Trainer

pytestmark = [
    pytest.mark.skipif(not emulated.available(), reason="needs a C++ compiler"),
    pytest.mark.slow,
]
CONFIG = TrainConfig(
    steps=14,
    max_splats=150,
    gabor=1,
    sh_degree=1,
    wave_start=0.3,
    refine_start=0.1,
    refine_stop=0.25,
    grow_stop=0.25,
)
"""Nothing but the views changes in the last seven steps."""


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


def trained(capture: SmallCapture) -> tuple[list[float], dict[str, torch.Tensor]]:
    trainer = Trainer(capture, CONFIG)
    losses = [trainer.step().loss for _ in range(CONFIG.steps)]
    return losses, {name: value.detach().clone() for name, value in trainer.parameters.items()}


def test_recorded_passes_train_as_those_that_are_not_and_as_the_cpu():
    capture, launcher = capture_of_two_sizes(), Programs()
    on_cpu, _ = trained(capture)
    with emulated.emulated_cuda(launcher):
        losses, parameters = trained(capture)
    with emulated.emulated_cuda() as backend:
        backend.records = False
        anew, expected = trained(capture)
    assert launcher.recorded >= 3
    assert losses == anew
    assert losses == pytest.approx(on_cpu, rel=1e-3)
    for name, value in expected.items():
        assert torch.equal(parameters[name], value), name


def objective_and_splats() -> tuple[PhotoObjective, RawSplats, Photo]:
    capture = small_capture(2)
    raw = RawSplats.of(Trainer(capture, CONFIG).parameters)
    return PhotoObjective(torch.device("cpu"), RenderSettings()), raw, capture.train[0]


def test_a_recorded_gradient_is_that_of_the_first_time():
    with emulated.emulated_cuda():
        objective, raw, view = objective_and_splats()
        found = []
        for _ in range(4):
            picture = objective.forward(raw, view.camera, sh_degree=1)
            result, gradients = objective.backward(picture, view.image(), view.mask())
            found.append(({k: v.clone() for k, v in gradients.items()}, float(result.loss)))
    for gradients, loss in found[1:]:
        assert loss == found[0][1]
        assert_gradients_close(gradients, found[0][0], GRADIENT)


def test_a_step_whose_lists_were_too_short_is_done_again():
    with emulated.emulated_cuda():
        objective, raw, view = objective_and_splats()
        objective.deferred = True

        def gradients() -> tuple[dict[str, torch.Tensor], int]:
            for attempt in range(1, 5):
                picture = objective.forward(raw, view.camera, sh_degree=1)
                _, found = objective.backward(picture, view.image(), None)
                if objective.settle():
                    return {name: each.clone() for name, each in found.items()}, attempt
            raise AssertionError("never right")

        with torch.no_grad():
            raw.log_scales.sub_(3)
            for _ in range(3):
                assert gradients()[1] == 1
            raw.log_scales.add_(4)
        found, attempts = gradients()
        assert attempts == 2
        anew = PhotoObjective(torch.device("cpu"), RenderSettings())
        picture = anew.forward(raw, view.camera, sh_degree=1)
        _, expected = anew.backward(picture, view.image(), None)
        assert_gradients_close(found, expected, GRADIENT)


def test_what_is_forgotten_is_not_kept_in_memory():
    with emulated.emulated_cuda():
        objective, raw, view = objective_and_splats()
        for _ in range(3):
            picture = objective.forward(raw, view.camera, sh_degree=1)
            objective.backward(picture, view.image(), None)
        means = weakref.ref(raw.means)
        del raw, picture
        objective.forget()
        gc.collect()
        assert means() is None


def test_splats_that_are_pruned_are_not_kept_in_memory():
    with emulated.emulated_cuda():
        trainer = Trainer(small_capture(3), CONFIG)
        for _ in range(3):
            trainer.step()
        before = weakref.ref(trainer.parameters["means"])
        with torch.no_grad():
            trainer.parameters["means"][0] = torch.nan
            trainer.parameters["opacities"][1] = torch.nan
        while trainer.pruned_splats == 0:
            trainer.step()
        gc.collect()
        assert before() is None


def test_an_order_of_sums_that_is_asked_for_later_is_kept_from_then_on():
    launcher = Programs()
    with emulated.emulated_cuda(launcher):
        objective, raw, view = objective_and_splats()

        def gradients() -> None:
            picture = objective.forward(raw, view.camera, sh_degree=1)
            objective.backward(picture, view.image(), None)

        for _ in range(3):
            gradients()
        torch.use_deterministic_algorithms(True)
        try:
            launcher.launched.clear()
            gradients()
        finally:
            torch.use_deterministic_algorithms(False)
        assert launcher.launched.count("clear") == 3  # sums, and two ends of slots
