"""COLMAP models that are not well-formed are repaired and say so, or are refused by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from colmap_files import Camera, ring, write_binary, write_text
from colmap_oracle import assert_same_as_pycolmap
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gaborsplat.scenes.colmap.reading import read_model
from gaborsplat.scenes.errors import InputError

FILES = ("cameras", "images", "points3D")
fuzz = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def edit(path: Path, change: Callable[[str], str]) -> None:
    """Rewrites a text file, keeping its line ends."""
    path.write_bytes(change(path.read_bytes().decode()).encode())


# What other programs write: peers' exporters and hand-edited files.


@pytest.mark.parametrize("name", ["a (1) x.jpg", "left/0001.jpg", "día 1/ä b.JPG", "0042"])
@pytest.mark.parametrize("write", [write_text, write_binary])
def test_names_keep_spaces_parentheses_and_folders(tmp_path: Path, write, name: str):
    model = ring()
    model.views[2].name = name
    read = read_model(write(model, tmp_path))
    assert read.images[2].name == name
    assert len(read.images) == 9
    assert not read.repairs


def test_carriage_returns_are_taken(tmp_path: Path):
    folder = write_text(ring(), tmp_path)
    for stem in FILES:
        edit(folder / f"{stem}.txt", lambda text: text.replace("\n", "\r\n"))
    model = read_model(folder)
    assert model.images[0].name == "0009.png"
    assert_same_as_pycolmap(model)


def test_exponents_of_three_digits_are_taken(tmp_path: Path):
    folder = write_text(ring(), tmp_path)
    edit(folder / "cameras.txt", lambda text: text.replace("60.0", "6.0e+001"))
    model = read_model(folder)
    assert model.cameras[3].params[0] == 60.0
    assert_same_as_pycolmap(model)


def test_a_byte_order_mark_is_ignored_and_reported(tmp_path: Path):
    folder = write_text(ring(), tmp_path)
    edit(folder / "images.txt", lambda text: "\ufeff" + text)
    model = read_model(folder)
    assert len(model.images) == 9
    assert model.repairs == [f"{folder / 'images.txt'}:1: ignored a byte-order mark"]


@pytest.mark.parametrize("spelling", ["-nan(ind)", "nan", "-1.#IND", "inf"])
def test_a_camera_that_is_not_a_number_goes_with_its_images_and_the_rest_stays(
    tmp_path: Path, spelling: str
):
    scene = ring()
    scene.cameras.append(Camera(4, "PINHOLE", (64, 48), (12345.0, 60.0, 32.0, 24.0)))
    scene.views[5].camera_id = 4
    folder = write_text(scene, tmp_path)
    edit(folder / "cameras.txt", lambda text: text.replace("12345.0", spelling))
    model = read_model(folder)
    assert set(model.cameras) == {3}
    assert len(model.images) == 8
    assert len(model.repairs) == 2
    assert "left out camera 4" in model.repairs[0]
    assert f"left out image {scene.views[5].image_id}" in model.repairs[1]


def test_images_without_a_points_line_are_all_kept_and_reported_with_their_line(tmp_path: Path):
    folder = write_text(ring(), tmp_path)
    edit(
        folder / "images.txt",
        lambda text: "\n".join(line for line in text.split("\n") if not line.startswith("10.5")),
    )
    model = read_model(folder)
    assert [image.image_id for image in model.images] == [90 - 10 * i for i in range(9)]
    (repair,) = model.repairs
    assert repair.startswith(f"{folder / 'images.txt'}:2: 9 of 9 images have no points line")


def test_a_points_line_missing_in_one_place_loses_no_image(tmp_path: Path):
    folder = write_text(ring(), tmp_path)
    lines = (folder / "images.txt").read_text().split("\n")
    del lines[4]  # comment, pose, points, pose, points
    (folder / "images.txt").write_text("\n".join(lines))
    model = read_model(folder)
    assert len(model.images) == 9
    assert "images.txt:4: 1 of 9 images have no points line" in model.repairs[0]


def test_images_that_saw_nothing_have_an_empty_line_and_need_no_repair(tmp_path: Path):
    folder = write_text(ring(points=0), tmp_path)
    edit(folder / "images.txt", lambda text: text.replace("10.5 20.25 -1", ""))
    model = read_model(folder)
    assert_same_as_pycolmap(model)
    assert not model.repairs


def test_a_missing_last_blank_line_does_not_lose_the_last_image(tmp_path: Path):
    folder = write_text(ring(points=0), tmp_path)
    edit(folder / "images.txt", lambda text: text.replace("10.5 20.25 -1", "").rstrip("\n"))
    model = read_model(folder)
    assert len(model.images) == 9
    assert "1 of 9 images have no points line" in model.repairs[0]


@pytest.mark.parametrize("write", [write_text, write_binary])
def test_missing_points_are_reported_and_the_rest_is_read(tmp_path: Path, write):
    folder = write(ring(), tmp_path)
    (points,) = folder.glob("points3D.*")
    points.unlink()
    model = read_model(folder)
    assert (len(model.images), len(model.points)) == (9, 0)
    assert model.repairs == [f"{points}: is missing; went on without points"]


@pytest.mark.parametrize("write", [write_text, write_binary])
def test_tracks_through_missing_images_are_reported(tmp_path: Path, write):
    scene = ring()
    scene.track.append(999)
    model = read_model(write(scene, tmp_path))
    assert len(model.points) == 50
    assert set(model.points.track_lengths) == {4}
    assert "ignored 50 observations in images that are not in the model" in model.repairs[0]
    assert "image 999" in model.repairs[0]


@pytest.mark.parametrize("write", [write_text, write_binary])
def test_an_image_of_a_missing_camera_is_left_out_and_named(tmp_path: Path, write):
    scene = ring()
    scene.views[1].camera_id = 77
    model = read_model(write(scene, tmp_path))
    assert len(model.images) == 8
    (repair,) = model.repairs
    assert "left out image 80 (0008.png): there is no usable camera 77" in repair


@pytest.mark.parametrize(
    ("qvec", "tvec", "reason"),
    [
        ([1, 0, 0, float("nan")], [0, 0, 4], "pose is not all numbers"),
        ([1, 0, 0, 0], [0, float("inf"), 4], "pose is not all numbers"),
        ([0, 0, 0, 0], [0, 0, 4], "zero quaternion"),
    ],
)
@pytest.mark.parametrize("write", [write_text, write_binary])
def test_an_impossible_pose_is_left_out_and_named(tmp_path: Path, write, qvec, tvec, reason: str):
    scene = ring()
    scene.views[0].qvec, scene.views[0].tvec = np.array(qvec, float), np.array(tvec, float)
    model = read_model(write(scene, tmp_path))
    assert len(model.images) == 8
    assert reason in model.repairs[0]


def test_of_two_images_with_one_name_the_first_is_kept(tmp_path: Path):
    scene = ring()
    scene.views[4].name = scene.views[0].name
    model = read_model(write_binary(scene, tmp_path))
    assert len(model.images) == 8
    assert "image 90 has the same name" in model.repairs[0]


@pytest.mark.parametrize(
    ("stem", "old", "new", "message"),
    [
        (
            "cameras",
            "PINHOLE",
            "MAGIC",
            r'cameras\.txt:2: camera 3 has model "MAGIC"; known are SI',
        ),
        ("cameras", "60.0 62.0", "60.0", r"cameras\.txt:2: camera 3 has 3 parameters; PINHOLE has"),
        ("cameras", " 64 ", " wide ", r'cameras\.txt:2: expected a number, found "wide"'),
        ("cameras", " 64 ", " 64.5 ", r'cameras\.txt:2: expected a whole number, found "64.5"'),
        ("cameras", " 64 48 60.0 62.0 32.0 25.0", "", r'cameras\.txt:2: expected "CAMERA_ID MODEL'),
        ("images", " 3 0009.png", "", r'images\.txt:2: expected "IMAGE_ID QW .* NAME", found "90'),
        ("images", " 3 0009.png", " x 0009.png", r'images\.txt:2: expected a number, found "x"'),
        ("points3D", " 0.5 90 1 80 1 70 1", "", r'points3D\.txt:2: expected "POINT3D_ID X Y Z'),
        ("points3D", " 0.5 90 ", " 0.5 90.5 ", r"points3D\.txt:2: expected a whole number"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, stem: str, old: str, new: str, message: str):
    folder = write_text(ring(), tmp_path)
    edit(folder / f"{stem}.txt", lambda text: text.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        read_model(folder)


def test_text_that_is_not_text_is_refused_with_its_line(tmp_path: Path):
    folder = write_text(ring(), tmp_path)
    data = (folder / "images.txt").read_bytes()
    (folder / "images.txt").write_bytes(data.replace(b"0008.png", b"\xff\xfe.png"))
    with pytest.raises(InputError, match=r"images\.txt:4: not UTF-8"):
        read_model(folder)


def test_a_name_that_is_not_text_is_refused_and_shown(tmp_path: Path):
    folder = write_binary(ring(), tmp_path)
    data = (folder / "images.bin").read_bytes()
    (folder / "images.bin").write_bytes(data.replace(b"0008.png", b"\xff\xfe08.png"))
    with pytest.raises(InputError, match=r"images\.bin: the name of image 2 of 9 is not UTF-8"):
        read_model(folder)


# Damaged binary files.


@pytest.mark.parametrize("stem", FILES)
@fuzz
@given(data=st.data())
def test_a_binary_file_cut_anywhere_is_refused_by_name(tmp_path: Path, stem: str, data):
    folder = write_binary(ring(points=6), tmp_path)
    path = folder / f"{stem}.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1), label="length")])
    with pytest.raises(InputError) as error:
        read_model(folder)
    assert str(error.value).startswith(f"{path}: cut short in ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("stem", FILES)
@fuzz
@given(data=st.data())
def test_flipped_bits_give_a_model_or_an_input_error(tmp_path: Path, stem: str, data):
    folder = write_binary(ring(points=6), tmp_path)
    path = folder / f"{stem}.bin"
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3), label="flips")):
        bit = data.draw(st.integers(0, 8 * len(raw) - 1), label="bit")
        raw[bit // 8] ^= 1 << bit % 8
    path.write_bytes(raw)
    try:
        model = read_model(folder)
    except InputError as error:
        assert str(folder) in str(error)
        return
    assert all(np.isfinite(image.centre).all() for image in model.images)
    assert all(image.camera_id in model.cameras for image in model.images)
    assert len(model.points.track_images) == model.points.track_lengths.sum()


def test_bytes_after_the_last_record_are_reported(tmp_path: Path):
    folder = write_binary(ring(), tmp_path)
    with (folder / "points3D.bin").open("ab") as file:
        file.write(b"more")
    assert read_model(folder).repairs == [
        f"{folder / 'points3D.bin'}: ignored 4 bytes after the last record"
    ]
