"""The viewer's server, seen by a page that speaks viser's protocol over a real socket."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import synthetic
import torch
from viewer_page import CANVAS, ORANGE, PATIENCE, Page, Painter, cloud, eventually, opened, sessions
from viser import transforms

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.viewer import (
    LiveView,
    NamedCamera,
    Renderers,
    SceneSource,
    TrainingStatus,
    Viewer,
    ViewerOptions,
)
from gaborsplat.viewer.camera import camera_to_world
from gaborsplat.viewer.picture.paint import paint

STATUS = TrainingStatus(step=1234, steps=7000, splats=1000, loss=0.0432, psnr=27.3)


@pytest.fixture
def painter() -> Painter:
    return Painter()


@pytest.fixture
def source() -> SceneSource:
    return SceneSource(cloud(5, waves=1))


@pytest.fixture
def viewer(source: SceneSource, painter: Painter) -> Iterator[Viewer]:
    with Viewer(source, port=0, render=painter, cameras=training_cameras()) as viewer:
        yield viewer


@pytest.fixture
def page(viewer: Viewer) -> Iterator[Page]:
    """A page that shows the first picture."""
    with opened(viewer) as page:
        page.picture(0)
        yield page


def training_cameras() -> list[NamedCamera]:
    def photo() -> torch.Tensor:
        return torch.full((30, 40, 3), 200, dtype=torch.uint8)

    def at(x: float) -> Camera:
        pose = torch.eye(4)
        pose[:3, 3] = torch.tensor([-x, 0.0, 5.0])
        return Camera(pose, torch.diag(torch.tensor([50.0, 50.0, 1.0])), (40, 30))

    return [NamedCamera(f"{i}.jpg", at(float(i)), photo) for i in range(3)]


def color_of(picture: np.ndarray[Any, Any]) -> tuple[float, ...]:
    return tuple(float(x) for x in picture.reshape(-1, 3).mean(axis=0) / 255)


def test_a_page_is_sent_what_was_rendered_for_its_canvas(page: Page) -> None:
    picture = page.picture(0)
    assert picture.shape == (CANVAS[1], CANVAS[0], 3)
    assert color_of(picture) == pytest.approx(ORANGE, abs=0.02)


def test_the_picture_is_rendered_from_where_the_page_looks(page: Page, painter: Painter) -> None:
    page.look_from((1.0, 2.0, -3.0))
    page.picture(1)
    _, camera, _ = painter.calls[-1]
    torch.testing.assert_close(camera.position, torch.tensor([1.0, 2.0, -3.0]))
    torch.testing.assert_close(camera.world_to_camera[:3, :3], torch.eye(3))


def test_the_picture_is_the_renderers_own(source: SceneSource) -> None:
    target = synthetic.camera((96, 64), torch.float32)
    rotation, position = camera_to_world(target)
    wxyz = transforms.SO3.from_matrix(rotation).wxyz
    source.publish(cloud(40, waves=2))
    with Viewer(source, port=0) as viewer, opened(viewer) as page:
        page.picture(0)
        page.look_from(tuple(position.tolist()), tuple(wxyz.tolist()), canvas=target.size)
        fx = 0.5 * 64 / math.tan(0.5)
        intrinsics = torch.tensor([[fx, 0.0, 48.0], [0.0, fx, 32.0], [0.0, 0.0, 1.0]])
        assert source.current is not None
        camera = Camera(target.world_to_camera, intrinsics, target.size)
        expected = paint(render(source.current.splats, camera), "rgb").astype(float)

        def is_shown() -> bool:
            picture = page.picture(len(page.pictures) - 1)
            return picture.shape == expected.shape and psnr(picture, expected) > 28

        page.until(is_shown)
    assert expected.std() > 20


def psnr(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    return 10 * math.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2))


def test_a_page_at_rest_costs_nothing(page: Page, painter: Painter) -> None:
    page.look_from((0.0, 0.0, -4.0))
    page.set("Show", "alpha")
    page.picture(1)
    assert len(painter.calls) == 2


def test_controls_reach_the_renderer(page: Page, painter: Painter) -> None:
    page.set("Background", (255, 0, 51))
    page.picture(1)
    assert painter.calls[-1][2].background == pytest.approx((1.0, 0.0, 0.2))
    assert painter.calls[-1][0].waves == 1
    page.set("Gabor waves", False)
    page.picture(2)
    assert painter.calls[-1][0].waves == 0
    page.set("Show", "alpha")
    assert color_of(page.picture(3)) == pytest.approx((1, 1, 1), abs=0.01)


def test_the_mode_frequency_shows_the_waves_and_not_the_colours(source: SceneSource) -> None:
    colours, waves = Painter(), Painter((0.1, 0.9, 0.2))
    renderers = Renderers(colours, waves)
    with Viewer(source, port=0, render=renderers) as viewer, opened(viewer) as page:
        page.picture(0)
        assert not waves.calls
        page.set("Show", "frequency")
        assert color_of(page.picture(1)) == pytest.approx(waves.color, abs=0.02)
        assert len(colours.calls) == 1


def test_another_scene_stands_in_the_right_half(source: SceneSource, painter: Painter) -> None:
    other = SceneSource(cloud(7))
    options = ViewerOptions(beside=other)
    with Viewer(source, port=0, render=painter, options=options) as viewer, opened(viewer) as page:
        page.picture(0)
        assert [len(splats) for splats, _, _ in painter.calls] == [5, 7]
        page.set("Beside", "nothing")
        page.picture(1)
        assert len(painter.calls) == 3
        page.set("Beside", "other scene")
        page.picture(2)
        other.publish(cloud(9))
        page.picture(3)
        assert len(painter.calls[-1][0]) == 9


def test_another_scene_is_shown_in_the_unit_of_the_first(painter: Painter) -> None:
    source, other = SceneSource(cloud(40).scaled(1e-4)), SceneSource(cloud(30).scaled(1e-4))
    options = ViewerOptions(beside=other)
    with Viewer(source, port=0, render=painter, options=options) as viewer, opened(viewer) as page:
        page.picture(0)
        assert source.unit == other.unit < 1e-3
        sizes = [float(splats.means.norm(dim=1).median()) for splats, _, _ in painter.calls]
        assert all(0.2 < size < 20 for size in sizes)
    empty = SceneSource()
    with Viewer(empty, port=0, render=painter, cameras=training_cameras()):
        empty.publish(cloud(3))
        assert empty.current is not None


def test_waves_are_offered_only_when_there_are_some(page: Page, source: SceneSource) -> None:
    def offered() -> bool:
        return page.widget("Gabor waves")["props"]["visible"]

    page.until(offered)
    source.publish(cloud(5, waves=0))
    page.until(lambda: not offered())
    page.picture(1)
    assert not offered()


def test_no_page_gets_more_pixels_than_allowed(page: Page, painter: Painter) -> None:
    page.set("Max size", 10**6)
    page.look_from((1.0, 0.0, -4.0), canvas=(10**6, 10**5))
    page.picture(1)
    assert max(painter.calls[-1][1].size) <= 2048


def test_nonsense_from_a_page_is_survived(page: Page, painter: Painter) -> None:
    page.look_from((math.nan, 0.0, 0.0))
    page.look_from((0.0, 0.0, -4.0), canvas=(0, 0))
    page.set("Show", "no such mode")
    page.set("Background", (-900, 400, 0))
    page.picture(1)
    assert painter.calls[-1][2].background == (0.0, 1.0, 0.0)


def test_an_error_is_shown_in_the_panel_and_survived(
    page: Page, painter: Painter, caplog: pytest.LogCaptureFixture
) -> None:
    painter.error = "no <b>memory</b>"
    page.look_from((1.0, 0.0, -4.0))
    page.until(lambda: "Rendering failed" in page.panel)
    assert "RuntimeError: no &lt;b&gt;memory&lt;/b&gt;" in page.panel
    assert "Traceback" in caplog.text
    assert len(page.pictures) == 1
    painter.error = None
    page.look_from((2.0, 0.0, -4.0))
    page.picture(1)
    page.until(lambda: "Rendering failed" not in page.panel)


def test_a_new_scene_reaches_the_page(page: Page, source: SceneSource, painter: Painter) -> None:
    page.until(lambda: ">5<" in page.panel)
    source.publish(cloud(12))
    page.until(lambda: ">12<" in page.panel)
    assert len(painter.calls[-1][0]) == 12


def test_training_waits_for_no_picture(page: Page, source: SceneSource, painter: Painter) -> None:
    live = LiveView(source)
    painter.gate = threading.Event()
    painter.started.clear()
    page.look_from((1.0, 0.0, -4.0))
    assert painter.started.wait(PATIENCE)
    # The page's picture is stuck; a hundred steps of training are not.
    for step in range(100):
        live.update(replace(STATUS, step=step), lambda: cloud(7))
    assert source.current is not None
    assert source.current.version == 2
    painter.gate.set()
    page.until(lambda: ">7<" in page.panel)


def test_a_slow_page_does_not_slow_another(viewer: Viewer, painter: Painter) -> None:
    with opened(viewer) as one, opened(viewer) as other:
        one.picture(0)
        other.picture(0)
        painter.gate = gate = threading.Event()
        painter.started.clear()
        one.look_from((1.0, 0.0, -4.0))
        assert painter.started.wait(PATIENCE)
        painter.gate = None
        other.look_from((2.0, 0.0, -4.0))
        other.picture(1)
        assert len(one.pictures) == 1
        gate.set()
        one.picture(1)


def test_a_page_that_leaves_takes_its_thread_along(viewer: Viewer, source: SceneSource) -> None:
    with opened(viewer) as page:
        page.picture(0)
        assert source.watched
        assert len(sessions()) == 2  # one renders, one encodes
    eventually(lambda: not sessions())
    assert not source.watched


def test_a_page_that_leaves_during_a_picture_is_no_error(
    viewer: Viewer, source: SceneSource, painter: Painter, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(viewer) as page:
        page.picture(0)
        painter.gate = threading.Event()
        painter.started.clear()
        page.look_from((1.0, 0.0, -4.0))
        assert painter.started.wait(PATIENCE)
    eventually(lambda: not source.watched)
    painter.gate.set()
    eventually(lambda: not sessions())
    assert "Traceback" not in caplog.text


def test_the_panel_tells_how_training_stands(page: Page, source: SceneSource) -> None:
    live = LiveView(source)
    live.update(STATUS, lambda: cloud(1000))
    page.until(lambda: "1,234 of 7,000" in page.panel and ">1,000<" in page.panel)
    for text in ("0.0432", "27.30 dB", "160 x 120"):
        assert text in page.panel


def test_training_can_be_paused_and_resumed_in_the_page(page: Page, source: SceneSource) -> None:
    live = LiveView(source)
    live.update(STATUS, lambda: cloud(3))
    page.until(
        lambda: page.has("Pause training") and page.widget("Pause training")["props"]["visible"]
    )
    page.click("Pause training")
    page.until(lambda: page.has("Resume training"))
    assert live.paused
    assert "paused" in page.panel
    page.click("Resume training")
    page.until(lambda: page.has("Pause training"))
    assert not live.paused


def test_a_finished_training_cannot_be_paused(page: Page, source: SceneSource) -> None:
    live = LiveView(source)
    live.update(STATUS, lambda: cloud(3))
    page.until(lambda: page.widget("Pause training")["props"]["visible"])
    live.finish(replace(STATUS, finished=True), cloud(4))
    page.until(lambda: ">4<" in page.panel and "finished" in page.panel)
    page.until(lambda: not page.widget("Pause training")["props"]["visible"])
    assert not live.paused


def test_a_page_opened_before_the_first_step_waits_for_it(painter: Painter) -> None:
    source = SceneSource()
    with Viewer(source, port=0, render=painter) as viewer, opened(viewer) as page:
        page.until(lambda: "Waiting for the first step" in page.panel)
        assert not painter.calls
        LiveView(source).update(STATUS, lambda: cloud(3))
        page.picture(0)


def test_training_cameras_are_drawn_when_asked_for(page: Page) -> None:
    assert not page.named("CameraFrustumMessage")
    assert page.pictures[-1]["depth_data"] is None
    page.set("Cameras", True)
    page.until(lambda: len(page.named("CameraFrustumMessage")) == 3)
    page.picture(1)
    data = np.frombuffer(page.pictures[1]["depth_data"], np.uint8)
    packed = cv2.imdecode(data, cv2.IMREAD_UNCHANGED).astype(np.int64)
    depth = (packed[..., 0] + 256 * packed[..., 1] + 65536 * packed[..., 2]) / 100_000
    np.testing.assert_allclose(depth, 3.0, atol=1e-4)
    page.until(lambda: len(page.named("SceneNodeUpdateMessage")) == 3)
    updates = page.named("SceneNodeUpdateMessage")
    assert all(message["updates"]["_image_data"] for message in updates)
    page.set("Cameras", False)
    page.picture(2)
    assert page.pictures[2]["depth_data"] is None


def test_a_click_on_a_training_camera_goes_there(page: Page) -> None:
    page.set("Cameras", True)
    page.until(lambda: len(page.named("CameraFrustumMessage")) == 3)
    page.until(lambda: len(page.named("SetSceneNodeClickBindingsMessage")) == 3)
    frustum = page.named("CameraFrustumMessage")[2]
    page.click_on(frustum)
    page.until(lambda: len(page.named("SetCameraPositionMessage")) == 2)
    initial, move = page.named("SetCameraPositionMessage")
    assert (initial["initial"], move["initial"]) == (True, False)
    assert move["position"] == pytest.approx((2.0, 0.0, -5.0), abs=1e-6)


def test_a_page_begins_at_the_first_training_camera(page: Page) -> None:
    (position,) = (m for m in page.named("SetCameraPositionMessage") if m["initial"])
    (fov,) = (m for m in page.named("SetCameraFovMessage") if m["initial"])
    assert position["position"] == pytest.approx((0.0, 0.0, -5.0), abs=1e-6)
    assert fov["fov"] == pytest.approx(2 * math.atan(0.3))


def test_a_scene_without_cameras_is_framed(source: SceneSource, painter: Painter) -> None:
    with Viewer(source, port=0, render=painter) as viewer, opened(viewer) as page:
        page.picture(0)
        assert not page.widget("Cameras")["props"]["visible"]
        (look_at,) = (m for m in page.named("SetCameraLookAtMessage") if m["initial"])
        assert source.current is not None
        centre = source.current.splats.means.median(dim=0).values
        assert look_at["look_at"] == pytest.approx(centre.tolist(), abs=1e-5)


@pytest.mark.parametrize("factor", [2.0**-14, 2.0**14])
def test_a_scene_in_any_unit_is_shown_in_one_of_its_size(factor: float) -> None:
    settings, splats = RenderSettings().scaled(factor), cloud(40, waves=2).scaled(factor)
    source = SceneSource(splats, settings)
    focal = 0.5 * CANVAS[1] / math.tan(0.5)
    intrinsics = torch.tensor(
        [[focal, 0.0, CANVAS[0] / 2], [0.0, focal, CANVAS[1] / 2], [0.0, 0.0, 1.0]]
    )
    pose = training_cameras()[0].camera.world_to_camera
    camera = Camera(pose, intrinsics, CANVAS).scaled(factor)
    expected = paint(render(splats, camera, settings), "rgb").astype(float)
    assert expected.std() > 20
    cameras = [NamedCamera("a.jpg", camera)]
    with Viewer(source, port=0, cameras=cameras) as viewer, opened(viewer) as page:
        page.picture(0)
        page.look_from((0.0, 0.0, -5.0 * factor / source.unit))

        def is_shown() -> bool:
            picture = page.picture(len(page.pictures) - 1)
            return picture.shape == expected.shape and psnr(picture, expected) > 28

        page.until(is_shown)
        source.publish(splats.select(torch.arange(12)))
    assert source.current is not None
    assert 0.5 < source.current.splats.means.norm(dim=1).median() < 10
    shown = source.current.splats.scaled(source.unit)
    torch.testing.assert_close(shown.means, splats.means[:12], atol=0, rtol=0)
