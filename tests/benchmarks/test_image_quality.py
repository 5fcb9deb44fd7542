"""Measures that the benchmarks report: each must see what it is for, and nothing else."""

from __future__ import annotations

import math

import pytest
import synthetic
import torch
from fitting import Photo, looking_at_origin, small_capture
from torch import Tensor

from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.settings import RenderSettings

quality = pytest.importorskip("benchmarks.gabor.image_quality", reason="needs the extra [bench]")

SETTINGS = RenderSettings()


def wave(cycles_per_pixel: float) -> Tensor:
    """[48, 64, 3] vertical stripes of amplitude 0.1."""
    x = torch.arange(64) + 0.5
    return (
        (0.1 * torch.cos(2 * math.pi * cycles_per_pixel * x))
        .expand(48, 64)[..., None]
        .repeat(1, 1, 3)
    )


@pytest.mark.parametrize(("frequency", "seen"), [(0.125, False), (0.375, True)])
def test_only_errors_of_the_upper_half_of_the_spectrum_count_as_fine(frequency: float, seen: bool):
    grey = torch.full((48, 64, 3), 0.5)
    fine = quality.fine_psnr(grey + wave(frequency), grey)
    expected = -10 * math.log10(0.1**2 / 2) if seen else 100.0
    assert fine == pytest.approx(expected, abs=0.1)


def test_flip_is_zero_for_equal_images_and_grows_with_the_difference():
    image = torch.rand(24, 32, 3)
    assert quality.flip_error(image, image) == pytest.approx(0, abs=1e-6)
    errors = [quality.flip_error((image + e).clamp(0, 1), image) for e in (0.05, 0.3)]
    assert 0 < errors[0] < errors[1] < 1


@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_camera_farther_away_sees_the_same_in_fewer_pixels(times: int):
    capture = small_capture()
    camera = capture.test[0].camera
    small = quality.smaller(camera, times)
    assert small.size == (40 // times, 30 // times)
    points = torch.rand(20, 3) - 0.5
    seen = points @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
    full, less = seen @ camera.intrinsics.T, seen @ small.intrinsics.T
    assert torch.allclose(full[:, :2] / full[:, 2:] / times, less[:, :2] / less[:, 2:], atol=1e-5)


def test_from_afar_a_smooth_scene_looks_like_its_photo_averaged():
    splats = synthetic.cloud(1, 0, dtype=torch.float32)
    splats.means[:] = 0
    splats.scales[:] = 1.0
    splats.sh[:] = 0.5
    camera = looking_at_origin((0.0, 0.0, -4.0))
    picture = render(splats, camera).color.clamp(0, 1)
    photo = Photo("a", camera, (255 * picture).round().byte())
    assert quality.far_psnr(splats, [photo], SETTINGS, 2) > 35
    darker = Photo("b", camera, (100 * picture).round().byte())
    assert quality.far_psnr(splats, [darker], SETTINGS, 2) < 20


def test_waves_that_never_show_and_waves_too_fine_are_counted():
    splats = synthetic.dot(4.0, 0.4, 0.5, dtype=torch.float32)
    frequencies = torch.tensor(
        [[[0.5, 0.0, 0.0], [0.4, 0.0, 0.0], [9.0, 0.0, 0.0], [0.3, 0.0, 0.0]]]
    )
    coefficients = torch.tensor([[[0.3, 0.0], [0.0, 1e-3], [0.3, 0.0], [0.0, 0.2]]])
    waved = synthetic.with_waves(splats, frequencies, coefficients)
    camera = synthetic.straight_camera(dtype=torch.float32)
    found = quality.waves_in_use(waved, [camera], SETTINGS)
    assert found["too_fine_waves"] == pytest.approx(0.25)
    assert found["dead_waves"] == pytest.approx(0.5)  # the fine one is damped away too
    assert quality.waves_in_use(splats, [camera], SETTINGS)["dead_waves"] is None
