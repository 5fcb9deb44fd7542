"""Photos that are small early in a run: what their pixels are, and which camera sees just these."""

from __future__ import annotations

from dataclasses import replace

import pytest
import synthetic
import torch
import torch.nn.functional as F
from fitting import Photo as FittedPhoto
from fitting import SmallCapture, small_capture
from torch import Tensor

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.training import TrainConfig, Trainer
from gaborsplat.renderer.training.data import Photo
from gaborsplat.renderer.training.pacing import resolution
from gaborsplat.renderer.training.pacing.resolution import reduced, reduction_at

CPU = torch.device("cpu")


def noise(height: int, width: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (height, width, channels), generator=generator, dtype=torch.uint8)


def photo(
    width: int, height: int, mask: Tensor | None = None, alpha: Tensor | None = None
) -> Photo:
    return Photo(
        synthetic.camera((width, height), torch.float32), noise(height, width), mask, alpha
    )


@pytest.fixture
def large() -> SmallCapture:
    """A capture whose photos have room for being made smaller."""
    capture = small_capture()
    for view in (*capture.train, *capture.test):
        view.camera = view.camera.resized((160, 130))
        view.pixels = noise(130, 160)
    return capture


def test_a_run_passes_from_small_photos_to_whole_ones():
    reductions = [reduction_at(step / 100) for step in range(101)]
    assert reductions == sorted(reductions, reverse=True)
    assert {*reductions} == {1, 2, 4}
    assert reductions[-50:] == [1] * 50


@pytest.mark.parametrize("times", [2, 4])
@pytest.mark.parametrize("size", [(160, 132), (163, 133)])
def test_pixels_are_means_of_squares_and_the_camera_has_just_these(
    times: int, size: tuple[int, int]
):
    whole = photo(*size)
    small = reduced(whole, times)
    width, height = size[0] // times, size[1] // times
    assert small.camera.size == (width, height)
    assert (small.mask, small.alpha) == (None, None)
    squares = whole.image[: height * times, : width * times].reshape(height, times, width, times, 3)
    means = squares.double().mean(dim=(1, 3))
    assert small.image.dtype == torch.uint8
    assert (small.image.double() - means).abs().max() <= 0.5
    # The middle of a small pixel is that of its square.
    ray = torch.tensor([0.31, -0.17, 1.0])
    at, there = (each.camera.intrinsics.double() @ ray.double() for each in (whole, small))
    assert torch.allclose(at[:2], times * there[:2], rtol=0, atol=1e-5)
    assert torch.equal(small.camera.world_to_camera, whole.camera.world_to_camera)


@pytest.mark.parametrize("times", [2, 4])
def test_what_a_small_camera_sees_is_the_mean_of_what_the_whole_one_sees(times: int):
    camera = synthetic.camera((160, 130), torch.float32)
    splats = synthetic.cloud(60, view=camera, dtype=torch.float32)
    splats = replace(splats, scales=6 * splats.scales)  # of smooth pictures pixels are samples
    whole = render(splats, camera).color
    small = reduced(Photo(camera, (255 * whole).round().to(torch.uint8), None), times)
    means = F.avg_pool2d(whole.permute(2, 0, 1), times).permute(1, 2, 0)
    off = (render(splats, small.camera).color - means).abs()
    assert off.mean() < 0.004
    # Half a pixel to the side it would be another picture.
    beside = small.camera.intrinsics.clone()
    beside[0, 2] += 0.5
    shifted = render(splats, replace(small.camera, intrinsics=beside)).color
    assert (shifted - means).abs().mean() > 2 * off.mean()


def test_a_small_pixel_counts_where_all_of_its_parts_do():
    mask = torch.ones(130, 160, dtype=torch.bool)
    mask[8, 12] = False
    mask[100:, :40] = False
    small = reduced(photo(160, 130, mask), 4).mask
    assert small is not None
    expected = torch.ones(32, 40, dtype=torch.bool)
    expected[2, 3] = False
    expected[25:, :10] = False
    assert torch.equal(small, expected)


def test_of_what_is_transparent_colours_are_weighted_by_how_much_there_is():
    alpha = noise(130, 160, 1)[..., 0]
    alpha[:40, :80] = 0
    whole = photo(160, 130, alpha=alpha)
    small = reduced(whole, 2)
    for background in ((0.0, 0.0, 0.0), (1.0, 0.0, 1.0)):
        over = whole.over(background).image.permute(2, 0, 1).float()
        means = F.avg_pool2d(over, 2).permute(1, 2, 0)
        assert (small.over(background).image.float() - means).abs().max() <= 2


def test_a_photo_keeps_enough_pixels_and_some_that_count():
    assert reduced(photo(100, 70), 4).camera.size == (50, 35)
    assert reduced(photo(60, 50), 4).camera.size == (60, 50)
    dots = torch.zeros(130, 160, dtype=torch.bool)
    dots[64:66, 80:82] = True
    assert reduced(photo(160, 130, dots), 2).camera.size == (80, 65)
    dots[65, 81] = False
    assert reduced(photo(160, 130, dots), 4).camera.size == (160, 130)


class Watched(Trainer):
    """Notes the photos that it is given."""

    def __init__(self, capture: SmallCapture, config: TrainConfig) -> None:
        super().__init__(capture, config)
        self.cameras: list[Camera] = []

    def _take(self, photo: Photo):  # pyright: ignore
        self.cameras.append(photo.camera)
        return super()._take(photo)


def test_training_from_coarse_to_fine_sees_small_photos_then_whole_ones(large: SmallCapture):
    config = TrainConfig(steps=20, gabor=0, max_splats=150, coarse_to_fine=True)
    trainer = Watched(large, config)
    while not trainer.done:
        trainer.step()
    sizes = [camera.size for camera in trainer.cameras]
    expected = [
        (160 // times, 130 // times) for times in map(reduction_at, (n / 20 for n in range(20)))
    ]
    assert sizes == expected
    assert len({*sizes}) == 3
    plain = Watched(large, replace(config, coarse_to_fine=None))
    plain.step()
    assert plain.cameras[0].size == (160, 130)


def test_small_photos_are_kept_until_others_are_wanted(
    large: SmallCapture, monkeypatch: pytest.MonkeyPatch
):
    config = TrainConfig(steps=100, gabor=0, max_splats=150, coarse_to_fine=True, exchange=0.0)
    read: list[str] = []

    class Counting(FittedPhoto):
        def image(self) -> Tensor:
            read.append(self.name)
            return super().image()

    large.train = [Counting(view.name, view.camera, view.pixels) for view in large.train]
    trainer = Trainer(large, config)
    coarsest = sum(reduction_at(step / 100) == 4 for step in range(100))
    read.clear()
    for _ in range(coarsest):
        trainer.step()
    assert len(read) == len(large.train) < coarsest
    # Without room they are made anew each time.
    monkeypatch.setattr(resolution, "COARSE_BYTES", 0)
    trainer = Trainer(large, config)
    read.clear()
    for _ in range(coarsest):
        trainer.step()
    assert len(read) == coarsest


def test_two_runs_from_coarse_to_fine_with_one_seed_are_equal(large: SmallCapture):
    config = TrainConfig(steps=30, gabor=1, max_splats=150, coarse_to_fine=True)
    results: list[Tensor] = []
    for _ in range(2):
        trainer = Trainer(large, config)
        while not trainer.done:
            trainer.step()
        results.append(trainer.splats().means)
    assert torch.equal(*results)
