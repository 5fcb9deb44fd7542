"""What a browser's picture is made from: cameras, first views, colours and the published scene."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import synthetic
import torch

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.frame import Frame
from gaborsplat.renderer.splats import Splats
from gaborsplat.viewer import LiveView, SceneSource, TrainingStatus
from gaborsplat.viewer.camera import (
    Bounds,
    bounds_of,
    bounds_of_cameras,
    bounds_of_splats,
    camera_at,
    camera_to_world,
    outlook_of,
    overview_of,
    pose_of,
    up_direction,
    vertical_fov,
)
from gaborsplat.viewer.panel.frustums import thumbnail
from gaborsplat.viewer.picture.paint import occlusion_depth, paint
from gaborsplat.viewer.settings import Pose
from gaborsplat.viewer.web.link import FARTHEST, pack_depth

STATUS = TrainingStatus(step=3, steps=100, splats=10, loss=0.5)
DOWN_Y = np.array([0.0, -1.0, 0.0])


def pixel(camera: Camera, point: tuple[float, float, float]) -> tuple[float, float, float]:
    """(x, y) [px] and depth of a point in the world."""
    x, y, z = camera.world_to_camera[:3, :3] @ torch.tensor(point) + camera.world_to_camera[:3, 3]
    u, v, _ = camera.intrinsics @ torch.stack([x / z, y / z, torch.ones(())])
    return float(u), float(v), float(z)


def reported(**changes: Any) -> Any:
    """What viser holds after a page's camera message."""
    values: dict[str, Any] = {
        "wxyz": np.array([1.0, 0.0, 0.0, 0.0]),
        "position": np.zeros(3),
        "fov": 1.0,
        "image_width": 640,
        "image_height": 480,
    }
    return SimpleNamespace(**(values | changes))


def frame(color: float = 0.5, alpha: float = 1.0, depth: float = 2.0) -> Frame:
    return Frame(torch.full((4, 6, 3), color), torch.full((4, 6), alpha), torch.full((4, 6), depth))


def test_an_unrotated_page_camera_looks_along_z_with_y_down() -> None:
    pose = Pose((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, -2.0), math.pi / 2, (640, 480))
    camera = camera_at(pose, (640, 480))
    assert pixel(camera, (0.0, 0.0, 0.0)) == pytest.approx((320.0, 240.0, 2.0))
    # Half the vertical field of view is 45 degrees: one unit up at depth one is the top border.
    assert pixel(camera, (0.0, -2.0, 0.0)) == pytest.approx((320.0, 0.0, 2.0), abs=1e-4)
    assert pixel(camera, (1.0, 0.0, 0.0))[0] > 320


def test_a_turned_page_camera_looks_where_its_quaternion_says() -> None:
    half = math.sqrt(0.5)
    pose = Pose((half, 0.0, half, 0.0), (0.0, 0.0, 0.0), 1.0, (64, 48))
    camera = camera_at(pose, (64, 48))
    assert pixel(camera, (3.0, 0.0, 0.0)) == pytest.approx((32.0, 24.0, 3.0), abs=1e-4)


def test_a_page_camera_keeps_its_field_of_view_at_every_size() -> None:
    pose = Pose((0.9, 0.1, 0.3, 0.2), (1.0, 2.0, 3.0), 0.8, (800, 600))
    for size in ((800, 600), (200, 150), (100, 75)):
        camera = camera_at(pose, size)
        assert camera.size == size
        assert vertical_fov(camera) == pytest.approx(0.8, abs=1e-6)
        torch.testing.assert_close(camera.position, torch.tensor(pose.position))


@pytest.mark.parametrize(
    "nonsense",
    [
        {"position": np.array([0.0, math.nan, 0.0])},
        {"wxyz": np.array([0.0, 0.0, 0.0, 0.0])},
        {"wxyz": np.array([math.inf, 0.0, 0.0, 0.0])},
        {"fov": 0.0},
        {"fov": 4.0},
        {"image_width": 0},
        {"image_height": -5},
    ],
)
def test_a_page_camera_that_makes_no_sense_is_no_pose(nonsense: dict[str, Any]) -> None:
    assert pose_of(reported()) is not None
    assert pose_of(reported(**nonsense)) is None


def test_bounds_ignore_stray_and_broken_points() -> None:
    points = np.random.default_rng(0).normal(size=(2000, 3)) + np.array([5.0, 0.0, 0.0])
    expected = bounds_of(points)
    points[:20] = 1e7
    points[20:30] = np.nan
    bounds = bounds_of(points)
    np.testing.assert_allclose(bounds.centre, expected.centre, atol=0.1)
    assert bounds.radius == pytest.approx(expected.radius, rel=0.05)


def test_bounds_of_nothing_are_a_unit_ball() -> None:
    assert bounds_of(np.full((3, 3), np.nan)).radius == 1.0
    assert bounds_of(np.zeros((0, 3))).radius == 1.0


