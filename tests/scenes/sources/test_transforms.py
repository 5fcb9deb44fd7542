"""transforms.json: the same scene as from COLMAP, whoever wrote it."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import transforms_files as other
from colmap_files import Camera, Model, ring, write_capture

import gaborsplat as gs
from gaborsplat.scenes import demo_path, load_capture
from gaborsplat.scenes.capture import Capture


def centred(count: int = 9) -> Model:
    """The ring with square pixels and the axis in the middle, as Blender renders."""
    model = ring(count)
    model.cameras = [Camera(3, "SIMPLE_PINHOLE", (64, 48), (60.0, 32.0, 24.0))]
    return model


def source_of(model: Model, folder: Path) -> other.Source:
    """`model` as a COLMAP capture in `folder`."""
    return other.Source.of(write_capture(model, folder))


def edited(folder: Path, **changes: Any) -> Path:
    """The document in `folder` with other values; those that are None are taken out."""
    path = folder / "transforms.json"
    document = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in document.items() if v is not None}))
    return folder


def assert_same_cameras(one: Capture, two: Capture) -> None:
    """Both have the same photos from the same places, to 1e-5."""
    views = {Path(view.name).stem: view for view in two.views}
    assert {Path(view.name).stem for view in one.views} == set(views)
    for view in one.views:
        pair = (view.camera, views[Path(view.name).stem].camera)
        assert pair[0].size == pair[1].size
        for field in ("world_to_camera", "intrinsics"):
            a, b = (getattr(camera, field) for camera in pair)
            scale = max(1.0, float(a.abs().max())) if field == "intrinsics" else 1.0
            torch.testing.assert_close(a / scale, b / scale, rtol=0, atol=1e-5)
        image = views[Path(view.name).stem].image()
        torch.testing.assert_close(view.image().float(), image.float(), rtol=0, atol=1)


# The conventions of each maker.


def test_nerfstudio_gives_the_cameras_points_and_photos_of_colmap(tmp_path: Path):
    other.write_nerfstudio(other.Source.of(demo_path()), tmp_path)
    capture, colmap = load_capture(tmp_path), load_capture(demo_path())
    assert_same_cameras(capture, colmap)
    torch.testing.assert_close(capture.points, colmap.points, rtol=0, atol=1e-5)
    torch.testing.assert_close(capture.point_colors, colmap.point_colors)
    assert [Path(v.name).name for v in capture.test] == [v.name for v in colmap.test]
    assert len(capture.repairs) == 1
    assert "undid its applied_transform" in capture.repairs[0]


def test_instant_ngp_gives_the_cameras_of_colmap_in_its_own_world(tmp_path: Path):
    turn, scale = other.write_instant_ngp(other.Source.of(demo_path()), tmp_path)
    capture, colmap = load_capture(tmp_path), load_capture(demo_path())
    assert len(capture.views) == 12
    for view, expected in zip(capture.views, colmap.views, strict=True):
        pose = view.camera.world_to_camera.double().numpy()
        back = expected.camera.world_to_camera.double().numpy()
        np.testing.assert_allclose(pose[:3, :3] @ turn[:3, :3], back[:3, :3], atol=1e-5)
        centre = -pose[:3, :3].T @ pose[:3, 3] / scale
        np.testing.assert_allclose(
            centre, turn[:3, :3] @ (-back[:3, :3].T @ back[:3, 3]) + turn[:3, 3], atol=1e-5
        )
        np.testing.assert_allclose(view.camera.intrinsics, expected.camera.intrinsics, rtol=1e-6)
    assert capture.points.shape == (0, 3)
    assert any("went on without points" in line for line in capture.repairs)


def test_blender_sets_bring_their_own_split(tmp_path: Path):
    source = source_of(centred(), tmp_path / "reference")
    other.write_blender(source, tmp_path / "blender", {"0002.png", "0005.png"})
    capture = load_capture(tmp_path / "blender")
    assert [view.name for view in capture.test] == ["test/0002.png", "test/0005.png"]
    assert len(capture.train) == 7
    assert not {view.name for view in capture.train} & {view.name for view in capture.test}
    assert_same_cameras(capture, load_capture(tmp_path / "reference"))


def test_a_blender_set_that_is_all_to_train_on_is_split_like_any_other(tmp_path: Path):
    source = source_of(centred(), tmp_path / "reference")
    other.write_blender(source, tmp_path, set())
    (tmp_path / "transforms_test.json").unlink()
    capture = load_capture(tmp_path)
    assert [view.name for view in capture.test] == ["train/0001.png", "train/0009.png"]


def test_a_blender_set_whose_test_photos_are_gone_is_split_like_any_other(tmp_path: Path):
    source = source_of(centred(), tmp_path / "reference")
    other.write_blender(source, tmp_path, {"0002.png", "0005.png"})
    shutil.rmtree(tmp_path / "test")
    capture = load_capture(tmp_path)
    assert [view.name for view in capture.test] == ["train/0001.png"]
    assert any("tests on every 8th photo" in line for line in capture.repairs)


def test_photos_with_alpha_are_read(tmp_path: Path):
    source = source_of(centred(), tmp_path / "reference")
    other.write_blender(source, tmp_path / "blender", {"0002.png"})
    for path in (tmp_path / "blender").rglob("*.png"):
        photo = cv2.imread(str(path))
        assert photo is not None
        cv2.imwrite(str(path), np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)]))
    assert_same_cameras(load_capture(tmp_path / "blender"), load_capture(tmp_path / "reference"))


def short_run(capture: Capture) -> float:
    """PSNR on the test views after a few steps."""
    config = gs.TrainConfig(steps=40, gabor=0, max_splats=12_000)
    psnr = gs.train(capture, config, device="cpu").evaluation.psnr
    assert psnr is not None
    return psnr


@pytest.mark.slow
def test_training_on_either_ends_within_0_3_db(tmp_path: Path):
    source = other.Source.of(demo_path())
    other.write_nerfstudio(source, tmp_path / "nerfstudio")
    other.write_instant_ngp(source, tmp_path / "ngp")
    shutil.copytree(demo_path(), tmp_path / "bare")
    (tmp_path / "bare/sparse/0/points3D.bin").unlink()
    psnr = {
        name: short_run(load_capture(folder, max_size=120))
        for name, folder in (
            ("colmap", demo_path()),
            ("nerfstudio", tmp_path / "nerfstudio"),
            ("without points", tmp_path / "bare"),
            ("instant-ngp", tmp_path / "ngp"),
        )
    }
    assert psnr["nerfstudio"] == pytest.approx(psnr["colmap"], abs=0.3)
    assert psnr["instant-ngp"] == pytest.approx(psnr["without points"], abs=0.3)
    assert psnr["colmap"] > 15


# Cameras.


@pytest.mark.parametrize(
    ("model", "params", "name"),
    [
        ("PINHOLE", (60.0, 62.0, 31.0, 25.0), "OPENCV"),
        ("SIMPLE_RADIAL", (60.0, 31.0, 25.0, 0.02), "OPENCV"),
        ("OPENCV", (60.0, 62.0, 31.0, 25.0, 0.03, -0.01, 0.002, -0.001), "OPENCV"),
        ("OPENCV_FISHEYE", (60.0, 62.0, 31.0, 25.0, 0.03, -0.01, 0.002, -0.001), "OPENCV_FISHEYE"),
    ],
)
def test_lenses_are_those_of_colmap(
    tmp_path: Path, model: str, params: tuple[float, ...], name: str
):
    scene = ring()
    scene.cameras = [Camera(3, model, (64, 48), params)]
    other.write_nerfstudio(source_of(scene, tmp_path / "reference"), tmp_path / "ns")
    capture = load_capture(edited(tmp_path / "ns", camera_model=name))
    colmap = load_capture(tmp_path / "reference")
    assert_same_cameras(capture, colmap)
    for one, two in zip(capture.views, colmap.views, strict=True):
        masks = (one.mask(), two.mask())
        assert (masks[0] is None) == (masks[1] is None)
        assert masks[0] is None or torch.equal(masks[0], masks[1])


def test_a_lens_with_a_fourth_radial_term_bends_as_its_polynomial(tmp_path: Path):
    other.write_nerfstudio(source_of(ring(), tmp_path / "reference"), tmp_path)
    k = (0.1, -0.2, 0.08, -0.03)
    keys = dict(zip(("k1", "k2", "k3", "k4"), k, strict=True))
    lens = load_capture(edited(tmp_path, **keys)).views[0].photo.lens
    radius = np.linspace(0, 0.65, 50)  # out to the corners, at depth 1
    square = radius**2
    bent = (lens.project(radius, 0 * radius, 1 + 0 * radius)[0] - lens.centre[0]) / lens.focal[0]
    polynomial = 1 + sum(c * square ** (i + 1) for i, c in enumerate(k))
    np.testing.assert_allclose(bent, radius * polynomial, atol=0.1 / 60)


def test_every_frame_may_have_its_own_camera(tmp_path: Path):
    other.write_nerfstudio(source_of(ring(), tmp_path / "reference"), tmp_path)
    frames = json.loads((tmp_path / "transforms.json").read_text())["frames"]
    for i, frame in enumerate(frames):
        frame |= {"fl_x": 50.0 + i, "fl_y": 51.0 + i, "cx": 30.0}
    capture = load_capture(edited(tmp_path, frames=frames, fl_x=None, fl_y=None))
    by_name = {frame["file_path"]: frame for frame in frames}
    for view in capture.views:
        k = view.camera.intrinsics
        assert float(k[0, 0]) == by_name[view.name]["fl_x"]
        assert float(k[1, 1]) == by_name[view.name]["fl_y"]
        assert float(k[0, 2]) == 30.0
        assert float(k[1, 2]) == 25.0  # that of all


def test_what_is_not_stated_comes_from_the_photo(tmp_path: Path):
    other.write_nerfstudio(source_of(ring(), tmp_path / "reference"), tmp_path)
    keys = dict.fromkeys(("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_model"))
    view = load_capture(edited(tmp_path, camera_angle_x=math.pi / 2, **keys)).views[0]
    assert view.camera.size == (64, 48)
    np.testing.assert_allclose(
        view.camera.intrinsics, [[32, 0, 32], [0, 32, 24], [0, 0, 1]], atol=1e-5
    )


def test_smaller_photos_than_stated_scale_the_camera(tmp_path: Path):
    other.write_nerfstudio(source_of(ring(), tmp_path / "reference"), tmp_path)
    for path in (tmp_path / "images").iterdir():
        small = tmp_path / "images_2" / path.name
        small.parent.mkdir(exist_ok=True)
        photo = cv2.imread(str(path))
        assert photo is not None
        cv2.imwrite(str(small), cv2.resize(photo, (32, 24)))
    view = load_capture(tmp_path, images="images_2").views[0]
    assert view.camera.size == (32, 24)
    np.testing.assert_allclose(view.camera.intrinsics[0, 0], 30.0)


# Names, splits and files.


@pytest.mark.parametrize("style", ["./images/{}", "images\\{}", "{root}/images/{}", " images//{}"])
def test_photos_are_found_however_their_path_is_written(tmp_path: Path, style: str):
    other.write_nerfstudio(source_of(ring(), tmp_path / "reference"), tmp_path)
    frames = json.loads((tmp_path / "transforms.json").read_text())["frames"]
    for frame in frames:
        frame["file_path"] = style.format(Path(frame["file_path"]).name, root=tmp_path)
    capture = load_capture(edited(tmp_path, frames=frames))
    assert capture.views[0].name == "images/0001.png"
    assert_same_cameras(capture, load_capture(tmp_path / "reference"))


def test_lists_of_names_decide_what_is_tested_on(tmp_path: Path):
    other.write_nerfstudio(source_of(ring(), tmp_path / "reference"), tmp_path)
    names = [f"images/000{i}.png" for i in range(1, 10)]
    lists: dict[str, Any] = {"train_filenames": names[:5], "val_filenames": names[5:7]}
    capture = load_capture(edited(tmp_path, **lists))
    assert [view.name for view in capture.train] == names[:5]
    assert [view.name for view in capture.test] == names[5:7]
    assert any("left out 2 of 9 frames that are neither" in line for line in capture.repairs)
    capture = load_capture(edited(tmp_path, test_filenames=names[8:]))
    assert [view.name for view in capture.test] == names[8:]
    assert len(capture.views) == 6


def test_colmap_goes_first_and_the_file_itself_can_be_named(tmp_path: Path):
    source = source_of(ring(), tmp_path / "scene")
    other.write_nerfstudio(source, tmp_path / "scene")
    capture = load_capture(tmp_path / "scene")
    assert capture.model.files[0].name == "cameras.bin"
    assert len(capture.repairs) == 1
    assert "transforms.json: is not used" in capture.repairs[0]
    named = load_capture(tmp_path / "scene" / "transforms.json")
    assert named.name == capture.name == "scene"
    assert named.model.files[0].name == "transforms.json"
    assert_same_cameras(named, capture)


def test_the_digest_follows_the_document_and_its_points(tmp_path: Path):
    other.write_nerfstudio(source_of(ring(), tmp_path / "reference"), tmp_path)
    digests = {load_capture(tmp_path).digest()}
    with (tmp_path / "sparse_pc.ply").open("a") as file:
        file.write("\n")
    digests.add(load_capture(tmp_path).digest())
    digests.add(load_capture(edited(tmp_path, cx=30.0)).digest())
    assert len(digests) == 3


def test_points_that_the_applied_transform_left_alone_are_left_alone(tmp_path: Path):
    """Early nerfstudio wrote them in COLMAP's world, beside cameras in its own."""
    source = other.Source.of(demo_path())
    other.write_nerfstudio(source, tmp_path)
    source.write_ply(tmp_path / "sparse_pc.ply", np.eye(4))
    capture, colmap = load_capture(tmp_path), load_capture(demo_path())
    torch.testing.assert_close(capture.points, colmap.points, rtol=0, atol=1e-5)
    assert any("had not been applied to these points" in line for line in capture.repairs)


