"""COLMAP models as Metashape, RealityScan and scripts export them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from colmap_files import Camera, Model, ring, write_binary, write_text

from gaborsplat.scenes import load_capture
from gaborsplat.scenes.colmap.model import ColmapModel
from gaborsplat.scenes.colmap.reading import read_model


def rewritten(path: Path, lines: list[str], end: str = "\n") -> None:
    path.write_bytes("".join(line + end for line in lines).encode())


def poses(folder: Path) -> list[str]:
    """The lines of images.txt with a pose."""
    return (folder / "images.txt").read_text().splitlines()[1::2]


def assert_same(read: ColmapModel, model: Model) -> None:
    assert [image.name for image in read.images] == [view.name for view in model.views]
    for image, view in zip(read.images, model.views, strict=True):
        np.testing.assert_allclose(image.tvec, view.tvec)
        assert image.camera_id == view.camera_id
    assert set(read.cameras) == {camera.camera_id for camera in model.cameras}


@pytest.mark.parametrize("between", [[""], [], ["", ""], ["# a comment", ""], ["", "# a comment"]])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_images_without_2d_points_are_all_read(tmp_path: Path, between: list[str], end: str):
    folder = write_text(ring(), tmp_path)
    lines = ["# Image list", "", "#"]
    for pose in poses(folder):
        lines += [pose, *between]
    rewritten(folder / "images.txt", lines, end)
    assert_same(read_model(folder), ring())


def test_points_after_an_empty_line_are_no_images(tmp_path: Path):
    """Written by joining lines with an empty one between each."""
    folder = write_text(ring(), tmp_path)
    lines = (folder / "images.txt").read_text().splitlines()
    rewritten(folder / "images.txt", [part for line in lines for part in (line, "")])
    read = read_model(folder)
    assert_same(read, ring())
    assert any("9 lists of 2D points follow an empty line" in line for line in read.repairs)


@pytest.mark.parametrize("write", [write_text, write_binary])
def test_every_photo_may_have_a_camera_with_any_id(tmp_path: Path, write):
    model = ring()
    sizes, params = model.cameras[0].size, model.cameras[0].params
    ids = [0, 7, 4_000_000_000, 3, 12, 99, 5, 6, 2]
    model.cameras = [Camera(i, "PINHOLE", sizes, (*params[:2], 32.0, 20.0 + i % 7)) for i in ids]
    for view, camera_id in zip(model.views, ids, strict=True):
        view.camera_id = camera_id
    read = read_model(write(model, tmp_path))
    assert_same(read, model)
    assert not read.repairs


def test_blank_lines_comments_and_small_letters_in_the_other_files(tmp_path: Path):
    folder = write_text(ring(), tmp_path)
    for stem in ("cameras", "points3D"):
        lines = (folder / f"{stem}.txt").read_text().splitlines()
        rewritten(folder / f"{stem}.txt", [part for line in lines for part in ("", line, "  # x")])
    text = (folder / "cameras.txt").read_text()
    (folder / "cameras.txt").write_text(text.replace("PINHOLE", "Pinhole"))
    read = read_model(folder)
    assert_same(read, ring())
    assert read.cameras[3].model == "PINHOLE"
    assert len(read.points) == 50


def test_points_without_tracks_or_points_at_all_are_taken(tmp_path: Path):
    model = ring()
    model.track = []
    assert len(read_model(write_text(model, tmp_path / "a")).points) == 50
    for name in ("b", "c"):
        write_text(model, tmp_path / name)
    (tmp_path / "b/points3D.txt").unlink()
    (tmp_path / "c/points3D.txt").write_text("# 3D point list\n")
    assert not len(read_model(tmp_path / "b").points)
    assert not len(read_model(tmp_path / "c").points)


def test_a_real_model_as_text_without_2d_points_is_the_same(shared_data: Path, tmp_path: Path):
    source = shared_data / "lund_door"
    (tmp_path / "images").symlink_to(source / "images")
    for name in ("cameras", "points3D"):
        text = (source / "sparse_txt/0" / f"{name}.txt").read_text()
        (tmp_path / f"{name}.txt").write_text(text)
    lines = (source / "sparse_txt/0/images.txt").read_text().splitlines()
    header = [line for line in lines if line.startswith("#")]
    rewritten(tmp_path / "images.txt", [*header, *lines[len(header) :: 2]])
    one, two = load_capture(tmp_path, max_size=100), load_capture(source, max_size=100)
    assert [view.name for view in one.views] == [view.name for view in two.views]
    for a, b in zip(one.views, two.views, strict=True):
        np.testing.assert_allclose(a.camera.world_to_camera, b.camera.world_to_camera, atol=1e-5)
