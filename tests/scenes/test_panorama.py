"""Photos of all directions: cut into views whose pixels and poses agree."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from colmap_files import Camera, Model, ring, write_capture, write_text

from gaborsplat.scenes import load_capture
from gaborsplat.scenes.capture import Capture, CaptureView

SIDES = ("back", "down", "front", "left", "right", "up")
WIDTH, HEIGHT = 512, 256


def rotation(view: CaptureView) -> np.ndarray:
    return view.camera.world_to_camera[:3, :3].double().numpy()


def hue(directions: np.ndarray) -> np.ndarray:
    """[..., 3] a colour for each direction [..., 3], that no other direction has."""
    return 127.5 + 120 * directions / np.linalg.norm(directions, axis=-1, keepdims=True)


def sky(world_to_camera: np.ndarray) -> np.ndarray:
    """[H, W, 3] a panorama of the directions of the world, as its camera is turned."""
    longitude = ((np.arange(WIDTH) + 0.5) / WIDTH - 0.5) * 2 * np.pi
    latitude = ((np.arange(HEIGHT) + 0.5) / HEIGHT - 0.5)[:, None] * np.pi
    flat = np.cos(latitude)
    rays = [np.sin(longitude) * flat, np.sin(latitude) + 0 * longitude, np.cos(longitude) * flat]
    return hue(np.stack(rays, -1) @ world_to_camera).round().astype(np.uint8)


def panoramas(folder: Path, edit=lambda scene: None) -> Path:
    """The ring, its photos panoramas of `hue`."""
    scene = ring()
    scene.cameras[0] = Camera(3, "EQUIRECTANGULAR", (WIDTH, HEIGHT), (WIDTH, HEIGHT))
    edit(scene)
    write_capture(scene, folder)
    for view in scene.views:
        if view.camera_id == 3:
            w, *xyz = view.qvec
            cross = np.cross(np.eye(3), xyz)
            turn = (w * w - np.dot(xyz, xyz)) * np.eye(3) + 2 * np.outer(xyz, xyz) + 2 * w * cross
            cv2.imwrite(str(folder / "images" / view.name), sky(turn)[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return load_capture(panoramas(tmp_path_factory.mktemp("sky")))


def test_each_panorama_becomes_six_views_with_names_of_its_own(capture: Capture):
    names = [f"{i:04d}_{side}.png" for i in range(1, 10) for side in SIDES]
    assert [view.name for view in capture.views] == names
    assert capture.repairs == (
        "cut 9 panoramas into 6 views of 90 degrees each "
        "(front, right, back, left, up, down; the first is 0001_front.png)",
    )


def test_every_pixel_has_the_colour_of_the_direction_that_its_camera_looks_in(capture: Capture):
    for view in capture.views:
        width, height = view.camera.size
        columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        pixels = np.stack([columns, rows, np.ones_like(rows)], -1)
        rays = pixels @ np.linalg.inv(view.camera.intrinsics.double().numpy()).T @ rotation(view)
        assert np.abs(view.image().numpy() - hue(rays)).max() < 2.5, view.name
        assert view.mask() is None


def test_the_views_of_a_panorama_see_every_direction_once_from_one_place(capture: Capture):
    directions = torch.randn(2000, 3, dtype=torch.float64).numpy()
    seen = np.zeros(2000, int)
    for view in capture.views[:6]:
        assert view.camera.intrinsics[0, 0] * 2 == view.camera.size[0] == view.camera.size[1]
        x, y, z = (directions @ rotation(view).T).T
        seen += (z > 0) & (abs(x) < z) & (abs(y) < z)
        centre = -rotation(view).T @ view.camera.world_to_camera[:3, 3].double().numpy()
        other = capture.views[0]
        same = -rotation(other).T @ other.camera.world_to_camera[:3, 3].double().numpy()
        np.testing.assert_allclose(centre, same, atol=1e-5)
    assert (seen == 1).all()


def test_the_side_called_up_looks_against_the_y_axis_of_the_photo_and_front_along_z(
    capture: Capture,
):
    forward = {view.name: rotation(view)[2] for view in capture.views[:6]}
    down = rotation(capture.views[2])[1]  # of front, which is turned as the photo
    np.testing.assert_allclose(forward["0001_up.png"], -down, atol=1e-6)
    np.testing.assert_allclose(forward["0001_down.png"], down, atol=1e-6)
    right = rotation(capture.views[2])[0]
    np.testing.assert_allclose(forward["0001_right.png"], right, atol=1e-6)
    np.testing.assert_allclose(forward["0001_left.png"], -right, atol=1e-6)


def test_views_have_the_pixels_that_the_panorama_has_in_90_degrees_or_the_longest_side_asked_for(
    tmp_path: Path, capture: Capture
):
    assert capture.views[0].camera.size == (163, 163)  # 512 / pi
    small = load_capture(panoramas(tmp_path), max_size=40)
    assert small.views[0].camera.size == (40, 40)
    assert small.views[0].image().shape == (40, 40, 3)


def test_other_photos_beside_panoramas_stay_as_they_are_and_no_name_is_given_twice(tmp_path: Path):
    def edit(scene: Model) -> None:
        scene.cameras.append(Camera(4, "PINHOLE", (64, 48), (60, 62, 32, 25)))
        scene.views[0].camera_id, scene.views[0].name = 4, "0001_up.png"

    capture = load_capture(panoramas(tmp_path, edit))
    sizes = {view.name: view.camera.size for view in capture.views}
    assert len(sizes) == len(capture.views) == 8 * 6 + 1
    assert sizes["0001_up.png"] == (64, 48)
    assert sizes["0001__up.png"] == (163, 163)
    assert list(sizes) == sorted(sizes)


def test_a_model_that_calls_panoramas_spherical_is_read_and_said(tmp_path: Path):
    folder = panoramas(tmp_path)
    scene = ring()
    scene.cameras[0] = Camera(3, "SPHERICAL", (WIDTH, HEIGHT), (WIDTH, HEIGHT))
    for file in (folder / "sparse" / "0").iterdir():
        file.unlink()
    write_text(scene, folder / "sparse" / "0")
    capture = load_capture(folder)
    assert len(capture.views) == 54
    assert "cameras.txt:2: took SPHERICAL for COLMAP's EQUIRECTANGULAR" in capture.repairs[0]


def test_a_model_that_nobody_knows_is_refused_by_name(tmp_path: Path):
    scene = ring()
    scene.cameras[0] = Camera(3, "CATADIOPTRIC", (64, 48), (60, 32, 24))
    with pytest.raises(ValueError, match=r'camera 3 has model "CATADIOPTRIC"; known are SIMPLE_P'):
        load_capture(write_capture(scene, tmp_path, binary=False))