def test_masks_that_frames_name_are_used(tmp_path: Path):
    other.write_nerfstudio(source_of(ring(), tmp_path / "reference"), tmp_path)
    frames = json.loads((tmp_path / "transforms.json").read_text())["frames"]
    (tmp_path / "seg").mkdir()
    counts = np.zeros((48, 64), np.uint8)
    counts[10:20] = 255
    for index, frame in enumerate(frames[:4]):
        frame["mask_path"] = f"./seg/{index}.png"
        if index:
            cv2.imwrite(str(tmp_path / "seg" / f"{index}.png"), counts)
    capture = load_capture(edited(tmp_path, frames=frames))
    masks = [view.mask() for view in capture.views]
    found = [mask for mask in masks if mask is not None]
    assert len(found) == 3
    assert all(np.array_equal(mask.numpy(), counts > 0) for mask in found)
    assert any(line.startswith("1 masks that ") and "seg/0.png" in line for line in capture.repairs)
    assert any(line.startswith("masks of 3 of 9 photos") for line in capture.repairs)


def test_alpha_channels_of_a_synthetic_set_are_transparent(tmp_path: Path):
    source = source_of(ring(), tmp_path / "reference")
    for path in (source.folder / "images").iterdir():
        colors = cv2.imread(str(path))
        cv2.imwrite(str(path), np.dstack([colors, np.tile(np.arange(64, dtype=np.uint8), (48, 1))]))
    other.write_nerfstudio(source, tmp_path)
    capture = load_capture(tmp_path / "transforms.json")
    assert all(view.transparent and view.mask() is None for view in capture.views)
    assert any("is empty" in line for line in capture.repairs)
    ignoring = load_capture(tmp_path / "transforms.json", mask_mode="ignore")
    assert not any(view.transparent for view in ignoring.views)
