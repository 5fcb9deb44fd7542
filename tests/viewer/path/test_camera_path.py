"""Camera paths: the motion between keyframes, and their files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from viser import transforms

from gaborsplat import camera_path
from gaborsplat.scenes import InputError
from gaborsplat.viewer.camera import camera_at, camera_to_world, vertical_fov
from gaborsplat.viewer.path.file import (
    KEPT_FRAMES,
    MAX_KEYFRAMES,
    Placement,
    film_from_json,
    path_from_json,
    path_to_json,
)
from gaborsplat.viewer.path.path import MAX_FRAMES, MAX_SPEED, MIN_SECONDS, CameraPath, Keyframe
from gaborsplat.viewer.settings import Pose

CANVAS = (64, 48)
ORIGIN = (100.0, -20.0, 3.0)
PLACEMENT = Placement(ORIGIN)
ROUNDING = 1e-9  # of sums and products of numbers around 10, in float64
STEP = 1e-5  # of a finite difference [s]

UNIT = (1.0, 0.0, 0.0, 0.0)


def turned(x: float, y: float, z: float) -> tuple[float, float, float, float]:
    """The quaternion of a rotation vector."""
    w, i, j, k = transforms.SO3.exp(np.array([x, y, z], float)).wxyz.tolist()
    return w, i, j, k


COORDINATES = st.floats(-10, 10)
ROTATIONS = st.builds(turned, *[st.floats(-3, 3)] * 3)
KEYFRAMES = st.builds(
    Keyframe,
    wxyz=ROTATIONS,
    position=st.tuples(COORDINATES, COORDINATES, COORDINATES),
    fov=st.floats(0.1, 3.0),
    seconds=st.floats(0.1, 5.0),
)
PATHS = st.builds(
    CameraPath,
    keyframes=st.lists(KEYFRAMES, min_size=1, max_size=6).map(tuple),
    fps=st.integers(1, 60),
    loop=st.booleans(),
)


def times(path: CameraPath) -> list[float]:
    """When the path is at each keyframe."""
    return np.cumsum([0.0, *(each.seconds for each in path.keyframes[:-1])]).tolist()


def angle(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Between two rotations [radians]."""
    between = transforms.SO3(np.array(a)).inverse() @ transforms.SO3(np.array(b))
    return float(np.linalg.norm(between.log()))


def at_positions(*xs: float, loop: bool = False) -> CameraPath:
    """A path along the x axis, a second from each keyframe to the next."""
    return CameraPath(tuple(Keyframe(UNIT, (x, 0.0, 0.0), 1.0, 1.0) for x in xs), 30, loop)


@given(PATHS)
def test_a_path_passes_its_keyframes(path: CameraPath) -> None:
    for keyframe, time in zip(path.keyframes, times(path), strict=True):
        pose = path.pose_at(time, CANVAS)
        assert pose.canvas == CANVAS
        assert pose.position == pytest.approx(keyframe.position, abs=ROUNDING)
        assert pose.fov == pytest.approx(keyframe.fov, abs=ROUNDING)
        # The angle of a rotation by almost nothing is the root of what rounding leaves.
        assert angle(pose.wxyz, keyframe.wxyz) < math.sqrt(ROUNDING)


@given(PATHS)
def test_velocities_are_continuous(path: CameraPath) -> None:
    # A loop has its seam at its beginning too.
    inner = times(path) if path.loop else times(path)[1:-1]
    for time in inner:
        before, here, after = (path.pose_at(time + d, CANVAS) for d in (-STEP, 0, STEP))
        positions = np.array([before.position, here.position, after.position])
        jump = np.diff(positions, 2, axis=0) / STEP
        # Speeds are below 1.5 * 35 / 0.1, accelerations below 6 times that a tenth of a second.
        assert np.abs(jump).max() < 0.5
        a, b, c = (transforms.SO3(np.array(pose.wxyz)) for pose in (before, here, after))
        turns = [(x.inverse() @ y).log() / STEP for x, y in ((a, b), (b, c))]
        assert np.abs(turns[1] - turns[0]).max() < 0.1


@given(PATHS)
def test_every_pose_can_be_rendered(path: CameraPath) -> None:
    for pose in path.poses(CANVAS):
        assert 0 < pose.fov < math.pi
        assert math.hypot(*pose.wxyz) == pytest.approx(1)
        assert np.isfinite(pose.position).all()


