"""What speaks against a capture is said, a line each; nothing is said of one that is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from colmap_files import Camera, Model, View, write_text

from gaborsplat.scenes import doubts, load_capture
from gaborsplat.scenes.colmap.model import ColmapCamera, ColmapImage
from gaborsplat.scenes.colmap.visibility import seen_share

SIZE = (96, 64)
FOCAL = 80.0


def color(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[..., 3] RGB of a wall, 4 units before the cameras."""
    waves = [np.sin(6 * x + 2 * y), np.sin(5 * y - 1.4 * x + 1), np.sin(4 * x - 3 * y + 2)]
    return np.stack([127 + 100 * wave for wave in waves], axis=-1).round().astype(np.uint8)


def wall() -> Model:
    """Eight cameras before the wall, looking at it from different places."""
    rng = np.random.default_rng(3)
    centres = np.column_stack([rng.uniform(-1.5, 1.5, (8, 2)), rng.uniform(-0.5, 0.5, 8)])
    straight = np.array([1.0, 0, 0, 0])
    views = [View(i + 1, straight, -centre, 1, f"{i}.png") for i, centre in enumerate(centres)]
    xyz = np.column_stack([rng.uniform(-3, 3, (600, 2)), np.full(600, 4.0)])
    camera = Camera(1, "PINHOLE", SIZE, (FOCAL, FOCAL, SIZE[0] / 2, SIZE[1] / 2))
    return Model([camera], views, xyz, color(xyz[:, 0], xyz[:, 1]), track=[1, 2])


def photos_of(model: Model) -> dict[str, np.ndarray]:
    column, row = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    photos: dict[str, np.ndarray] = {}
    for view in model.views:
        x0, y0, z0 = -view.tvec
        depth = (4 - z0) / FOCAL
        x, y = (column - SIZE[0] / 2) * depth + x0, (row - SIZE[1] / 2) * depth + y0
        photos[view.name] = color(x, y)
    return photos


def written(folder: Path, model: Model, photos: dict[str, np.ndarray]) -> Path:
    write_text(model, folder / "sparse" / "0")
    (folder / "images").mkdir()
    for name, photo in photos.items():
        cv2.imwrite(str(folder / "images" / name), photo[..., ::-1])
    return folder


def test_nothing_is_said_against_a_capture_that_is_right(tmp_path: Path):
    assert doubts(load_capture(written(tmp_path, wall(), photos_of(wall())))) == []


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        (lambda photo: photo[::-1, ::-1], "turned by 180 degrees"),
        (lambda photo: photo[:, ::-1], "turned left to right"),
        (lambda photo: photo[::-1], "turned upside down"),
    ],
)
def test_photos_that_were_turned_are_told_by_the_colours_of_the_points(
    tmp_path: Path, turn: Callable[[np.ndarray], np.ndarray], said: str
):
    photos = {name: turn(photo) for name, photo in photos_of(wall()).items()}
    (line,) = doubts(load_capture(written(tmp_path, wall(), photos)))
    assert said in line and "\n" not in line


def test_photos_of_something_else_are_told(tmp_path: Path):
    rng = np.random.default_rng(0)
    photos = {
        name: cv2.resize(rng.integers(0, 255, (6, 9, 3)).astype(np.uint8), SIZE)
        for name in photos_of(wall())
    }
    (line,) = doubts(load_capture(written(tmp_path, wall(), photos)))
    assert "nothing to do with the photos" in line


def test_poses_the_wrong_way_round_are_told(tmp_path: Path):
    model = wall()
    views = [replace(view, tvec=-view.tvec) for view in model.views]
    lines = doubts(load_capture(written(tmp_path, replace(model, views=views), photos_of(model))))
    assert any("world to camera" in line for line in lines)


def test_points_in_another_frame_than_the_cameras_are_left_out(tmp_path: Path):
    model = wall()
    moved = replace(model, xyz=model.xyz + np.array([500_000.0, 4_649_776.0, 120.0]))
    capture = load_capture(written(tmp_path, moved, photos_of(model)))
    assert len(capture.points) == 0
    assert any("left out all 600 points" in line for line in capture.repairs)
    assert not capture.origin.any()


def test_a_calibration_that_leaves_little_of_a_photo_is_told(tmp_path: Path):
    params = (FOCAL, SIZE[0] / 2, SIZE[1] / 2, -30.0)
    model = replace(wall(), cameras=[Camera(1, "SIMPLE_RADIAL", SIZE, params)])
    lines = doubts(load_capture(written(tmp_path, model, photos_of(wall()))))
    assert any("of the pixels of" in line and "-30" in line for line in lines)


def test_photos_that_are_nearly_black_are_told(tmp_path: Path):
    photos = {name: photo // 20 for name, photo in photos_of(wall()).items()}
    lines = doubts(load_capture(written(tmp_path, wall(), photos)))
    assert any("nearly black" in line for line in lines)


def test_points_near_infinity_are_counted(tmp_path: Path):
    model = wall()
    xyz = model.xyz.copy()
    xyz[:30] *= 1e9
    (line,) = doubts(load_capture(written(tmp_path, replace(model, xyz=xyz), photos_of(model))))
    assert line.startswith("5 % of the points lie more than ")


def test_points_without_colours_and_captures_without_points_are_not_judged_by_them(tmp_path: Path):
    model = replace(wall(), rgb=np.full((600, 3), 128))
    assert doubts(load_capture(written(tmp_path / "grey", model, photos_of(wall())))) == []
    none = replace(wall(), xyz=np.zeros((0, 3)), rgb=np.zeros((0, 3), int))
    assert doubts(load_capture(written(tmp_path / "none", none, photos_of(wall())))) == []


def test_a_photo_that_is_damaged_does_not_keep_others_from_being_looked_at(tmp_path: Path):
    photos = {name: photo[::-1, ::-1] for name, photo in photos_of(wall()).items()}
    folder = written(tmp_path, wall(), photos)
    path = folder / "images" / "0.png"
    path.write_bytes(path.read_bytes()[:-200])
    assert any("180" in line for line in doubts(load_capture(folder)))


def test_points_of_a_large_survey_are_seen_by_some_image_of_many():
    side = 40
    x, y = np.meshgrid(np.arange(side) * 10.0, np.arange(side) * 10.0)
    centres = np.stack([x.ravel(), y.ravel(), np.full(side**2, -40.0)], axis=1)
    straight = np.array([1.0, 0, 0, 0])
    images = [ColmapImage(i, straight, -centre, 1, f"{i}") for i, centre in enumerate(centres)]
    camera = ColmapCamera(1, "PINHOLE", 100, 100, (100.0, 100.0, 50.0, 50.0))
    points = np.random.default_rng(0).uniform(0, 10.0 * (side - 1), (3000, 3)) * [1, 1, 0]
    assert seen_share({1: camera}, images, points) == 1.0
    assert seen_share({1: camera}, images[: side**2 // 2], points) == pytest.approx(0.53, abs=0.05)


def test_what_is_masked_out_does_not_speak_against_a_capture(tmp_path: Path):
    photos = photos_of(wall())
    folder = written(tmp_path, wall(), photos)
    (folder / "masks").mkdir()
    counts = np.zeros(SIZE[::-1], np.uint8)
    counts[10:50, 15:85] = 255
    for name, photo in photos.items():
        cv2.imwrite(str(folder / "masks" / f"{name}.png"), counts)
        photo[counts == 0] = 0
        cv2.imwrite(str(folder / "images" / name), photo[..., ::-1])
    assert doubts(load_capture(folder)) == []