def test_bounds_of_one_point_have_a_size() -> None:
    bounds = bounds_of(np.array([[4.0, 5.0, 6.0]]))
    np.testing.assert_array_equal(bounds.centre, [4.0, 5.0, 6.0])
    assert bounds.radius == 1.0


def looking(from_: tuple[float, float, float], at: tuple[float, float, float]) -> Camera:
    """A level camera, y down."""
    position = torch.tensor(from_, dtype=torch.float64)
    forward = torch.nn.functional.normalize(torch.tensor(at, dtype=torch.float64) - position, dim=0)
    down = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    right = torch.nn.functional.normalize(torch.linalg.cross(down, forward), dim=0)
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = torch.stack([right, torch.linalg.cross(forward, right), forward])
    pose[:3, 3] = -pose[:3, :3] @ position
    return Camera(pose, synthetic.straight_camera().intrinsics, synthetic.SIZE)


def test_cameras_around_an_object_tell_where_it_is() -> None:
    target = (1.0, 2.0, 3.0)
    ring = [looking((1 + 4 * math.cos(a), 1.0, 3 + 4 * math.sin(a)), target) for a in range(6)]
    bounds = bounds_of_cameras(ring)
    np.testing.assert_allclose(bounds.centre, target, atol=0.1)
    assert bounds.radius == pytest.approx(math.sqrt(17), rel=0.05)


def test_cameras_side_by_side_look_at_something_ahead() -> None:
    row = [looking((x, 0.0, 0.0), (x, 0.0, 1.0)) for x in (-1.0, 0.0, 1.0)]
    bounds = bounds_of_cameras(row)
    np.testing.assert_allclose(bounds.centre[:2], [0.0, 0.0], atol=1e-6)
    assert bounds.centre[2] > 0.5
    assert bounds_of_cameras([]).radius == 1.0
    assert bounds_of_cameras(row[:1]).centre[2] > 0.5


def test_up_is_up_in_the_training_pictures() -> None:
    camera = synthetic.straight_camera()
    np.testing.assert_allclose(up_direction([camera, camera]), DOWN_Y)
    upside_down = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64))
    turned = replace(camera, world_to_camera=upside_down)
    np.testing.assert_allclose(up_direction([turned]), -DOWN_Y, atol=1e-12)


def test_up_is_the_captures_own_when_the_cameras_disagree_or_are_missing() -> None:
    camera = synthetic.straight_camera()
    upside_down = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64))
    np.testing.assert_array_equal(up_direction([]), DOWN_Y)
    both = [camera, replace(camera, world_to_camera=upside_down)]
    np.testing.assert_array_equal(up_direction(both), DOWN_Y)


def test_the_first_view_is_exactly_the_camera_it_comes_from() -> None:
    camera = synthetic.camera()
    rotation, position = camera_to_world(camera)
    outlook = outlook_of(camera, DOWN_Y, Bounds(np.array([0.0, 0.0, 3.0]), 1.0))
    np.testing.assert_allclose(outlook.position, position)
    forward = (outlook.look_at - outlook.position) / np.linalg.norm(
        outlook.look_at - outlook.position
    )
    np.testing.assert_allclose(forward, rotation[:, 2], atol=1e-6)
    # No roll: the camera's right axis is perpendicular to the up vector.
    assert float(outlook.up @ rotation[:, 0]) == pytest.approx(0.0, abs=1e-6)
    assert float(outlook.up @ -rotation[:, 1]) > 0
    assert outlook.fov == pytest.approx(vertical_fov(camera))


def test_an_overview_has_the_whole_scene_in_the_picture() -> None:
    centre = np.array([3.0, -1.0, 7.0])
    for up in (DOWN_Y, np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])):
        outlook = overview_of(Bounds(centre, 2.0), up)
        distance = float(np.linalg.norm(outlook.look_at - outlook.position))
        np.testing.assert_array_equal(outlook.look_at, centre)
        assert distance * math.sin(outlook.fov / 2) >= 2.0
        assert float((outlook.position - centre) @ up) > 0


def test_colours_become_bytes_and_broken_ones_black() -> None:
    assert np.unique(paint(frame(0.5), "rgb")).tolist() == [128]
    assert np.unique(paint(frame(7.0), "rgb")).tolist() == [255]
    assert np.unique(paint(frame(-1.0), "rgb")).tolist() == [0]
    assert np.unique(paint(frame(math.nan), "rgb")).tolist() == [0]


def test_opacity_is_shown_in_grey() -> None:
    picture = paint(frame(alpha=0.25), "alpha")
    assert picture.shape == (4, 6, 3)
    assert np.unique(picture).tolist() == [64]


def test_near_is_red_and_far_is_blue_and_nothing_is_black() -> None:
    depth = torch.linspace(1.0, 50.0, 400).reshape(20, 20)
    alpha = torch.ones(20, 20)
    depth[19], alpha[19] = 0.0, 0.0
    picture = paint(Frame(torch.zeros(20, 20, 3), alpha, depth), "depth").astype(int)
    near, far = picture[0, 0], picture[18, -1]
    assert near[0] > near[2] + 50
    assert far[2] > far[0]
    assert not picture[19].any()