@given(PATHS, st.lists(st.booleans(), min_size=6, max_size=6))
def test_a_quaternion_and_its_negative_are_the_same(path: CameraPath, flips: list[bool]) -> None:
    keyframes: list[Keyframe] = []
    for keyframe, flip in zip(path.keyframes, flips, strict=False):
        w, x, y, z = keyframe.wxyz
        wxyz = (-w, -x, -y, -z) if flip else keyframe.wxyz
        keyframes.append(Keyframe(wxyz, keyframe.position, keyframe.fov, keyframe.seconds))
    flipped = CameraPath(tuple(keyframes), path.fps, path.loop)
    pairs = list(zip(path.poses(CANVAS), flipped.poses(CANVAS), strict=True))
    for one, other in pairs[:: max(1, len(pairs) // 20)]:
        assert angle(one.wxyz, other.wxyz) < math.sqrt(ROUNDING)


def test_two_keyframes_are_joined_at_constant_speed() -> None:
    start, end = Keyframe(UNIT, (0, 0, 0), 1.0, 2.0), Keyframe(turned(0, 1, 0), (4, 0, 2), 0.5)
    poses = CameraPath((start, end), fps=10).poses(CANVAS)
    assert len(poses) == 21
    for k, pose in enumerate(poses):
        assert pose.position == pytest.approx((4 * k / 20, 0, 2 * k / 20))
        focal = math.tan(0.5) ** (1 - k / 20) * math.tan(0.25) ** (k / 20)
        assert math.tan(pose.fov / 2) == pytest.approx(focal)
        assert angle(pose.wxyz, turned(0, k / 20, 0)) < math.sqrt(ROUNDING)


def test_keyframes_at_even_distances_are_passed_at_constant_speed() -> None:
    xs = [pose.position[0] for pose in at_positions(0, 1, 2, 3, 4).poses(CANVAS)]
    assert np.diff(xs) == pytest.approx(1 / 30)


def test_a_pause_stays_a_pause() -> None:
    path = at_positions(0, 5, 5, 9)
    for time in np.linspace(1, 2, 11):
        assert path.pose_at(float(time), CANVAS).position == pytest.approx((5, 0, 0))


def test_a_straight_way_never_goes_back() -> None:
    xs = [pose.position[0] for pose in at_positions(0, 0.1, 10, 10.1).poses(CANVAS)]
    assert min(np.diff(xs)) > -ROUNDING
    slow = max(abs(np.diff(xs[:31])) * 30)
    assert slow <= 0.1 * (MAX_SPEED + 1)


def test_half_a_turn_goes_one_way() -> None:
    keyframes = [Keyframe(turned(0, k * math.pi, 0), (0, 0, 0), 1.0, 1.0) for k in range(3)]
    for loop in (False, True):
        poses = CameraPath(tuple(keyframes), 30, loop).poses(CANVAS)
        angles = [angle(poses[k].wxyz, poses[k + 1].wxyz) for k in range(len(poses) - 1)]
        assert max(angles) < 3 * math.pi / 30
        assert np.isfinite([pose.wxyz for pose in poses]).all()


def test_a_loop_returns_and_does_not_repeat_its_first_frame() -> None:
    path = at_positions(0, 1, 3, loop=True)
    poses = path.poses(CANVAS)
    assert path.duration == 3
    assert len(poses) == path.frames == 90
    assert poses[0] == path.pose_at(3, CANVAS) == path.pose_at(300, CANVAS)
    assert poses[-1] == path.pose_at(-1 / 30, CANVAS)
    assert 0 < abs(poses[-1].position[0]) < 0.1


def test_a_path_rests_at_its_ends() -> None:
    path = at_positions(1, 2, 4)
    assert path.pose_at(-5, CANVAS) == path.pose_at(0, CANVAS)
    assert path.pose_at(99, CANVAS) == path.poses(CANVAS)[-1]


def test_one_keyframe_is_one_frame_and_none_are_none() -> None:
    for loop in (False, True):
        alone = at_positions(7, loop=loop)
        assert alone.duration == 0
        assert [pose.position for pose in alone.poses(CANVAS)] == [(7, 0, 0)]
        assert alone.line(5).tolist() == [[7, 0, 0]]
        assert CameraPath(loop=loop).poses(CANVAS) == []
        assert CameraPath(loop=loop).duration == 0


def test_the_line_leads_through_the_keyframes() -> None:
    line = at_positions(0, 1, 3).line(8)
    assert line.shape == (17, 3)
    assert line[[0, 8, 16], 0] == pytest.approx([0, 1, 3])
    assert len(at_positions(0, 1, 3, loop=True).line(8)) == 25


def test_a_path_of_too_many_frames_is_refused() -> None:
    keyframes = tuple(Keyframe(UNIT, (x, 0, 0), 1.0, 3600.0) for x in range(2))
    with pytest.raises(InputError, match=f"at most {MAX_FRAMES:,}"):
        CameraPath(keyframes, fps=30).poses(CANVAS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"fov": 0.0},
        {"fov": math.pi},
        {"fov": math.nan},
        {"seconds": 0.0},
        {"seconds": MIN_SECONDS / 2},
        {"seconds": math.inf},
        {"position": (math.nan, 0.0, 0.0)},
        {"position": (1e300, 0.0, 0.0)},
        {"wxyz": (0.0, 0.0, 0.0, 0.0)},
    ],
)
def test_nonsense_is_no_keyframe(wrong: dict[str, Any]) -> None:
    values: dict[str, Any] = {"wxyz": UNIT, "position": (0.0, 0.0, 0.0), "fov": 1.0}
    with pytest.raises(ValueError):
        Keyframe(**{**values, **wrong})


