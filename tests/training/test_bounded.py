"""Splats stay where the scene is, wherever the points are that they begin at."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import count

import pytest
import torch
from fitting import looking_at_origin, small_capture

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.training import TrainConfig, Trainer, train
from gaborsplat.renderer.training.data import REACH, Lengths
from gaborsplat.renderer.training.density.initial import initial_parameters
from gaborsplat.renderer.training.pacing import pace
from gaborsplat.renderer.training.step.optimizer import keep_within

CONFIG = TrainConfig(steps=80, max_splats=150, gabor=0, refine_every=10)


def test_points_near_infinity_leave_no_trace():
    capture = small_capture()
    wild = capture.points.clone()
    generator = torch.Generator().manual_seed(0)
    wild[::20] *= 10.0 ** (4 + 8 * torch.rand(6, 1, generator=generator))
    usual = train(capture, CONFIG, device="cpu")
    losses: list[float] = []
    found = train(
        replace(capture, points=wild),
        CONFIG,
        device="cpu",
        on_step=lambda report: losses.append(report.loss),
    )
    assert float(found.splats.means.abs().max()) < 10
    assert float(found.splats.scales.max()) < 10
    assert max(losses) < 1
    assert usual.evaluation.psnr is not None
    assert found.evaluation.psnr == pytest.approx(usual.evaluation.psnr, abs=1.0)


def test_splats_that_left_are_pulled_back_and_shrunk():
    capture = small_capture()
    trainer = Trainer(capture, CONFIG)
    raw, before = trainer.parameters, trainer.parameters["means"].detach().clone()
    with torch.no_grad():
        raw["means"][3] = torch.tensor([1e20, 0.0, 0.0])
        raw["scales"][4] = 60.0
    lengths = Lengths.of([view.camera for view in capture.train], capture.points)
    keep_within(raw, lengths.middle, lengths.reach)
    distance = (raw["means"][3].detach() - lengths.middle).norm()
    assert float(distance) == pytest.approx(lengths.reach, rel=1e-4)
    assert float(raw["scales"][4, 0].detach()) == pytest.approx(math.log(lengths.reach))
    others = torch.arange(len(before)) != 3
    assert torch.equal(raw["means"][others].detach(), before[others])
    assert lengths.reach == pytest.approx(REACH * 4, rel=0.2)  # all are 4 units away


def test_splats_that_leave_during_training_come_back(monkeypatch: pytest.MonkeyPatch):
    capture = small_capture()
    lengths = Lengths.of([view.camera for view in capture.train], capture.points)
    late = replace(CONFIG, refine_stop=0.0)
    timed = replace(late, time=6.0, expected_steps=80)
    ticks = count()
    monkeypatch.setattr(pace, "now", lambda: 0.03 * next(ticks))
    for config in (CONFIG, late, timed):  # at refinements, and at the end
        trainer = Trainer(capture, config)
        while not trainer.done:
            if trainer.steps_done == 5:
                with torch.no_grad():
                    trainer.parameters["means"][0] = 1e12
            trainer.step()
        distances = (trainer.splats().means - lengths.middle).norm(dim=1)
        assert float(distances.max()) < 1.01 * lengths.reach


@pytest.mark.parametrize("arranged", ["turning", "in a line"])
def test_without_points_and_without_a_common_view_every_camera_has_splats_before_it(arranged: str):
    base = looking_at_origin((0.0, 0.0, -4.0))

    def camera(index: int) -> Camera:
        pose = torch.eye(4)
        if arranged == "turning":  # about the vertical axis, in one place
            turn = index * math.tau / 8
            pose[0, 0], pose[0, 2] = math.cos(turn), math.sin(turn)
            pose[2, 0], pose[2, 2] = -math.sin(turn), math.cos(turn)
        else:
            pose[0, 3] = -0.5 * index
        return replace(base, world_to_camera=pose)

    capture = small_capture(9)
    for index, view in enumerate(capture.train):
        view.camera = camera(index)
    empty = replace(capture, points=capture.points[:0], point_colors=capture.point_colors[:0])
    config = TrainConfig(max_splats=4000, gabor=0)
    means = initial_parameters(empty, config, torch.Generator().manual_seed(0))["means"].detach()
    for view in empty.train:
        _, _, inside = view.camera.pixels_of(means)
        assert int(inside.sum()) > 200
