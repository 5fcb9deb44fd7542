"""Where a moving camera is expected to be."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from viser import transforms

from gaborsplat.viewer.pacing.motion import FARTHEST, SILENCE, Motion
from gaborsplat.viewer.settings import Pose

START = Pose((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.0, (640, 480))


def turning(angle: float, x: float = 0.0) -> Pose:
    """Turned by `angle` [radians] around y."""
    wxyz = (math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0)
    return replace(START, wxyz=wxyz, position=(x, 0.0, 0.0))


def angle_of(pose: Pose) -> float:
    return float(transforms.SO3(np.array(pose.wxyz)).log()[1])


def dragged(speed: float, pictures: int = 20, interval: float = 1 / 60) -> tuple[Motion, float]:
    """A camera that turned at `speed` [radians/s] and moved as fast, and when it was last heard."""
    motion = Motion()
    for i in range(pictures):
        now = i * interval
        motion.add(turning(speed * now, speed * now), now)
    return motion, now


def test_nothing_is_predicted_of_a_camera_that_was_never_heard_of() -> None:
    assert Motion().at(1.0, 1.0) is None


def test_a_camera_heard_of_once_stands() -> None:
    motion = Motion()
    motion.add(START, 0.0)
    assert motion.at(0.03, 0.01) == START


@pytest.mark.parametrize("speed", [-2.0, 0.3, 5.0])
@pytest.mark.parametrize("ahead", [0.0, 0.02, 0.06])
def test_a_steady_camera_goes_on_as_before(speed: float, ahead: float) -> None:
    motion, now = dragged(speed)
    pose = motion.at(now + ahead, now)
    assert pose is not None
    assert angle_of(pose) == pytest.approx(speed * (now + ahead), abs=1e-6)
    assert pose.position[0] == pytest.approx(speed * (now + ahead), abs=1e-6)
    assert math.hypot(*pose.wxyz) == pytest.approx(1.0)


def test_the_sign_of_a_quaternion_does_not_matter() -> None:
    motion = Motion()
    for i in range(10):
        pose = turning(0.02 * i)
        flipped = tuple((-1) ** i * each for each in pose.wxyz)
        motion.add(replace(pose, wxyz=flipped), i / 60)
    pose = motion.at(10 / 60, 9 / 60)
    assert pose is not None
    assert abs(angle_of(pose)) == pytest.approx(0.2, abs=1e-6)


def test_a_camera_that_has_fallen_silent_has_stopped() -> None:
    motion, now = dragged(2.0)
    pose = motion.at(now + 2 * SILENCE, now + 1.01 * SILENCE)
    assert pose is not None
    assert angle_of(pose) == pytest.approx(2.0 * now)


def test_nothing_is_predicted_far_ahead() -> None:
    motion, now = dragged(1.0)
    pose = motion.at(now + 10.0, now)
    assert pose is not None
    assert angle_of(pose) == pytest.approx(now + FARTHEST, abs=1e-6)


def test_messages_in_a_bunch_do_not_make_a_camera_fast() -> None:
    motion = Motion()
    for i in range(4):
        motion.add(turning(0.02 * i), 0.0001 * i)
    pose = motion.at(0.05, 0.0003)
    assert pose is not None
    assert angle_of(pose) == pytest.approx(0.06)


def test_a_camera_that_was_silent_starts_anew() -> None:
    motion, now = dragged(1.0)
    motion.add(turning(2.0), now + 1.0)
    pose = motion.at(now + 1.05, now + 1.0)
    assert pose is not None
    assert angle_of(pose) == pytest.approx(2.0)


def test_another_canvas_or_field_of_view_starts_anew() -> None:
    motion, now = dragged(1.0)
    wider = replace(turning(1.0), fov=1.5)
    motion.add(wider, now + 1 / 60)
    assert motion.at(now + 0.05, now + 1 / 60) == wider
