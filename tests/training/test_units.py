"""Nothing depends on the unit of length in which a capture's cameras and points are given."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fitting import Photo, SmallCapture, small_capture

from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.training import TrainConfig, train
from gaborsplat.renderer.training.data import Lengths, scene_scale

CONFIG = TrainConfig(steps=60, max_splats=150, gabor=2, refine_every=10)


def scaled(capture: SmallCapture, factor: float) -> SmallCapture:
    """The same capture in a unit of 1 / `factor`."""

    def photos(views: list[Photo]) -> list[Photo]:
        return [replace(view, camera=view.camera.scaled(factor)) for view in views]

    return SmallCapture(
        photos(capture.train), photos(capture.test), capture.points * factor, capture.point_colors
    )


@pytest.mark.parametrize("factor", [1e-6, 1e-4, 1e-2, 1e3, 1e6])
def test_a_capture_in_any_unit_is_fitted_alike(factor: float):
    capture = small_capture()
    usual = train(capture, CONFIG, device="cpu")
    other = train(scaled(capture, factor), CONFIG, device="cpu")
    assert other.evaluation.psnr == pytest.approx(usual.evaluation.psnr, abs=0.3)
    assert other.settings.near_plane == pytest.approx(factor * usual.settings.near_plane, rel=1e-4)
    ratio = other.splats.scales.log().mean() - usual.splats.scales.log().mean()
    assert float(ratio.exp()) == pytest.approx(factor, rel=0.1)


def test_points_near_infinity_and_behind_cameras_do_not_move_the_near_plane():
    capture = small_capture()
    cameras = [view.camera for view in capture.train]
    usual = Lengths.of(cameras, capture.points).near_plane
    assert usual == pytest.approx(0.008, rel=0.1)  # all look at a cube four units away
    far = capture.points.clone()
    far[::40] *= 1e12
    assert Lengths.of(cameras, far).near_plane == pytest.approx(usual, rel=0.1)


def test_without_points_the_near_plane_follows_from_the_cameras():
    cameras = [view.camera for view in small_capture().train]
    none = small_capture().points[:0]
    assert Lengths.of(cameras, none).near_plane == pytest.approx(0.002 * scene_scale(cameras, none))


def test_settings_and_cameras_in_another_unit_show_the_same():
    settings = RenderSettings().scaled(0.5)
    assert (settings.near_plane, settings.far_plane) == (0.005, RenderSettings().far_plane / 2)
    camera = small_capture().train[0].camera
    assert camera.scaled(4).position.tolist() == pytest.approx((4 * camera.position).tolist())


def test_of_a_street_the_near_plane_keeps_what_is_near():
    """Most of its points are far ahead of every camera, and the road is at its feet."""
    base = small_capture().train[0].camera
    forward = torch.eye(4)
    cameras = []
    for index in range(30):
        pose = forward.clone()
        pose[2, 3] = -20.0 * index
        cameras.append(replace(base, world_to_camera=pose))
    generator = torch.Generator().manual_seed(0)
    road = torch.rand(5000, 3, generator=generator) * torch.tensor([8.0, 0.0, 700.0])
    road += torch.tensor([-4.0, 1.5, 0.0])
    lengths = Lengths.of(cameras, road)
    nearest = min(
        float(
            (road @ camera.world_to_camera[2, :3] + camera.world_to_camera[2, 3])[
                camera.pixels_of(road)[2]
            ].min()
        )
        for camera in cameras[:20]
    )
    assert lengths.near_plane < nearest
