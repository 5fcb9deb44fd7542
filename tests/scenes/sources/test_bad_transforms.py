"""transforms.json that is wrong: a line that says where, or frames left out, never a traceback."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transforms_files as other
from colmap_files import ring, write_capture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gaborsplat.scenes import load_capture
from gaborsplat.scenes.errors import InputError
from gaborsplat.scenes.transforms.poses import quaternion

Document = dict[str, Any]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Document]:
    """A folder with photos, and the document that belongs there."""
    folder = tmp_path_factory.mktemp("sound")
    source = other.Source.of(write_capture(ring(5), folder / "reference"))
    return folder, other.write_nerfstudio(source, folder)


def load(sound: tuple[Path, Document], change: Callable[[Document], object]) -> Any:
    """The capture whose document `change` has changed."""
    folder, document = sound
    document = copy.deepcopy(document)
    change(document)
    other.write_document(folder, document)
    return load_capture(folder)


def refused(sound: tuple[Path, Document], change: Callable[[Document], object]) -> str:
    """The one line that it is refused with."""
    with pytest.raises(InputError) as error:
        load(sound, change)
    line = str(error.value)
    assert "\n" not in line
    assert "transforms.json" in line
    assert len(line) < 600
    return line


def put(place: str, value: Any) -> Callable[[Document], None]:
    """A change: `value` at a place such as "frames.2.file_path"."""

    def change(document: Any) -> None:
        *way, last = [int(key) if key.isdigit() else key for key in place.split(".")]
        for key in way:
            document = document[key]
        document[last] = value

    return change


def take(key: str) -> Callable[[Document], object]:
    """A change: without `key`."""
    return lambda document: document.pop(key)


def both(*changes: Callable[[Document], object]) -> Callable[[Document], object]:
    return lambda document: [change(document) for change in changes]


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (take("frames"), "has no frames"),
        (put("frames", []), "has no frames"),
        (put("frames", {"a": 1}), "frames must be a list, not an object of 1"),
        (put("frames", ["a"] * 9), "none of 9 frames can be used; frames[0] must be an object"),
        (both(take("fl_x"), take("fl_y")), "fl_x is missing, and so is camera_angle_x"),
        (put("fl_x", "1000"), 'fl_x must be a number, not "1000"'),
        (put("fl_x", True), "fl_x must be a number, not true"),
        (put("fl_x", math.nan), "fl_x must be a number below 1e+30, not NaN"),
        (put("fl_x", 10**400), "fl_x must be a number below 1e+30, not a whole number of very"),
        (put("fl_x", -5.0), "focal lengths -5"),
        (put("fl_x", 0), "focal lengths 0"),
        (put("w", 0), "w must be a whole number from 1"),
        (put("h", 48.5), "h must be a whole number from 1 to 1048576, not 48.5"),
        (put("camera_model", "FISHEYE624"), 'camera_model is "FISHEYE624"; known are PINHOLE,'),
        (put("camera_model", 3), "camera_model must be text, not 3"),
        (both(take("fl_x"), take("fl_y"), put("camera_angle_x", 190.0)), "between 0 and pi"),
        (put("train_filenames", [1]), "train_filenames must be a list of names"),
        (put("test_filenames", [f"images/000{i}.png" for i in range(1, 6)]), "none to train on"),
        (put("k4", 1e6), "k4 = 1e+06 bends the picture"),
    ],
)
def test_a_document_that_cannot_be_used_is_refused_by_its_key(
    sound: tuple[Path, Document], change: Callable[[Document], object], facts: str
):
    assert facts in refused(sound, change)


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", ":1: not JSON"),
        (b'{"frames": [\n{"a": }]}', ":2: not JSON"),
        (b"[1, 2]", "must be an object with frames, not a list of 2"),
        (b"null", "must be an object with frames"),
        (b"\xff\x00\x80", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"frames": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_what_is_not_json_is_refused(tmp_path: Path, content: bytes, fact: str):
    (tmp_path / "transforms.json").write_bytes(content)
    with pytest.raises(InputError) as error:
        load_capture(tmp_path)
    assert f"{tmp_path / 'transforms.json'}" in str(error.value)
    assert fact in str(error.value)
    assert "\n" not in str(error.value)


MIRROR = np.diag([1.0, 1.0, -1.0, 1.0]).tolist()
FLAT = np.diag([1.0, 1.0, 0.0, 1.0]).tolist()
TRANSPOSED = np.eye(4)
TRANSPOSED[3, :3] = 1, 2, 3


@pytest.mark.parametrize(
    ("place", "value", "fact"),
    [
        ("transform_matrix", MIRROR, "mirrors"),
        ("transform_matrix", FLAT, "stretches by 1, 1 and 0"),
        ("transform_matrix", np.zeros((4, 4)).tolist(), "last row 0 0 0 0"),
        ("transform_matrix", TRANSPOSED.tolist(), "perhaps it is transposed"),
        ("transform_matrix", [[1, 2], [3, 4]], "must have 4 x 4 or 3 x 4 numbers"),
        ("transform_matrix", [[math.inf] * 4] * 3, "below 1e+30"),
        ("transform_matrix", "eye", 'must be a list, not "eye"'),
        ("transform_matrix", None, "frames[2].transform_matrix is missing"),
        ("file_path", None, "frames[2].file_path is missing"),
        ("file_path", "", 'must be text, not ""'),
        ("file_path", "a\0b", "must be text"),
        ("file_path", 7, "must be text, not 7"),
        ("fl_x", [], "frames[2].fl_x must be a number, not a list of 0"),
        ("k1", "a", "frames[2].k1 must be a number"),
    ],
)
def test_a_frame_that_cannot_be_used_is_left_out_and_named(
    sound: tuple[Path, Document], place: str, value: object, fact: str
):
    capture = load(sound, put(f"frames.2.{place}", value))
    assert len(capture.views) == 4
    (line,) = [line for line in capture.repairs if "left out" in line]
    assert "left out 1 of 5 frames; frames[2]" in line
    assert fact in line


def test_a_photo_that_two_frames_have_is_taken_once(sound: tuple[Path, Document]):
    path = sound[1]["frames"][0]["file_path"]
    capture = load(sound, put("frames.1.file_path", f"./{path}"))
    assert len(capture.views) == 4
    assert any("which an earlier frame has" in line for line in capture.repairs)


def stretched(document: Document, factors: list[float]) -> None:
    for frame in document["frames"]:
        matrix = np.array(frame["transform_matrix"])
        matrix[:3, :3] *= factors
        frame["transform_matrix"] = matrix.tolist()


@pytest.mark.parametrize("factors", [[1.01, 1, 0.99], [3.0, 3.0, 3.0]])
def test_a_matrix_that_is_almost_a_rotation_becomes_one(
    sound: tuple[Path, Document], factors: list[float]
):
    intact = load(sound, lambda document: None)
    capture = load(sound, lambda document: stretched(document, factors))
    assert any("5 of 5 frames rotations" in line for line in capture.repairs)
    for one, two in zip(capture.views, intact.views, strict=True):
        np.testing.assert_allclose(
            one.camera.world_to_camera, two.camera.world_to_camera, atol=1e-5
        )


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (
            put("applied_transform", MIRROR),
            "left the scene in its frame; applied_transform mirrors",
        ),
        (put("applied_transform", 3), "applied_transform must be a list"),
        (put("applied_scale", -1), "applied_scale must be above 0"),
        (put("ply_file_path", "gone.ply"), "ply_file_path names gone.ply, which is not there"),
        (put("ply_file_path", 5), "ply_file_path must be text, not 5"),
    ],
)
def test_what_is_not_needed_is_passed_over_and_said(
    sound: tuple[Path, Document], change: Callable[[Document], object], fact: str
):
    capture = load(sound, change)
    assert len(capture.views) == 5
    assert any(fact in line for line in capture.repairs)


def test_a_cut_cloud_is_refused_with_its_file(sound: tuple[Path, Document]):
    (sound[0] / "cut.ply").write_bytes(b"ply\nformat ascii 1.0\n")
    with pytest.raises(InputError, match=r"cut\.ply: the PLY header is cut short"):
        load(sound, put("ply_file_path", "cut.ply"))


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_quaternions_give_their_rotation_back(values: list[float]):
    q = np.array(values) / np.linalg.norm(values)
    w, v = q[0], q[1:]
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    rotation = np.eye(3) + 2 * w * cross + 2 * cross @ cross
    found = quaternion(rotation)
    np.testing.assert_allclose(found * np.sign(found @ q), q, atol=1e-12)


# Fuzz.

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, -(10**40), 1e308, 5e-324, math.nan, math.inf, -0.0]),
    st.text(max_size=8),
    st.lists(st.floats(), max_size=5),
    st.lists(st.lists(st.floats(-2, 2), min_size=4, max_size=4), min_size=3, max_size=4),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)


def places(node: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in a document."""
    children = node.items() if isinstance(node, dict) else enumerate(node)
    found: list[tuple[Any, ...]] = []
    for key, child in children:
        found.append((*way, key))
        if isinstance(child, dict | list):
            found += places(child, (*way, key))
    return found


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=150,
)
@given(data=st.data())
def test_no_value_anywhere_ends_in_a_traceback(sound: tuple[Path, Document], data: st.DataObject):
    folder, document = sound
    document = copy.deepcopy(document)
    extra = data.draw(
        st.sampled_from(["k3", "k4", "applied_scale", "is_fisheye", "test_filenames"])
    )
    document[extra] = data.draw(ODD)
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(places(document)))
        node: Any = document
        for key in way:
            node = node[key]
        if data.draw(st.booleans()):
            node[last] = data.draw(ODD)
        else:
            del node[last]
        if not document:
            break
    other.write_document(folder, document)
    try:
        capture = load_capture(folder)
    except InputError as error:
        assert "\n" not in str(error)
        return
    for view in capture.views:
        assert view.camera.world_to_camera.isfinite().all()
        assert view.camera.intrinsics.isfinite().all()
    assert capture.points.isfinite().all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(data=st.data())
def test_no_damaged_byte_ends_in_a_traceback(sound: tuple[Path, Document], data: st.DataObject):
    folder, document = sound
    content = bytearray(json.dumps(document).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "transforms.json").write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        load_capture(folder)
    except InputError as error:
        assert "\n" not in str(error)