@given(PATHS)
def test_a_path_comes_back_from_its_file(path: CameraPath) -> None:
    back = path_from_json(path_to_json(path, CANVAS, PLACEMENT), PLACEMENT)
    assert (back.fps, back.loop) == (path.fps, path.loop)
    for one, other in zip(path.keyframes, back.keyframes, strict=True):
        assert other.position == pytest.approx(one.position, abs=ROUNDING)
        assert other.fov == pytest.approx(one.fov)
        assert other.seconds == one.seconds
        assert angle(one.wxyz, other.wxyz) < math.sqrt(ROUNDING)


def test_the_command_line_reads_what_the_viewer_saves(tmp_path: Path) -> None:
    path = CameraPath(
        (
            Keyframe(turned(0.1, 0.2, 0.3), (1, 2, 3), 0.8, 0.5),
            Keyframe(turned(-1, 2, 0), (4, 2, -3), 1.2, 0.7),
            Keyframe(turned(3, 0, 0.1), (0, 2, 9), 0.5),
        ),
        fps=12,
    )
    file = tmp_path / "path.json"
    file.write_text(path_to_json(path, CANVAS, PLACEMENT))
    cameras = camera_path.along(camera_path.from_file(file, ORIGIN), CANVAS)
    for camera, pose in zip(cameras, path.poses(CANVAS), strict=True):
        torch.testing.assert_close(
            camera.world_to_camera, camera_at(pose, CANVAS).world_to_camera, atol=1e-5, rtol=0
        )
        assert vertical_fov(camera) == pytest.approx(pose.fov, abs=1e-6)
        assert camera.size == CANVAS


def test_files_have_the_axes_and_the_frame_of_nerfstudio() -> None:
    """y up, looking along -z, degrees, in the frame of the capture; see its render_panel.py."""
    path = CameraPath(
        (Keyframe(UNIT, (1, 2, 3), 1.0, 0.5), Keyframe(UNIT, (2, 2, 3), 1.0, 0.25)), fps=4
    )
    content = json.loads(path_to_json(path, (200, 100), PLACEMENT))
    first = [1, 0, 0, 101, 0, -1, 0, -18, 0, 0, -1, 6, 0, 0, 0, 1]
    assert content["keyframes"][0]["matrix"] == content["camera_path"][0]["camera_to_world"]
    assert content["keyframes"][0]["matrix"] == pytest.approx(first)
    assert content["camera_path"][0]["fov"] == pytest.approx(math.degrees(1))
    assert content["camera_path"][0]["aspect"] == 2
    # There the time of a keyframe is what leads to it.
    assert content["keyframes"][1]["override_transition_sec"] == 0.5
    assert (content["render_width"], content["render_height"]) == (200, 100)
    assert (content["fps"], content["seconds"], content["is_cycle"]) == (4, 0.5, False)
    assert len(content["camera_path"]) == 3


def frames_file(count: int, **more: Any) -> str:
    """A file without keyframes, along the x axis."""
    path = at_positions(*range(count))
    content = json.loads(path_to_json(path, CANVAS, PLACEMENT))
    frames = [
        {"camera_to_world": each["matrix"], "fov": each["fov"]} for each in content["keyframes"]
    ]
    return json.dumps({"camera_path": frames, **more})


def test_few_frames_without_keyframes_become_keyframes() -> None:
    path = path_from_json(frames_file(7, fps=10.0), PLACEMENT)
    assert [each.position[0] for each in path.keyframes] == pytest.approx(range(7))
    assert path.duration == pytest.approx(0.6)
    again = path.poses(CANVAS)
    assert [pose.position[0] for pose in again] == pytest.approx(range(7))


def test_of_many_frames_without_keyframes_some_become_keyframes() -> None:
    path = path_from_json(frames_file(301, fps=10), PLACEMENT)
    positions = [each.position[0] for each in path.keyframes]
    assert len(positions) == KEPT_FRAMES
    assert (positions[0], positions[-1]) == pytest.approx((0, 300))
    assert path.duration == pytest.approx(30)
    assert path.poses(CANVAS)[150].position[0] == pytest.approx(150)


