"""Lenses: a photo with distortion becomes the one that a pinhole camera would have taken."""

from __future__ import annotations

import numpy as np
import pycolmap
import pytest

from gaborsplat.scenes import InputError
from gaborsplat.scenes.colmap.model import ColmapCamera
from gaborsplat.scenes.photos.undistort import SUPPORTED, Lens, lens_of, sampling_maps, undistort

LENSES: dict[str, tuple[float, ...]] = {
    "SIMPLE_PINHOLE": (500, 310, 250),
    "PINHOLE": (500, 510, 310, 250),
    "SIMPLE_RADIAL": (500, 310, 250, -0.1),
    "RADIAL": (500, 310, 250, 0.1, -0.03),
    "OPENCV": (500, 510, 310, 250, 0.1, -0.05, 0.002, -0.003),
    "FULL_OPENCV": (500, 510, 310, 250, 0.1, -0.05, 0.002, -0.003, 0.01, 0.02, -0.01, 0.003),
    "SIMPLE_FISHEYE": (300, 310, 250),
    "FISHEYE": (300, 305, 310, 250),
    "SIMPLE_RADIAL_FISHEYE": (300, 310, 250, 0.02),
    "RADIAL_FISHEYE": (300, 310, 250, 0.02, -0.01),
    "OPENCV_FISHEYE": (300, 305, 310, 250, 0.02, -0.01, 0.003, -0.001),
}
SIZE = (640, 480)


def lens(model: str, params: tuple[float, ...] | None = None) -> Lens:
    return lens_of(ColmapCamera(1, model, *SIZE, tuple(map(float, params or LENSES[model]))))


def test_every_supported_lens_is_tested():
    assert set(LENSES) == set(SUPPORTED)


@pytest.mark.parametrize("model", LENSES)
def test_undistorted_pixels_sample_the_photo_where_colmap_projects_them(model: str):
    straight = lens(model)
    maps = sampling_maps(straight)
    columns, rows = (grid.ravel() for grid in np.meshgrid(range(0, 640, 13), range(0, 480, 13)))
    rays = np.column_stack(
        [
            (columns + 0.5 - straight.centre[0]) / straight.focal[0],
            (rows + 0.5 - straight.centre[1]) / straight.focal[1],
            np.ones(rows.size),
        ]
    )
    oracle = pycolmap.Camera(model=model, width=640, height=480, params=list(LENSES[model]))
    expected = oracle.img_from_cam(rays)
    sampled = np.column_stack([maps.x[rows, columns], maps.y[rows, columns]]) + 0.5
    np.testing.assert_allclose(sampled, expected, atol=1e-3)
    inside = ((expected > 0) & (expected < SIZE)).all(1)
    np.testing.assert_array_equal(maps.valid[rows, columns], inside)


def test_a_lens_keeps_size_focal_length_and_principal_point():
    straight = lens("OPENCV")
    assert straight.size == SIZE
    np.testing.assert_array_equal(straight.intrinsics, [[500, 0, 310], [0, 510, 250], [0, 0, 1]])


def test_undistorting_moves_the_photo_as_the_maps_say():
    straight = lens("OPENCV")
    columns, rows = np.meshgrid(np.arange(640), np.arange(480))
    source = np.stack([columns / 640, rows / 480, np.ones_like(rows)], 2) * 250
    result = undistort(source.round().astype(np.uint8), straight)
    maps = sampling_maps(straight)
    expected = np.stack([maps.x / 640, maps.y / 480, np.ones_like(maps.x)], 2) * 250
    middle = maps.valid.copy()
    middle[:4], middle[-4:], middle[:, :4], middle[:, -4:] = False, False, False, False
    assert np.abs(result - expected)[middle].max() < 1.1  # rounded twice
    assert not result[~maps.valid].any()


def test_pixels_beyond_the_bend_of_a_polynomial_are_not_valid():
    """r (1 - 0.6 r^2) grows up to r = 0.745 only; beyond, the photo would show up again."""
    straight = lens("SIMPLE_RADIAL", (300, 320, 240, -0.6))
    maps = sampling_maps(straight)
    radius = np.hypot(np.arange(640)[None] - 319.5, np.arange(480)[:, None] - 239.5) / 300
    assert maps.valid[radius < 0.74].all()
    assert not maps.valid[radius > 0.75].any()
    assert (np.abs(maps.x[radius > 0.75] - 319.5) < 320).any()  # it would have been inside


@pytest.mark.parametrize("model", ["SIMPLE_PINHOLE", "PINHOLE"])
def test_a_pinhole_photo_is_left_alone(model: str):
    assert lens(model).is_pinhole
    assert lens("SIMPLE_RADIAL", (500, 310, 250, 0)).is_pinhole
    assert not lens("SIMPLE_FISHEYE").is_pinhole


@pytest.mark.parametrize("focal", [0.0, -500.0, 1e-9, 1e12])
def test_an_impossible_focal_length_is_refused(focal: float):
    with pytest.raises(InputError, match=r"camera 1 has focal lengths 500 and .* between 1 and 1e"):
        lens("PINHOLE", (500, focal, 310, 250))


def test_other_camera_models_are_refused_by_name():
    with pytest.raises(InputError, match="camera 1 has model FOV; photos of SIMPLE_PINHOLE"):
        lens("FOV", (500, 500, 310, 250, 0.9))
