"""What is learnt of photos beside the splats: whatever it does, and however it is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import emulated
import pytest
import torch
from fitting import SmallCapture, small_capture
from torch import Tensor
from torch.nn import Parameter

import gaborsplat as gs
from gaborsplat.renderer.training.corrections.corrections import Corrections
from gaborsplat.renderer.training.data import load_photo

CONFIG = gs.TrainConfig(
    steps=60,
    max_splats=150,
    gabor=0,
    noise=0.0,
    exchange=0.0,
    sh_degree=0,
    exposure="off",
    refine_poses="off",
)
BRIGHT = 0.6
"""Of the photo that is darker than the others."""


class Brightness(gs.Correction):
    """One factor a photo, and one that all share."""

    name = "brightness"
    shared = frozenset({"common"})
    rate = 0.05

    def build(self, views: Sequence[gs.TrainingView]) -> None:
        self.logs = Parameter(torch.zeros(len(views), 1))
        self.common = Parameter(torch.zeros(1))

    def color(self, color: Tensor, view: int) -> Tensor:
        return color * (self.logs[view] + self.common).exp()

    def prior(self, view: int) -> Tensor:
        return 0.1 * self.common.square().sum()


class Shift(gs.Correction):
    """Cameras that are moved sideways."""

    name = "shift"
    rate = 0.01

    def build(self, views: Sequence[gs.TrainingView]) -> None:
        self.sideways = Parameter(torch.zeros(len(views), 1))

    def pose(self, world_to_camera: Tensor, view: int) -> Tensor:
        moved = torch.zeros_like(world_to_camera)
        moved[0, 3] = 1
        return world_to_camera + self.sideways[view] * moved


@pytest.fixture
def capture() -> SmallCapture:
    return small_capture()


@pytest.fixture
def darker(capture: SmallCapture) -> SmallCapture:
    """The second photo is."""
    dark = capture.train[1]
    pixels = (dark.pixels.float() * BRIGHT).round().to(torch.uint8)
    return replace(
        capture, train=[capture.train[0], replace(dark, pixels=pixels), *capture.train[2:]]
    )


def trained(capture: SmallCapture, *corrections: gs.Correction, steps: int = 60) -> gs.Trainer:
    trainer = gs.Trainer(capture, replace(CONFIG, steps=steps), corrections=corrections)
    while not trainer.done:
        trainer.step()
    return trainer


def test_a_photo_that_differs_is_explained_by_its_correction(darker: SmallCapture) -> None:
    brightness = Brightness()
    trained(darker, brightness, steps=120)
    logs = brightness.logs.detach()[:, 0]
    others = torch.cat([logs[:1], logs[2:]])
    assert (logs[1] - others.mean()).exp().item() == pytest.approx(BRIGHT, abs=0.1)
    assert others.std() < 0.1


def test_a_camera_that_was_moved_is_moved_back(capture: SmallCapture) -> None:
    wrong, by = capture.train[1], 0.1
    pose = wrong.camera.world_to_camera.clone()
    pose[0, 3] += by
    camera = replace(wrong.camera, world_to_camera=pose)
    views = [capture.train[0], replace(wrong, camera=camera), *capture.train[2:]]
    shift = Shift()
    trained(replace(capture, train=views), shift, steps=200)
    sideways = shift.sideways.detach()[:, 0]
    others = torch.cat([sideways[:1], sideways[2:]])
    assert (sideways[1] - others.mean()).item() == pytest.approx(-by, abs=0.03)


@pytest.mark.usefixtures("device")
def test_before_it_has_learnt_a_correction_changes_nothing(capture: SmallCapture) -> None:
    plain, corrected = (
        gs.Trainer(capture, CONFIG),
        gs.Trainer(capture, CONFIG, corrections=[Brightness(), Shift()]),
    )
    losses = [trainer.step().loss for trainer in (plain, corrected)]
    assert losses[0] == losses[1]
    ours, theirs = plain.splats(), corrected.splats()
    for name, tensor in vars(ours).items():
        assert torch.equal(tensor, getattr(theirs, name)), name


@pytest.mark.skipif(not emulated.available(), reason="the emulator needs a C++ compiler")
def test_kernels_for_gpus_learn_the_same(darker: SmallCapture) -> None:
    def learnt() -> dict[str, Tensor]:
        brightness, shift = Brightness(), Shift()
        trainer = gs.Trainer(darker, CONFIG, corrections=[brightness, shift])
        for _ in range(4):
            trainer.step()
        return {n: p.detach() for c in (brightness, shift) for n, p in c.named_parameters()}

    on_cpu = learnt()
    with emulated.emulated_cuda():
        found = learnt()
    for name, expected in on_cpu.items():
        assert expected.any(), name
        assert torch.allclose(found[name], expected, rtol=0.02, atol=1e-4), name


@pytest.mark.parametrize("kind", [Brightness, Shift])
def test_gradients_are_those_of_finite_differences(
    kind: type[gs.Correction], capture: SmallCapture
) -> None:
    """Of the loss of a whole picture, by every parameter of one view."""
    correction, view = kind(), capture.train[1]
    seen = load_photo(view, torch.device("cpu"))
    seen = replace(seen, camera=seen.camera.to(torch.float64))
    splats = gs.Trainer(capture, CONFIG).splats().to(torch.float64)
    corrections = Corrections([correction], capture.train, torch.device("cpu"))
    correction.to(torch.float64)
    with torch.no_grad():
        for parameter in correction.parameters():
            parameter += 0.01

    def loss(through: Any) -> Tensor:
        camera = replace(seen.camera, world_to_camera=through.world_to_camera)
        color = through.color(gs.render(splats, camera).color)
        return (color - seen.rgb.double()).square().sum()

    way = corrections.of(seen)
    pose = way.world_to_camera.clone().requires_grad_()
    color = gs.render(splats, replace(seen.camera, world_to_camera=pose)).color
    shown = way.color(color)
    v_color = way.follow_color(2 * (shown - seen.rgb.double()))
    (v_pose,) = torch.autograd.grad(color, pose, v_color)
    if way.moved:
        way.follow_pose(v_pose)
    found = way.gradients()
    step = 1e-5
    for name, parameter in correction.named_parameters():
        place = 0 if name in correction.shared else 1
        row = parameter.detach()[place]
        old = row.clone()
        around: list[float] = []
        for sign in (1, -1):
            row.copy_(old + sign * step)
            with torch.no_grad():
                prior = correction.prior(1)
                sum_ = loss(corrections.of(seen)) + (0.0 if prior is None else prior)
            around.append(sum_.item())
        row.copy_(old)
        expected = (around[0] - around[1]) / (2 * step)
        assert expected != 0
        assert found[parameter][place].item() == pytest.approx(expected, rel=1e-4), name


def test_a_run_goes_on_where_it_stopped(darker: SmallCapture) -> None:
    whole = trained(darker, Brightness(), Shift())
    first = gs.Trainer(darker, CONFIG, corrections=[Brightness(), Shift()])
    for _ in range(30):
        first.step()
    state = first.state_dict()
    second = gs.Trainer(darker, CONFIG, corrections=[Brightness(), Shift()])
    second.load_state_dict(state)
    while not second.done:
        second.step()
    assert second.corrections.document() == whole.corrections.document()
    assert torch.equal(second.splats().means, whole.splats().means)


def test_rows_belong_to_views_by_name(darker: SmallCapture) -> None:
    known = trained(darker, Brightness())
    fewer = replace(darker, train=darker.train[1:])
    brightness = Brightness()
    trainer = gs.Trainer(fewer, CONFIG, corrections=[brightness])
    trainer.load_state_dict(known.state_dict())
    before = known.corrections.document()["brightness"]["logs"]
    after = trainer.corrections.document()["brightness"]["logs"]
    assert after == {view.name: before[view.name] for view in fewer.train}
    assert len(set(map(tuple, after.values()))) > 1


def test_shared_parameters_of_another_shape_are_refused_in_one_line(capture: SmallCapture) -> None:
    trainer = gs.Trainer(capture, CONFIG, corrections=[Brightness()])
    state = trainer.state_dict()
    common = state["corrections"]["brightness"]["common"]
    common.update({name: torch.cat([rows, rows]) for name, rows in common.items()})
    with pytest.raises(ValueError, match=r"correction brightness, common: .* \[1\], not \[2\]"):
        trainer.load_state_dict(state)


def test_a_state_without_corrections_is_gone_on_from(capture: SmallCapture) -> None:
    plain = gs.Trainer(capture, CONFIG)
    plain.step()
    state = plain.state_dict()
    del state["corrections"]  # as of before there were any
    trainer = gs.Trainer(capture, CONFIG, corrections=[Brightness()])
    trainer.load_state_dict(state)
    assert trainer.step().step == 2


def test_a_gradient_that_is_not_finite_moves_no_correction(capture: SmallCapture) -> None:
    brightness = Brightness()
    corrections = Corrections([brightness], capture.train, torch.device("cpu"))
    broken = {each: torch.full_like(each, math.nan) for each in brightness.parameters()}
    corrections.step(capture.train[0].name, broken)
    assert not any(bool(each.any()) for each in brightness.parameters())


def test_two_corrections_of_one_name_are_refused(capture: SmallCapture) -> None:
    with pytest.raises(ValueError, match="names of their own, not brightness, brightness"):
        gs.Trainer(capture, CONFIG, corrections=[Brightness(), Brightness()])