def test_times_that_a_file_leaves_out_are_its_usual_ones() -> None:
    content = json.loads(path_to_json(at_positions(0, 1, 2), CANVAS, PLACEMENT))
    for keyframe in content["keyframes"]:
        keyframe["override_transition_enabled"] = False
    content["default_transition_sec"] = 0.75
    del content["camera_path"], content["fps"], content["is_cycle"]
    path = path_from_json(json.dumps(content), PLACEMENT)
    assert [each.seconds for each in path.keyframes] == [0.75] * 3
    assert (path.fps, path.loop) == (30, False)


def changed(**more: Any) -> str:
    """A good file but for this."""
    return json.dumps({**json.loads(path_to_json(at_positions(0, 1), CANVAS, PLACEMENT)), **more})


def with_matrix(numbers: Any, fov: Any = 50) -> str:
    entry = {"matrix": numbers, "camera_to_world": numbers, "fov": fov}
    return changed(keyframes=[entry], camera_path=[entry])


STRETCHED = np.diag([2.0, 1, 1, 1]).ravel().tolist()
MIRRORED = np.diag([-1.0, 1, 1, 1]).ravel().tolist()
POSE = np.eye(4).ravel().tolist()
ENTRY = {"matrix": POSE, "fov": 50}
BAD_FOR_ALL = {
    "nothing": "",
    "another format": "ply\nformat ascii 1.0",
    "bytes": b"\xff\xfe\x00",
    "a list": "[]",
    "another object": '{"frames": []}',
    "deep": "[" * 100_000,
    "no frames": '{"camera_path": []}',
    "frames that are none": '{"camera_path": 3}',
    "empty entries": '{"camera_path": [{}]}',
    "few numbers": with_matrix([1, 2, 3]),
    "words": with_matrix(["one"] * 16),
    "no numbers": with_matrix(None),
    "infinite": with_matrix([math.inf] * 16),
    "stretched": with_matrix(STRETCHED),
    "mirrored": with_matrix(MIRRORED),
    "flat": with_matrix(POSE, 0),
    "wide": with_matrix(POSE, 180),
    "no field of view": with_matrix(POSE, None),
    "no rate": changed(fps="fast"),
    "too fast": changed(fps=1e9),
    "too slow": changed(fps=0),
    "endless": changed(fps=math.inf),
    "too many pictures": json.dumps({"camera_path": [1] * (MAX_FRAMES + 1)}),
}
BAD_TO_EDIT = {
    "no time": changed(default_transition_sec="long"),
    "keyframes that are none": changed(keyframes=3),
    "a backward step": changed(
        keyframes=[{**ENTRY, "override_transition_enabled": True, "override_transition_sec": -1}]
    ),
    "too short a step": changed(keyframes=[ENTRY], default_transition_sec=1e-4),
    "too many": changed(keyframes=[ENTRY] * (MAX_KEYFRAMES + 1)),
}


@pytest.mark.parametrize("name", [*BAD_FOR_ALL, *BAD_TO_EDIT])
def test_a_bad_file_is_told_in_one_line(name: str) -> None:
    text = {**BAD_FOR_ALL, **BAD_TO_EDIT}[name]
    with pytest.raises(InputError, match=r"^not a camera path: .") as caught:
        path_from_json(text, PLACEMENT)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", BAD_FOR_ALL)
def test_the_command_line_names_a_bad_file(name: str, tmp_path: Path) -> None:
    text = BAD_FOR_ALL[name]
    file = tmp_path / "path.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=r"path\.json: not a camera path: ."):
        camera_path.from_file(file, ORIGIN)


@pytest.mark.parametrize("size", [(0, 100), (100, 10**6), ("wide", 100), (math.nan, 100)])
def test_the_command_line_refuses_a_size_that_is_none(size: tuple[Any, Any]) -> None:
    with pytest.raises(InputError, match=r"^not a camera path: ."):
        film_from_json(changed(render_width=size[0], render_height=size[1]), PLACEMENT)


def test_a_file_need_not_say_what_video_it_makes() -> None:
    film = film_from_json(frames_file(3), PLACEMENT)
    assert (film.fps, film.size) == (None, None)
    assert len(film.views) == 3


def test_of_many_frames_only_those_that_become_keyframes_are_looked_at() -> None:
    content = json.loads(frames_file(301, fps=10))
    content["camera_path"][1] = "nonsense"
    assert len(path_from_json(json.dumps(content), PLACEMENT).keyframes) == KEPT_FRAMES


def test_poses_of_a_file_are_those_of_its_cameras() -> None:
    (pose,) = film_from_json(with_matrix(POSE), Placement((1.0, 2.0, 3.0))).poses(CANVAS)
    assert isinstance(pose, Pose)
    rotation, position = camera_to_world(camera_at(pose, CANVAS))
    assert position == pytest.approx([-1, -2, -3])
    assert rotation == pytest.approx(np.diag([1, -1, -1]))
