"""Captures: views in order, coordinates near zero, and points that fall on their colours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
import torch
from colmap_files import Camera, Model, photo, ring, write_binary, write_capture

from gaborsplat.renderer.training.data import FitInput, TrainingView
from gaborsplat.scenes import demo_path, load_capture
from gaborsplat.scenes.capture import Capture, CaptureView


def project(view: CaptureView, points: torch.Tensor) -> torch.Tensor:
    """[P, 2] pixels of world points."""
    inside = points @ view.camera.world_to_camera[:3, :3].T + view.camera.world_to_camera[:3, 3]
    pixels = inside @ view.camera.intrinsics.T
    return pixels[:, :2] / pixels[:, 2:]


@pytest.mark.parametrize("binary", [True, False])
def test_a_capture_has_its_views_sorted_and_every_eighth_held_out(tmp_path: Path, binary: bool):
    capture = load_capture(write_capture(ring(17), tmp_path / "door", binary=binary))
    names = [f"{i:04d}.png" for i in range(1, 18)]
    assert capture.name == "door"
    assert [view.name for view in capture.views] == names
    assert [view.name for view in capture.test] == [names[0], names[8], names[16]]
    assert [view.name for view in capture.train] == names[1:8] + names[9:16]
    assert capture.points.shape == capture.point_colors.shape == (50, 3)
    assert capture.points.dtype == torch.float32
    assert capture.point_colors.dtype == torch.uint8
    assert not capture.origin.any()
    assert not capture.repairs


def test_a_view_has_the_photo_and_the_camera_of_its_name(tmp_path: Path):
    scene = ring()
    capture = load_capture(write_capture(scene, tmp_path))
    for view in capture.views:
        source = next(v for v in scene.views if v.name == view.name)
        assert view.camera.size == (64, 48)
        assert view.camera.world_to_camera.dtype == torch.float32
        centre = -view.camera.world_to_camera[:3, :3].T @ view.camera.world_to_camera[:3, 3]
        oracle = pycolmap.Rigid3d(
            pycolmap.Rotation3d(np.roll(source.qvec, -1)), source.tvec
        ).inverse()
        np.testing.assert_allclose(centre, oracle.translation, atol=1e-5)
        np.testing.assert_array_equal(view.image(), photo((64, 48)))
        assert view.mask() is None


def test_views_satisfy_what_training_asks_for(tmp_path: Path):
    capture: FitInput = load_capture(write_capture(ring(), tmp_path))
    view: TrainingView = capture.train[0]
    assert view.image().dtype == torch.uint8


def test_distorted_photos_come_with_a_mask_and_pinhole_cameras(tmp_path: Path):
    scene = ring(size=(640, 480))
    params = (500.0, 510.0, 310.0, 250.0, 0.1, -0.05, 0.002, -0.003)
    scene.cameras[0] = Camera(3, "OPENCV", (640, 480), params)
    capture = load_capture(write_capture(scene, tmp_path), max_size=320)
    view = capture.views[0]
    mask = view.mask()
    assert mask is not None
    assert mask.shape == (240, 320)
    assert mask.dtype == torch.bool
    assert 0.5 < mask.float().mean() < 1
    assert not view.image()[~mask].any()
    np.testing.assert_allclose(view.camera.intrinsics[:2, 2], [155, 125])


# Coordinates.


def georeferenced(shift: np.ndarray) -> Model:
    """The ring, somewhere else on Earth."""
    scene = ring()
    for view in scene.views:
        w, x, y, z = view.qvec
        rotation = pycolmap.Rotation3d(np.array([x, y, z, w])).matrix()
        view.tvec = view.tvec - rotation @ shift
    scene.xyz = scene.xyz + shift
    return scene


def test_a_scene_far_from_zero_is_moved_there_without_losing_detail(tmp_path: Path):
    shift = np.array([431_234.5, 4_512_345.25, 120.125])
    near = load_capture(write_capture(ring(), tmp_path / "near"))
    far = load_capture(write_capture(georeferenced(shift), tmp_path / "far"))
    assert not near.origin.any()
    assert far.origin.dtype == torch.float64
    np.testing.assert_allclose(far.origin, shift, atol=5)
    assert "moved the scene to zero, by -4312" in far.repairs[0]
    back = far.points.double() + far.origin
    np.testing.assert_allclose(back, near.points.double().numpy() + shift, atol=1e-6)
    for one, other in zip(near.views, far.views, strict=True):
        np.testing.assert_allclose(project(one, near.points), project(other, far.points), atol=2e-4)


def test_a_scene_somewhat_off_zero_stays_where_it_is(tmp_path: Path):
    scene = georeferenced(np.array([50.0, 0.0, 0.0]))
    assert not load_capture(write_capture(scene, tmp_path)).origin.any()


def test_points_that_are_not_finite_are_left_out_and_reported(tmp_path: Path):
    scene = ring()
    scene.xyz[3, 1] = np.nan
    scene.xyz[7, 0] = np.inf
    scene.xyz[9, 2] = 1e200  # infinite in float32
    capture = load_capture(write_capture(scene, tmp_path))
    assert capture.points.shape == (47, 3)
    assert capture.points.isfinite().all()
    assert "left out 3 of 50 points" in capture.repairs[0]
    assert "the first is point 4" in capture.repairs[0]
    kept = np.delete(scene.rgb, [3, 7, 9], axis=0)
    np.testing.assert_array_equal(capture.point_colors, kept)


def test_a_capture_without_points_still_has_views(tmp_path: Path):
    capture = write_capture(ring(), tmp_path)
    (capture / "sparse" / "0" / "points3D.bin").unlink()
    loaded = load_capture(capture)
    assert loaded.points.shape == (0, 3)
    assert any("went on without points" in repair for repair in loaded.repairs)


def test_the_digest_changes_with_the_model_and_the_photos_and_with_nothing_else(tmp_path: Path):
    folder = write_capture(ring(), tmp_path)
    first = load_capture(folder).digest()
    assert load_capture(folder, max_size=20).digest() == first
    (folder / "notes.txt").write_text("hello")
    assert load_capture(folder).digest() == first
    cv2.imwrite(str(folder / "images" / "0001.png"), np.zeros((48, 64, 3), np.uint8))
    second = load_capture(folder).digest()
    write_binary(ring(points=49), folder / "sparse" / "0")
    assert len({first, second, load_capture(folder).digest()}) == 3


# Real captures.


def assert_points_have_the_colour_of_their_pixels(capture: Capture, limit: float) -> None:
    """Mean difference over all observations; shuffled colours differ by more than 40."""
    points = capture.model.points
    owner = np.repeat(np.arange(len(points)), points.track_lengths)
    names = {image.image_id: image.name for image in capture.model.images}
    seen_by = np.array([names[i] for i in points.track_images])
    differences: list[np.ndarray] = []
    for view in capture.views:
        index = torch.from_numpy(owner[seen_by == view.name])
        pixels = project(view, capture.points[index]).floor().long()
        width, height = view.camera.size
        mask = view.mask()
        inside = ((pixels >= 0) & (pixels < torch.tensor([width, height]))).all(1)
        pixels, index = pixels[inside], index[inside]
        if mask is not None:
            valid = mask[pixels[:, 1], pixels[:, 0]]
            pixels, index = pixels[valid], index[valid]
        there = view.image()[pixels[:, 1], pixels[:, 0]].float()
        differences.append((there - capture.point_colors[index]).abs().numpy().ravel())
    assert np.concatenate(differences).mean() < limit


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "limit"), [("fox", 9.5), ("fox_opencv", 10), ("banana", 6.5), ("lund_door", 5.5)]
)
def test_points_of_a_real_capture_have_the_colour_of_their_pixels(
    shared_data: Path, name: str, limit: float
):
    assert_points_have_the_colour_of_their_pixels(load_capture(shared_data / name), limit)


def test_the_demo_loads_and_is_small():
    capture = load_capture(demo_path())
    assert (capture.name, len(capture.views), len(capture.points)) == ("demo", 12, 11_384)
    assert capture.views[0].camera.size == (432, 645)
    assert not capture.repairs
    files = [path for path in demo_path().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    assert "Georgia Tech" in (demo_path() / "LICENSE").read_text()


def test_points_of_the_demo_have_the_colour_of_their_pixels():
    """Its tracks are left out and its views are frontal: most points are seen by most views."""
    capture = load_capture(demo_path())
    view = capture.views[5]
    pixels = project(view, capture.points).floor().long()
    inside = ((pixels >= 0) & (pixels < torch.tensor(view.camera.size))).all(1)
    there = view.image()[pixels[inside, 1], pixels[inside, 0]].float()
    assert inside.float().mean() > 0.6
    assert (there - capture.point_colors[inside]).abs().mean() < 15