def test_depth_colours_ignore_a_stray_splat_in_front_of_the_camera() -> None:
    depth = torch.linspace(5.0, 10.0, 10_000).reshape(100, 100)
    alpha = torch.ones(100, 100)
    plain = paint(Frame(torch.zeros(100, 100, 3), alpha, depth), "depth").astype(int)
    stray = depth.clone()
    stray[0, 0] = 1e-3
    picture = paint(Frame(torch.zeros(100, 100, 3), alpha, stray), "depth").astype(int)
    assert np.abs(picture - plain)[1:].max() <= 4


def test_depth_of_an_empty_picture_is_black() -> None:
    assert not paint(frame(alpha=0.0, depth=0.0), "depth").any()


def test_what_is_not_solid_hides_nothing() -> None:
    assert np.isinf(occlusion_depth(frame(alpha=0.3))).all()
    assert np.unique(occlusion_depth(frame(alpha=0.9))).tolist() == [2.0]


def test_a_thumbnail_keeps_the_shape_of_the_photo() -> None:
    assert thumbnail(torch.zeros(300, 600, 3, dtype=torch.uint8)).shape == (96, 192, 3)
    assert thumbnail(torch.zeros(30, 60, 3, dtype=torch.uint8)).shape == (30, 60, 3)


def test_publishing_swaps_the_scene_and_leaves_the_old_one_to_its_readers() -> None:
    first, second = synthetic.cloud(3), synthetic.cloud(5)
    source = SceneSource(first)
    before = source.current
    source.publish(second)
    after = source.current
    assert before is not None
    assert after is not None
    assert len(before.splats) == 3
    assert len(after.splats) == 5
    assert (before.version, after.version) == (1, 2)


def test_publishing_cuts_the_gradients_history() -> None:
    splats = synthetic.cloud(3)
    source = SceneSource(splats.map(lambda tensor: tensor.clone().requires_grad_()))
    assert source.current is not None
    assert not any(t.requires_grad for t in source.current.splats.tensors().values())


def test_every_watcher_is_woken_until_it_leaves() -> None:
    source = SceneSource()
    one, two = threading.Event(), threading.Event()
    source.watch(one.set)
    source.watch(two.set)
    source.unwatch(two.set)
    source.unwatch(two.set)
    source.publish(synthetic.cloud(3))
    assert one.is_set()
    assert not two.is_set()
    assert source.watched


def test_training_copies_its_splats_only_for_somebody_who_has_seen_the_last() -> None:
    source = SceneSource()
    live = LiveView(source)
    copies: list[Splats] = []

    def copy() -> Splats:
        copies.append(synthetic.cloud(3))
        return copies[-1]

    live.update(STATUS, copy)
    assert (len(copies), source.status) == (0, STATUS)
    source.watch(lambda: None)
    for _ in range(3):
        live.update(STATUS, copy)
    assert len(copies) == 1
    assert source.current is not None
    source.current.seen = True
    live.update(STATUS, copy)
    assert len(copies) == 2


def test_the_result_of_a_training_is_published_whoever_looks() -> None:
    source = SceneSource()
    source.paused = True
    live = LiveView(source)
    assert live.paused
    live.finish(replace(STATUS, finished=True), synthetic.cloud(4))
    assert source.current is not None
    assert len(source.current.splats) == 4
    assert not live.paused


def test_a_step_of_training_that_nobody_watches_costs_next_to_nothing() -> None:
    live = LiveView(SceneSource())
    fastest = math.inf
    for _ in range(20):
        started = time.perf_counter()
        for _ in range(100):
            live.update(STATUS, lambda: synthetic.cloud(3))
        fastest = min(fastest, (time.perf_counter() - started) / 100)
    assert fastest < 20e-6


def test_bounds_of_splats_are_those_of_their_centres() -> None:
    splats = synthetic.cloud(50)
    bounds = bounds_of_splats(splats)
    expected = bounds_of(splats.means.double().numpy())
    np.testing.assert_allclose(bounds.centre, expected.centre)
    assert bounds.radius == pytest.approx(expected.radius)


def test_depths_are_packed_as_visers_page_reads_them() -> None:
    depth = np.array([[0.0, 3.14159, 100.0], [math.inf, math.nan, -1.0]], np.float32)
    low, middle, high = np.moveaxis(pack_depth(depth).astype(float), -1, 0)
    # Blue, green and red of a picture that OpenCV wrote: the shader's own factors.
    read = (low * 0.00255 + middle * 0.6528 + high * 167.1168) / 255
    expected = [[0.0, 3.14159, 100.0], [FARTHEST, FARTHEST, 0.0]]
    np.testing.assert_allclose(read, expected, rtol=1e-5, atol=1e-5)
