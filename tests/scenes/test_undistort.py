"""Lenses: a photo with distortion becomes the one that a pinhole camera would have taken."""

from __future__ import annotations

import numpy as np
import pytest
from lens_examples import LENSES, lens

from gaborsplat.scenes.photos.undistort import sampling_maps, undistort


def test_a_lens_keeps_size_focal_length_and_principal_point():
    straight = lens("OPENCV").pinhole
    assert straight.size == (640, 480)
    np.testing.assert_array_equal(straight.intrinsics, [[500, 0, 310], [0, 510, 250], [0, 0, 1]])


@pytest.mark.parametrize("model", LENSES)
def test_pixels_of_the_picture_sample_the_photo_where_the_lens_has_their_rays(model: str):
    straight = lens(model)
    maps = sampling_maps(straight)
    x, y = straight.project(*np.broadcast_arrays(*straight.pinhole.rays(), np.float64(1)))
    assert maps.valid.mean() > 0.7
    assert maps.valid.shape == straight.pinhole.size[::-1]
    for sampled, place in ((maps.x, x), (maps.y, y)):
        np.testing.assert_allclose(sampled[maps.valid] + 0.5, place[maps.valid], atol=1e-4)


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
    x, _ = straight.project(np.array(0.9), np.array(0.0), np.array(1.0))
    assert 320 < x < 640  # it would have been inside
