"""COLMAP models: found where people put them, and read as COLMAP reads them."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from colmap_files import ring, write_binary, write_text
from colmap_oracle import assert_same_as_pycolmap

from gaborsplat.scenes.colmap.camera_models import MODEL_NAMES, PARAMETER_COUNTS
from gaborsplat.scenes.colmap.reading import find_model, read_model
from gaborsplat.scenes.errors import InputError


@pytest.mark.parametrize("write", [write_text, write_binary])
def test_a_well_formed_model_reads_as_colmap_reads_it(tmp_path: Path, write):
    model = read_model(write(ring(), tmp_path / "model"))
    assert not model.repairs
    assert len(model.points) == 50
    assert_same_as_pycolmap(model)


@pytest.mark.parametrize(
    "name",
    [
        "fox/sparse/0",
        "fox_opencv/sparse/0",
        "lund_door/sparse/0",
        "lund_door/sparse_txt/0",
        "colmap_models/multicam_bin",
        "colmap_models/multicam_txt",
    ],
)
def test_real_models_read_as_colmap_reads_them(shared_data: Path, name: str):
    model = read_model(shared_data / name)
    assert not model.repairs
    assert_same_as_pycolmap(model)


def test_ids_out_of_name_order_and_cameras_without_a_last_line_end_read(shared_data: Path):
    model = read_model(shared_data / "colmap_models" / "unsorted_txt")
    assert [image.name for image in model.images] == ["bbb.jpg", "ccc.jpg", "aaa.jpg"]
    assert model.cameras[3].params == (600, 512, 384, 0.002)
    assert not model.repairs


def test_the_pose_of_an_image_maps_the_world_to_the_camera(tmp_path: Path):
    model = read_model(write_text(ring(), tmp_path))
    for image in model.images:
        assert np.linalg.norm(image.centre) == pytest.approx(4.0 * np.hypot(1.0, 0.2))
        # All cameras look at the origin, which lies in front of them on the axis.
        np.testing.assert_allclose(image.tvec / np.linalg.norm(image.tvec), [0, 0, 1], atol=1e-12)


# Camera models.


def test_all_camera_models_are_known_as_colmap_knows_them():
    for model_id, name in enumerate(MODEL_NAMES):
        camera = pycolmap.Camera.create_from_model_id(
            1, pycolmap.CameraModelId(model_id), 100.0, 64, 48
        )
        assert (camera.model.name, len(camera.params)) == (name, PARAMETER_COUNTS[name])
    with pytest.raises(ValueError, match="model_id"):
        pycolmap.Camera.create_from_model_id(
            1, pycolmap.CameraModelId(len(MODEL_NAMES)), 100.0, 64, 48
        )


def test_no_camera_model_makes_the_reader_lose_its_place(tmp_path: Path):
    folder = write_binary(ring(), tmp_path)
    data = struct.pack("<Q", len(MODEL_NAMES))
    for model_id, name in enumerate(MODEL_NAMES):
        data += struct.pack("<IiQQ", 100 + model_id, model_id, 64, 48)
        data += struct.pack(f"<{PARAMETER_COUNTS[name]}d", *range(PARAMETER_COUNTS[name]))
    (folder / "cameras.bin").write_bytes(data)
    cameras = read_model(folder).cameras
    assert [cameras[100 + i].model for i in range(18)] == list(MODEL_NAMES)
    assert all(c.params == tuple(range(len(c.params))) for c in cameras.values())


def test_an_unknown_model_id_is_named_with_its_camera(tmp_path: Path):
    folder = write_binary(ring(), tmp_path)
    data = bytearray((folder / "cameras.bin").read_bytes())
    data[12:16] = struct.pack("<i", 42)
    (folder / "cameras.bin").write_bytes(data)
    with pytest.raises(InputError) as error:
        read_model(folder)
    path = folder / "cameras.bin"
    assert str(error.value) == f"{path}: camera 3 has model id 42; known are 0-17"


def test_many_points_read_in_well_under_a_second(tmp_path: Path):
    folder = write_binary(ring(points=11_000), tmp_path)
    start = time.perf_counter()
    assert len(read_model(folder).points) == 11_000
    assert time.perf_counter() - start < 0.5


# Finding the model.


@pytest.mark.parametrize("place", ["sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse", "."])
def test_a_model_is_found_where_people_put_it(tmp_path: Path, place: str):
    write_binary(ring(), tmp_path / place)
    repairs: list[str] = []
    assert find_model(tmp_path, repairs).resolve() == (tmp_path / place).resolve()
    assert not repairs


@pytest.mark.parametrize("write", [write_text, write_binary])
def test_of_several_models_the_one_with_most_images_is_taken(tmp_path: Path, write):
    for index, count in ((0, 4), (1, 12), (2, 5), (10, 3)):
        write(ring(count), tmp_path / "sparse" / str(index))
    repairs: list[str] = []
    folder = find_model(tmp_path, repairs)
    assert folder == tmp_path / "sparse" / "1"
    assert len(read_model(folder).images) == 12
    assert repairs == [
        f"{folder}: took this one of 4 separate models, with 12 images (0 has 4, 2 has 5, 10 has 3)"
    ]


def test_binary_is_preferred_to_text(tmp_path: Path):
    write_text(ring(5), tmp_path)
    write_binary(ring(7), tmp_path)
    assert len(read_model(tmp_path).images) == 7


def test_rigs_and_frames_are_not_needed(shared_data: Path):
    binary = read_model(shared_data / "colmap_models" / "multicam_bin")
    text = read_model(shared_data / "colmap_models" / "multicam_txt")
    assert {i.name: i.camera_id for i in binary.images} == {
        i.name: i.camera_id for i in text.images
    }
    assert binary.cameras == text.cameras


def test_a_folder_without_a_model_is_refused_with_what_was_looked_for(tmp_path: Path):
    (tmp_path / "sparse").mkdir()
    (tmp_path / "sparse" / "cameras.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"no COLMAP model: .* sparse/0, sparse, colmap/sparse/0"):
        find_model(tmp_path, [])
    with pytest.raises(InputError, match="no COLMAP model"):
        read_model(tmp_path / "sparse")
