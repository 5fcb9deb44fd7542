"""What splats add to photos, and whose part their error is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fitting import Photo, SmallCapture, small_capture
from torch import Tensor

from gaborsplat.renderer.editing.decimating import contributions
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import RawSplats
from gaborsplat.renderer.training import TrainConfig, Trainer
from gaborsplat.renderer.training.data import PhotosOnDevice, Turns
from gaborsplat.renderer.training.density.initial import initial_parameters
from gaborsplat.renderer.training.density.survey import survey
from gaborsplat.renderer.training.step.runner import StepRunner

SETTINGS = RenderSettings()
CONFIG = TrainConfig(steps=60, gabor=0, max_splats=120, sh_degree=0)
CPU = torch.device("cpu")


def start(capture: SmallCapture) -> RawSplats:
    raw = initial_parameters(capture, CONFIG, torch.Generator().manual_seed(0))
    return RawSplats.of(raw)


def surveyed(raw: RawSplats, photos: list[Photo]) -> Tensor:
    turns = Turns(photos, lambda: PhotosOnDevice(CPU), torch.Generator().manual_seed(0))
    return survey(raw, turns, StepRunner(CPU, SETTINGS), 0, len(photos))


@pytest.mark.usefixtures("device")
def test_weights_are_what_splats_add_to_pictures_and_errors_their_part_of_the_error() -> None:
    capture = small_capture()
    raw = start(capture)
    shown, weights, errors = surveyed(raw, capture.train).unbind(1)
    cameras = [view.camera for view in capture.train]
    expected = contributions(raw.activated(), cameras, SETTINGS)
    assert torch.allclose(weights.double(), expected, rtol=1e-3, atol=1e-3)
    assert shown.max() == len(cameras)
    assert weights.max() > 20
    assert not weights[shown == 0].any()
    total = torch.zeros(())
    for view in capture.train:
        frame = render(raw.activated(), view.camera, SETTINGS)
        wrong = (frame.color.clamp(0, 1) - view.pixels.float() / 255).abs().mean(dim=-1)
        total += (wrong * frame.alpha).sum()
    assert errors.sum().item() == pytest.approx(total.item(), rel=1e-3)


@pytest.mark.usefixtures("device")
def test_splats_behind_a_camera_add_nothing_and_masked_pixels_do_not_count() -> None:
    capture = small_capture()
    raw, view = start(capture), capture.train[0]
    with torch.no_grad():
        raw.means[:10] = view.camera.position - 5 * view.camera.world_to_camera[2, :3]
    # The first fills rows with what the second has to leave out.
    surveyed(raw, capture.train[1:])
    alone = surveyed(raw, [view])
    assert not alone[:10].any()
    half = torch.zeros(view.pixels.shape[:2], dtype=torch.bool)
    half[:, :20] = True
    parts = [surveyed(raw, [replace(view, valid=mask)]) for mask in (half, ~half)]
    assert torch.allclose(parts[0][:, 1:] + parts[1][:, 1:], alone[:, 1:], rtol=1e-3, atol=1e-3)
    assert parts[0][:, 1].sum() > 10


def test_a_photo_that_cannot_be_read_is_left_out() -> None:
    class Lost(Photo):
        def image(self) -> Tensor:
            raise OSError("gone")

    capture = small_capture()
    first = capture.train[0]
    lost = Lost(first.name, first.camera, first.pixels)
    raw = start(capture)
    assert torch.equal(surveyed(raw, [lost, capture.train[1]]), surveyed(raw, [capture.train[1]]))
    assert not surveyed(raw, [lost]).any()


def test_training_goes_on_from_between_two_surveys_as_if_never_stopped() -> None:
    capture = small_capture()
    config = replace(CONFIG, gabor=2, max_splats=150, exchange=0.5)
    whole, first = Trainer(capture, config), Trainer(capture, config)
    for _ in range(14):
        first.step()
    assert first.state_dict()["strategy"]["survey"].shape == (len(first.splats()), 3)
    second = Trainer(capture, config)
    second.load_state_dict(first.state_dict())
    for trainer in (whole, second):
        while not trainer.done:
            trainer.step()
    assert torch.equal(whole.splats().means, second.splats().means)
    assert whole.state_dict()["strategy"]["survey"] is None
