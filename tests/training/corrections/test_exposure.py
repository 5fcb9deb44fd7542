"""Exposure of photos: found where they differ, learnt, kept, and no trouble where they do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import emulated
import pytest
import torch
from fitting import SmallCapture, small_capture
from torch import Tensor

from gaborsplat.renderer.raster.light import to_linear, to_srgb
from gaborsplat.renderer.training import (
    Correction,
    TrainConfig,
    Trainer,
    evaluate,
    load_checkpoint,
    save_checkpoint,
    train,
)
from gaborsplat.renderer.training.checkpoint import going_on
from gaborsplat.renderer.training.corrections.camera import CameraResponse
from gaborsplat.renderer.training.corrections.exposure import ExposureGain, at_most_white
from gaborsplat.renderer.training.corrections.spread import exposure_spread

SHORT = TrainConfig(steps=200, gabor=0, max_splats=150, sh_degree=0, exposure="gain")
FEW = replace(SHORT, steps=6)
BOTH = pytest.mark.parametrize("kind", [ExposureGain, CameraResponse])


def drawn_gains(count: int) -> Tensor:
    """[V, 3], up to half an EV up or down and a little of each channel, in encoded colours."""
    drawn = torch.Generator().manual_seed(1)
    logs = 0.32 * torch.rand(count, 1, generator=drawn) - 0.16
    return (logs + 0.03 * torch.randn(count, 3, generator=drawn)).exp()


def disturbed(capture: SmallCapture, gains: Tensor) -> SmallCapture:
    """The capture with gains [V, 3] on its training photos."""
    train = [
        replace(view, pixels=(view.pixels * gain).round().clamp(0, 255).to(torch.uint8))
        for view, gain in zip(capture.train, gains, strict=True)
    ]
    return replace(capture, train=train)


def built(kind: type[Correction], capture: SmallCapture) -> Correction:
    """A correction with parameters that are not zero."""
    correction = kind()
    correction.build(capture.train)
    drawn = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in correction.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=drawn))
    return correction.double()


def splats_after(capture: SmallCapture, config: TrainConfig) -> dict[str, Tensor]:
    trainer = Trainer(capture, config)
    while not trainer.done:
        trainer.step()
    return trainer.splats().tensors()


def losses(capture: SmallCapture, config: TrainConfig) -> list[float]:
    trainer = Trainer(capture, config)
    return [trainer.step().loss for _ in range(config.steps)]


def test_gains_that_photos_were_given_are_found():
    capture = small_capture()
    gains = drawn_gains(len(capture.train))
    trainer = Trainer(disturbed(capture, gains), SHORT)
    while not trainer.done:
        trainer.step()
    found = torch.tensor(list(trainer.corrections.document()["exposure"]["gains"].values()))
    relative = gains / gains.log().mean(0).exp()
    assert (relative.log().abs()).max() > 0.1
    assert (found / relative - 1).abs().max() < 0.05


def test_splats_fit_better_where_photos_differ_and_gains_are_learnt():
    capture = small_capture()
    capture = disturbed(capture, drawn_gains(len(capture.train)))
    off, gain = (train(capture, replace(SHORT, exposure=m)).evaluation for m in ("off", "gain"))
    assert off.cc_psnr is not None and gain.cc_psnr is not None
    assert gain.cc_psnr > off.cc_psnr + 0.5


@BOTH
def test_what_has_learnt_nothing_changes_no_bit_of_a_picture(kind: type[Correction]):
    capture, correction = small_capture(), kind()
    correction.build(capture.train)
    color = torch.rand(30, 40, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(correction.color(color, 1), color)


@BOTH
def test_gradients_are_those_of_finite_differences(kind: type[Correction]):
    correction = built(kind, small_capture())
    drawn = torch.Generator().manual_seed(0)
    color = 0.05 + 0.6 * torch.rand(3, 4, 3, generator=drawn, dtype=torch.float64)
    parameters = list(correction.parameters())
    weights = torch.randn(3, 4, 3, generator=drawn, dtype=torch.float64)

    def value() -> Tensor:  # of the loss, and the prior
        prior = correction.prior(1)
        assert prior is not None
        return (weights * correction.color(color, 1)).sum() + prior

    color.requires_grad_()
    found = torch.autograd.grad(value(), [color, *parameters])
    for tensor, gradient in zip([color, *parameters], found, strict=True):
        # Other views' rows have none: they move the mean, which is not followed.
        own = [tensor] if len(tensor) != 5 else [tensor.detach()[1]]
        wanted = gradient if len(tensor) != 5 else gradient[1] * (1 - 1 / 5)
        flat, slopes = own[0].detach().view(-1), wanted.reshape(-1)
        for index in range(0, len(flat), 5):
            before, step = float(flat[index]), 1e-6
            flat[index] = before + step
            up = float(value().detach())
            flat[index] = before - step
            down = float(value().detach())
            flat[index] = before
            assert (up - down) / (2 * step) == pytest.approx(
                float(slopes[index]), rel=1e-4, abs=1e-7
            )
    if kind is ExposureGain:
        assert not found[1][0].any() and found[1][1].all()


def test_white_is_no_error_where_a_photo_is_white_and_pulls_back_where_it_is_not():
    color = torch.tensor([[[1.5, 0.5, 1.2]]], requires_grad=True)
    shown = at_most_white(color)
    assert shown.tolist() == [[[1.0, 0.5, 1.0]]]
    shown.backward(torch.tensor([[[1.0, -1.0, -1.0]]]))
    assert color.grad is not None and color.grad.tolist() == [[[1.0, -1.0, 0.0]]]


def test_light_and_srgb_are_inverses_with_slopes_at_zero():
    values = torch.linspace(0, 1.5, 301, dtype=torch.float64).requires_grad_()
    back = to_srgb(to_linear(values))
    assert torch.allclose(back, values, atol=1e-6)
    back.sum().backward()
    assert values.grad is not None and torch.isfinite(values.grad).all()


def larger_capture() -> SmallCapture:
    """Photos of the blobs' middle ground, with more points than the cloud has."""
    capture = small_capture(9)
    generator = torch.Generator().manual_seed(0)
    points = 2 * torch.rand(3000, 3, generator=generator) - 1
    return replace(capture, points=points, point_colors=torch.full((3000, 3), 128).byte())


