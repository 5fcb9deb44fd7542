"""The degree of harmonics that photos support: where it comes from, and that a run keeps it."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fitting import SmallCapture, looking_at_origin, small_capture

import gaborsplat as gs
from gaborsplat.renderer.training import TrainConfig, Trainer, load_checkpoint, save_checkpoint
from gaborsplat.renderer.training.color.degree import Directions, with_degree

AUTO = TrainConfig(steps=12, gabor=0, max_splats=300, refine_every=4)
NEAR_ORIGIN = 0.05 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0))


def seen_from(azimuths: Sequence[float]) -> Directions:
    """Points about the origin, from directions by their angle [degrees]."""
    turns = [math.radians(each) for each in azimuths]
    cameras = [looking_at_origin((4 * math.sin(turn), 0.0, -4 * math.cos(turn))) for turn in turns]
    return Directions.of(cameras, NEAR_ORIGIN)


@pytest.mark.parametrize(
    ("apart", "degree"), [(5, 3), (20, 3), (30, 2), (45, 1), (60, 1), (90, 0), (120, 0)]
)
def test_the_farther_photos_are_apart_the_lower_is_the_degree(apart: int, degree: int):
    found = seen_from(range(0, 360, apart))
    assert found.count == 360 // apart
    assert found.apart == pytest.approx(apart, abs=1.5)
    assert found.degree(1.0) == degree


def test_splats_that_cover_many_pixels_have_all_harmonics():
    assert [seen_from([0, 90, 180, 270]).degree(each) for each in (2, 5.9, 6, 50)] == [0, 0, 3, 3]


def test_few_photos_close_together_leave_all_harmonics():
    assert seen_from([0, 8, 16]).degree(1.0) == 3


def test_photos_from_one_place_count_as_one():
    bursts = [turn + shake for turn in (0, 60, 120, 180, 240, 300) for shake in (0, 0.3, 0.6)]
    found = seen_from(bursts)
    assert (found.count, found.degree(1.0)) == (18, 1)
    assert found.apart == pytest.approx(60, abs=2)
    assert seen_from([0, 0.5]).degree(1.0) == 0


def test_a_single_photo_tells_nothing_of_other_directions():
    found = seen_from([0])
    assert found.degree(2.0) == 0
    assert found.told(2.0) == "sh_degree 0: a splat is seen by 1 photo, in 2 pixels"


@pytest.mark.parametrize("points", [torch.zeros(0, 3), torch.tensor([[0.0, 0.0, 1e6]])])
def test_without_points_that_are_seen_the_degree_is_the_highest(points: torch.Tensor):
    cameras = [looking_at_origin((0.0, 0.0, 4.0)), looking_at_origin((0.1, 0.0, 4.0))]
    found = Directions.of(cameras, points)
    assert found.degree(1.0) == 3
    assert found.told(1.0) == "sh_degree 3: no photo sees any of the points"


def test_unit_and_many_photos_and_points_change_nothing():
    cameras = [looking_at_origin((4 * math.sin(t), 0.0, -4 * math.cos(t))) for t in range(0, 6)]
    some = Directions.of(cameras, NEAR_ORIGIN)
    larger = Directions.of([each.scaled(1e3) for each in cameras], 1e3 * NEAR_ORIGIN)
    assert larger.apart == pytest.approx(some.apart, rel=1e-3)
    many = Directions.of(cameras, NEAR_ORIGIN.repeat(40, 1))
    assert many.apart == pytest.approx(some.apart, abs=0.5)
    assert seen_from([0.4 * each for each in range(900)]).degree(0.02) == 3


def test_a_number_that_is_given_is_kept_and_nothing_is_said():
    capture, told = small_capture(), []
    for degree in (0, 1, 2, 3):
        config = replace(AUTO, sh_degree=degree)
        assert with_degree(config, capture, told.append) is config
    assert told == []
    assert with_degree(AUTO, capture, told.append).sh_degree == 2
    assert told == ["sh_degree 2: a splat is seen by 5 photos, 27 degrees apart, in 20 pixels"]


def test_a_run_by_auto_is_one_with_the_number_that_it_chose(caplog: pytest.LogCaptureFixture):
    capture = small_capture()
    with caplog.at_level(logging.INFO):
        by_auto = gs.train(capture, AUTO, device="cpu").splats
    (line,) = [text for text in caplog.messages if text.startswith("sh_degree")]
    assert line.startswith("sh_degree 2: ")
    given = gs.train(capture, replace(AUTO, sh_degree=2), device="cpu").splats
    assert by_auto.sh_degree == 2
    for name, tensor in given.tensors().items():
        assert torch.equal(by_auto.tensors()[name], tensor)


def fewer(capture: SmallCapture) -> SmallCapture:
    """The capture without every other photo; it supports another degree."""
    left = replace(capture, train=capture.train[::2])
    assert with_degree(AUTO, left).degree != with_degree(AUTO, capture).degree
    return left


def test_a_run_goes_on_with_the_degree_that_it_began_with(tmp_path: Path):
    capture = small_capture()
    trainer = Trainer(capture, AUTO)
    trainer.step()
    path = save_checkpoint(tmp_path, trainer)

    for config in (AUTO, replace(AUTO, sh_degree=2)):
        again = Trainer(fewer(capture), config)
        load_checkpoint(path, again)
        assert (again.config.degree, again.splats().sh_degree) == (2, 2)
        again.step()
    assert gs.train(fewer(capture), AUTO, resume=tmp_path, device="cpu").splats.sh_degree == 2
    with pytest.raises(ValueError, match="sh_degree = 2, not 3"):
        load_checkpoint(path, Trainer(capture, replace(AUTO, sh_degree=3)))


def test_auto_goes_on_with_a_checkpoint_of_any_degree(tmp_path: Path):
    capture = small_capture()
    given = Trainer(capture, replace(AUTO, sh_degree=3))
    given.step()
    again = Trainer(capture, AUTO)
    load_checkpoint(save_checkpoint(tmp_path, given), again)
    while not (again.done or given.done):
        again.step(), given.step()
    for name, tensor in given.splats().tensors().items():
        assert torch.equal(again.splats().tensors()[name], tensor)
