"""The faults that benchmarks/training gives to captures: as large as it says, and repeatable."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import pytest
import torch
from fitting import Photo, SmallCapture, looking_at_origin, small_capture
from torch import Tensor

from benchmarks.training import disturbances
from benchmarks.training.disturbances import DISTURBANCES, DisturbedView
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.training import FitInput, TrainConfig, Trainer, TrainingView
from gaborsplat.renderer.training.data import load_photo, scene_scale

NAMES = [name for name in DISTURBANCES if name != "none"]
SIZE = (120, 80)
"""(width, height) [px] of photos that faults are measured in."""


def grey_capture(train: int, test: int = 2, grey: int = 90) -> SmallCapture:
    """Photos of one grey, from places around the origin."""
    intrinsics = torch.tensor([[100.0, 0.0, 60.0], [0.0, 100.0, 40.0], [0.0, 0.0, 1.0]])
    views: list[Photo] = []
    for index in range(train + test):
        turn = 0.05 * index
        pose = looking_at_origin((4 * math.sin(turn), 0.3, -4 * math.cos(turn))).world_to_camera
        pixels = torch.full((SIZE[1], SIZE[0], 3), grey, dtype=torch.uint8)
        views.append(Photo(f"view {index}", Camera(pose, intrinsics, SIZE), pixels))
    return SmallCapture(views[test:], views[:test])


def light(image: Tensor) -> Tensor:
    """[3] mean light of a photo, as the standard defines sRGB."""
    values = image.double().reshape(-1, 3) / 255
    low, high = values / 12.92, ((values + 0.055) / 1.055) ** 2.4
    return torch.where(values > 0.04045, high, low).mean(0)


def touched(before: FitInput, after: FitInput) -> list[tuple[TrainingView, TrainingView]]:
    """The training views whose pixels are others, before and after."""
    pairs = list(zip(before.train, after.train, strict=True))
    return [(one, other) for one, other in pairs if not torch.equal(one.image(), other.image())]


def same(one: FitInput, other: FitInput) -> bool:
    """Whether photos and cameras are."""
    pairs = zip((*one.train, *one.test), (*other.train, *other.test), strict=True)
    return all(
        torch.equal(a.image(), b.image())
        and torch.equal(a.camera.world_to_camera, b.camera.world_to_camera)
        for a, b in pairs
    )


def turned(one: Camera, other: Camera) -> float:
    """Angle between two cameras [degrees]."""
    first, second = (each.world_to_camera[:3, :3].double() for each in (one, other))
    skew = first @ second.T
    sine = torch.stack([skew[2, 1] - skew[1, 2], skew[0, 2] - skew[2, 0], skew[1, 0] - skew[0, 1]])
    return math.degrees(math.asin(float(sine.norm()) / 2))


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_makes_one_fault_and_another_seed_another(name: str):
    capture = small_capture()
    fault = DISTURBANCES[name]
    assert same(fault(capture, 3), fault(capture, 3))
    assert not same(fault(capture, 3), fault(capture, 4))
    assert not same(fault(capture, 3), capture)


@pytest.mark.parametrize("name", DISTURBANCES)
def test_what_has_faults_is_trained_on(name: str):
    data = DISTURBANCES[name](small_capture(), 0)
    trainer = Trainer(data, TrainConfig(steps=3, gabor=2, max_splats=150))
    while not trainer.done:
        assert not trainer.step().skipped
    assert not trainer.left_out.reasons
    assert len(trainer.splats()) > 0


@pytest.mark.parametrize("name", DISTURBANCES)
def test_a_fault_leaves_the_capture_and_all_else_of_it_as_they_are(name: str):
    capture, twin = small_capture(), small_capture()
    after = DISTURBANCES[name](capture, 0)
    for view in (*after.train, *after.test):
        view.image()
    assert same(capture, twin)
    assert after.points is capture.points and after.point_colors is capture.point_colors
    for side in ("train", "test"):
        before = [view.name for view in getattr(capture, side)]
        assert [view.name for view in getattr(after, side)] == before


def test_exposures_are_gains_of_light_within_half_a_stop_and_some_percent():
    capture = grey_capture(train=200, test=40)
    after = DISTURBANCES["exposure"](capture, 0)
    plain = light(capture.train[0].image())
    stops: dict[str, Tensor] = {}
    for side in ("train", "test"):
        gains = torch.stack([light(view.image()) / plain for view in getattr(after, side)])
        stops[side] = gains.log2()
        exposure = stops[side].mean(1)
        assert exposure.abs().max() < 0.5 + 0.1
        assert exposure.std() == pytest.approx(1 / math.sqrt(12), rel=0.2)  # uniform, 1 EV wide
        assert exposure.mean() == pytest.approx(0, abs=0.1)
    balance = (stops["train"] - stops["train"].mean(1, keepdim=True)) * math.log(2)
    spread = float((balance.square().sum(1) / 2).mean().sqrt())
    assert 0.03 < spread < 0.1
    assert balance.mean(0).abs().max() < 0.02  # no colour is favoured


def test_exposures_clip_what_is_too_bright_and_leave_black():
    pixels = torch.zeros(2, 3, 3, dtype=torch.uint8)
    pixels[0], pixels[1, 0] = 250, 60
    capture = grey_capture(train=8)
    for view in capture.train:
        view.pixels = pixels
    brightest = max(
        (view.image() for view in DISTURBANCES["exposure"](capture, 1).train),
        key=lambda image: int(image.sum()),
    )
    assert (brightest[0] == 255).all()
    assert (brightest[1, 0] > 60).all() and (brightest[1, 0] < 100).all()
    assert (brightest[1, 1:] == 0).all()


def test_cameras_are_turned_and_moved_by_as_much_as_is_said_each_in_its_own_way():
    capture = grey_capture(train=30, test=5)
    after = DISTURBANCES["poses"](capture, 0)
    scale = scene_scale([view.camera for view in capture.train], capture.points)
    shifts: list[Tensor] = []
    for side in ("train", "test"):
        for one, other in zip(getattr(capture, side), getattr(after, side), strict=True):
            assert turned(one.camera, other.camera) == pytest.approx(0.25, rel=1e-3)
            shift = other.camera.position - one.camera.position
            assert float(shift.norm()) == pytest.approx(0.005 * scale, rel=2e-3)
            shifts.append(shift / shift.norm())
            rotation = other.camera.world_to_camera[:3, :3]
            assert torch.allclose(rotation @ rotation.T, torch.eye(3), atol=1e-6)
            assert torch.equal(one.image(), other.image())
            assert torch.equal(one.camera.intrinsics, other.camera.intrinsics)
    assert torch.stack(shifts).mean(0).norm() < 0.4  # in all directions: 1/sqrt(35), or so


def test_something_moves_through_a_third_of_the_training_photos():
    capture = grey_capture(train=30)
    after = DISTURBANCES["moving"](capture, 0)
    assert after.test is capture.test
    pairs = touched(capture, after)
    assert len(pairs) == 10
    places: set[tuple[int, int]] = set()
    squares: list[Tensor] = []
    for one, other in pairs:
        rows, columns = (one.image() != other.image()).any(-1).nonzero().unbind(1)
        top, left = int(rows.min()), int(columns.min())
        side = int(rows.max()) - top + 1
        assert int(columns.max()) - left + 1 == side
        assert side == pytest.approx(math.sqrt(SIZE[0] * SIZE[1]) / 5, abs=1)
        places.add((top, left))
        squares.append(other.image()[top : top + side, left : left + side].float())
        assert len(rows) > 0.95 * side**2  # no hole, but where it is grey by chance
    assert len(places) == len(pairs)
    assert all(torch.equal(square, squares[0]) for square in squares)
    assert squares[0].std(dim=(0, 1)).min() > 40  # colours that are seen
    neighbours = (squares[0][1:] - squares[0][:-1]).abs().mean()
    assert 5 < neighbours < squares[0].std()  # texture, not noise of single pixels


@pytest.mark.parametrize(("train", "count"), [(60, 3), (4, 1)])
def test_a_twentieth_of_the_training_photos_is_blurred_at_least_one(train: int, count: int):
    capture = grey_capture(train)
    for view in capture.train:
        view.pixels = torch.randint(256, (40, 60, 3), dtype=torch.uint8)
    after = DISTURBANCES["blurred"](capture, 0)
    assert after.test is capture.test
    pairs = touched(capture, after)
    assert len(pairs) == count
    for one, other in pairs:
        assert torch.allclose(light(other.image()), light(one.image()), rtol=0.05)
        assert other.image().float().std() < 0.8 * one.image().float().std()


@pytest.mark.parametrize("angle", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("length", [2.5, 12.0])
def test_a_point_is_blurred_to_a_line(length: float, angle: float):
    dark = torch.zeros(41, 41, 3)
    dark[20, 20] = 1.0
    shown = disturbances.motion_blur(dark, length, angle)[..., 0].double()
    assert float(shown.sum()) == pytest.approx(1, abs=1e-5)
    y, x = torch.meshgrid(torch.arange(41) - 20.0, torch.arange(41) - 20.0, indexing="ij")
    along, across = (
        x * math.cos(turn) + y * math.sin(turn) for turn in (angle, angle + math.pi / 2)
    )
    variances = [float((shown * each.square()).sum()) for each in (along, across)]
    # A line of length L has variance L^2/12; a sample's light on four pixels adds at most 1/4 px^2.
    assert variances[0] == pytest.approx(length**2 / 12, abs=0.26)
    assert variances[1] < 0.26


@dataclass
class Cutout(Photo):
    """A view that is transparent at its left."""

    transparent: bool = True

    def alpha(self) -> Tensor:
        found = torch.full(self.pixels.shape[:2], 255, dtype=torch.uint8)
        found[:, :10] = 0
        return found


@pytest.mark.parametrize("name", DISTURBANCES)
def test_masks_and_transparency_of_a_view_stay(name: str):
    capture = grey_capture(train=2, test=1)
    valid = torch.ones(SIZE[1], SIZE[0], dtype=torch.bool)
    valid[:5] = False
    views = [Cutout(view.name, view.camera, view.pixels, valid) for view in capture.train]
    capture.train = list(views)
    for view in DISTURBANCES[name](capture, 0).train:
        photo = load_photo(view, torch.device("cpu"))
        assert photo.alpha is not None and not photo.alpha[:, :10].any()
        assert photo.mask is not None and not photo.mask[:5].any()


def test_a_view_has_no_more_than_the_one_before_and_can_be_copied():
    view = small_capture().train[0]
    other = DisturbedView(view, view.camera)
    assert not hasattr(other, "alpha") and not hasattr(other, "transparent")
    assert torch.equal(copy.deepcopy(other).image(), view.image())