def test_auto_is_on_where_photos_of_the_same_points_differ_and_off_where_they_do_not():
    flat = larger_capture()
    ground = torch.full((30, 40, 3), 120, dtype=torch.uint8)
    flat = replace(flat, train=[replace(view, pixels=ground) for view in flat.train])
    gains = drawn_gains(len(flat.train)) ** 2
    spread = exposure_spread(disturbed(flat, gains))
    assert exposure_spread(flat) == 0 and spread is not None
    stops = to_linear((120 * gains).round() / 255).log2()
    assert spread == pytest.approx(float(1.2533 * (stops - stops.median(0).values).abs().mean()))
    auto = replace(FEW, exposure="auto")
    assert Trainer(flat, auto).config.exposure == "off"
    assert Trainer(disturbed(flat, gains), auto).config.exposure == "gain"


def test_auto_is_off_without_points_to_compare():
    capture = small_capture()
    none = replace(capture, points=torch.zeros(0, 3), point_colors=torch.zeros(0, 3).byte())
    assert exposure_spread(none) is None
    assert Trainer(none, replace(FEW, exposure="auto")).config.exposure == "off"


def test_auto_that_is_off_trains_bit_for_bit_as_without():
    capture = small_capture()
    capture = replace(capture, points=capture.points[:10], point_colors=capture.point_colors[:10])
    auto, off = (splats_after(capture, replace(FEW, exposure=mode)) for mode in ("auto", "off"))
    assert all(torch.equal(auto[name], off[name]) for name in off)


@pytest.mark.parametrize("mode", ["gain", "full"])
def test_a_run_that_goes_on_ends_as_one_that_was_not_stopped(mode: str, tmp_path: Path):
    capture = disturbed(small_capture(), drawn_gains(5))
    config = replace(FEW, exposure=mode)
    through = Trainer(capture, config)
    for _ in range(3):
        through.step()
    save_checkpoint(tmp_path, through)
    other = Trainer(capture, config)
    load_checkpoint(tmp_path, other)
    for trainer in (through, other):
        while not trainer.done:
            trainer.step()
    assert through.corrections.document() == other.corrections.document()
    assert train(capture, replace(config, steps=7, exposure="auto"), resume=tmp_path).step == 7


@pytest.mark.parametrize("mode", ["off", "gain", "full"])
@pytest.mark.parametrize("spread", [True, False])
def test_a_run_that_goes_on_has_the_exposure_that_it_began_with(
    mode: str, spread: bool, tmp_path: Path
):
    capture = disturbed(small_capture(), drawn_gains(5)) if spread else small_capture()
    first = Trainer(capture, replace(FEW, exposure=mode))
    first.step()
    save_checkpoint(tmp_path, first)
    kept = going_on(replace(FEW, exposure="auto"), tmp_path)
    assert kept.exposure == mode
    assert going_on(replace(FEW, exposure="gain"), tmp_path).exposure == "gain"


def test_a_checkpoint_of_before_goes_on_and_its_gains_begin_at_one():
    capture = small_capture()
    old = Trainer(capture, replace(FEW, exposure="off"))
    old.step()
    state = old.state_dict()
    del state["corrections"]
    trainer = Trainer(capture, FEW)
    trainer.load_state_dict(state)
    assert trainer.steps_done == 1
    gains = trainer.corrections.document()["exposure"]["gains"].values()
    assert all(gain == [1.0, 1.0, 1.0] for gain in gains)
    trainer.step()


def test_a_gain_on_all_of_a_photo_does_not_count_once_colours_are_matched():
    capture = small_capture()
    trainer = Trainer(capture, replace(FEW, exposure="off"))
    view = capture.test[0]
    darker = replace(view, pixels=(view.pixels * torch.tensor([0.5, 0.6, 0.7])).round().byte())
    plain = evaluate(trainer.splats(), [view, replace(darker, name="darker")])
    one, other = plain.per_image[view.name], plain.per_image["darker"]
    assert other.psnr != pytest.approx(one.psnr, abs=0.5)
    assert one.cc_psnr >= one.psnr and other.cc_psnr > other.psnr
    assert plain.as_dict()["test"]["cc_psnr"] == pytest.approx((one.cc_psnr + other.cc_psnr) / 2)


@pytest.mark.slow
@pytest.mark.skipif(not emulated.available(), reason="needs a C++ compiler")
@pytest.mark.parametrize("mode", ["gain", "full"])
def test_the_gpu_takes_steps_with_it_as_the_cpu_does(mode: str):
    capture, config = disturbed(small_capture(), drawn_gains(5)), replace(FEW, exposure=mode)
    on_cpu = losses(capture, config)
    with emulated.emulated_cuda():
        on_gpu = losses(capture, config)
    assert on_gpu == pytest.approx(on_cpu, rel=1e-3)
