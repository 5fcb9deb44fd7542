"""Camera models, judged by COLMAP itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from lens_examples import LENSES, SIZE, lens

from gaborsplat.scenes.colmap.camera_models import CAMERA_MODELS
from gaborsplat.scenes.photos.undistort import sampling_maps, undistort

pycolmap = pytest.importorskip("pycolmap")

WORST = 1e-6  # px


def oracle(model: str):
    width, height = SIZE
    return pycolmap.Camera(model=model, width=width, height=height, params=list(LENSES[model]))


def looking(model: str, pixels: np.ndarray) -> np.ndarray:
    """[N, 3] COLMAP's rays of pixels, NaN where it has none."""
    if model == "EQUIRECTANGULAR":  # whose rays COLMAP has only as coordinates at depth 1
        longitude = (pixels[:, 0] / SIZE[0] - 0.5) * math.tau
        latitude = (pixels[:, 1] / SIZE[1] - 0.5) * math.pi
        flat = np.cos(latitude)
        return np.stack([np.sin(longitude) * flat, np.sin(latitude), np.cos(longitude) * flat], 1)
    return np.column_stack([oracle(model).cam_from_img(pixels), np.ones(len(pixels))])


def test_ids_and_parameters_are_colmaps():
    known = {int(model): name for name, model in pycolmap.CameraModelId.__members__.items()}
    known.pop(int(pycolmap.CameraModelId.INVALID))
    assert known == {index: model.name for index, model in enumerate(CAMERA_MODELS)}
    for model in CAMERA_MODELS:
        names = oracle(model.name).params_info.replace(",", " ").split()
        assert names == model.parameters.split()


@pytest.mark.parametrize("model", LENSES)
def test_rays_of_all_pixels_come_back_to_them_as_colmap_says(model: str):
    straight, camera = lens(model), oracle(model)
    grid = np.meshgrid(np.arange(0, SIZE[0], 4) + 0.5, np.arange(0, SIZE[1], 4) + 0.5)
    pixels = np.stack(grid, -1).reshape(-1, 2)
    rays = looking(model, pixels)
    seen = np.isfinite(rays).all(1)
    assert seen.all()
    ours = np.stack(straight.project(*rays.T), 1)
    forward = float(np.abs(ours - camera.img_from_cam(rays)).max())
    back = float(np.abs(ours - pixels).max())
    print(f"{model}: worst {forward:.1e} px from img_from_cam, {back:.1e} px from cam_from_img")
    assert forward < WORST
    assert back < WORST


@pytest.mark.parametrize("model", sorted(set(LENSES) - {"EQUIRECTANGULAR"}))
def test_undistorted_pixels_sample_the_photo_where_colmap_projects_them(model: str):
    straight = lens(model)
    maps = sampling_maps(straight)
    columns, rows = (grid.ravel() for grid in np.meshgrid(range(0, 640, 13), range(0, 480, 13)))
    x, y = straight.pinhole.rays()
    rays = np.column_stack([x[0, columns], y[rows, 0], np.ones(rows.size)])
    expected = oracle(model).img_from_cam(rays)
    inside = ((expected > 0) & (expected < SIZE)).all(1)
    np.testing.assert_array_equal(maps.valid[rows, columns], inside)
    sampled = np.column_stack([maps.x[rows, columns], maps.y[rows, columns]]) + 0.5
    np.testing.assert_allclose(sampled[inside], expected[inside], atol=1e-4)  # float32


@pytest.mark.parametrize("model", sorted(set(LENSES) - {"EQUIRECTANGULAR"}))
def test_a_photo_that_colmap_bends_comes_back_straight(model: str):
    """Colours are waves over the slopes of rays, so every picture of them is known."""

    def waves(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 127.5 + 100 * np.stack([np.sin(9 * x), np.sin(9 * y), np.cos(6 * (x + y))], -1)

    pixels = np.stack(np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5), -1)
    flat = oracle(model).cam_from_img(pixels.reshape(-1, 2)).reshape(pixels.shape)
    bent = waves(flat[..., 0], flat[..., 1]).round().astype(np.uint8)
    straight = lens(model)
    expected = waves(*np.broadcast_arrays(*straight.pinhole.rays()))
    valid = sampling_maps(straight).valid
    # The photo's outermost half pixel is extrapolated.
    error = np.abs(undistort(bent, straight) - expected)[valid]
    assert np.quantile(error, 0.99) < 1.5
    assert error.max() < 5
