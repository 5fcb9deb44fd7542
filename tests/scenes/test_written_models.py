"""Sparse models that are written, read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from colmap_files import ring, write_capture, write_photos

from gaborsplat.scenes import load_capture, read_model, write_model
from gaborsplat.scenes.colmap.model import rotation_matrix


@pytest.mark.parametrize("far", [0.0, 5e6])
def test_a_written_model_is_read_as_the_capture_it_was_written_of(tmp_path: Path, far: float):
    model = ring()
    place = np.array([far, -far, far / 3])
    for view in model.views:
        view.tvec = view.tvec - rotation_matrix(view.qvec) @ place
    model.xyz = model.xyz + place
    capture = load_capture(write_capture(model, tmp_path / "capture"))
    assert bool(capture.origin.any()) is bool(far)
    folder = tmp_path / "refined" / "sparse" / "0"
    views = [(view.name, view.camera) for view in capture.views]
    write_model(folder, views, capture.points, capture.point_colors, capture.origin)
    write_photos(model, tmp_path / "refined" / "images")

    read = read_model(folder)
    assert not read.repairs
    assert len(read.cameras) == 1
    found = load_capture(tmp_path / "refined")
    assert [view.name for view in found.views] == [view.name for view in capture.views]
    assert torch.equal(found.point_colors, capture.point_colors)
    shift = (capture.origin - found.origin).float()
    torch.testing.assert_close(found.points, capture.points + shift, rtol=0, atol=1e-5)
    for view, written in zip(found.views, capture.views, strict=True):
        assert view.camera.size == written.camera.size
        assert torch.equal(view.camera.intrinsics, written.camera.intrinsics)
        position = written.camera.position + shift
        torch.testing.assert_close(view.camera.position, position, rtol=0, atol=1e-5)
        turns = [each.camera.world_to_camera[:3, :3] for each in (view, written)]
        torch.testing.assert_close(*turns, rtol=0, atol=1e-6)


def test_cameras_that_differ_are_written_apart(tmp_path: Path):
    capture = load_capture(write_capture(ring(), tmp_path / "capture"))
    smaller = capture.views[0].camera.resized((32, 24))
    views = [("a b.png", smaller), ("c.png", capture.views[1].camera), ("d.png", smaller)]
    write_model(tmp_path, views, capture.points[:0], capture.point_colors[:0], capture.origin)
    read = read_model(tmp_path)
    assert [image.name for image in read.images] == ["a b.png", "c.png", "d.png"]
    assert [image.camera_id for image in read.images] == [1, 2, 1]
    assert (read.cameras[1].width, read.cameras[2].width) == (32, 64)
    assert len(read.points) == 0
