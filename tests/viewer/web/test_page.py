"""The demo scene in a real browser, through the page's own controls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from chromium_page import (
    CLEAR,
    VIEWPORT,
    Image,
    drag,
    eventually,
    needed,
    psnr,
    shot,
)

from benchmarks.page.browsing import chromium
from gaborsplat import TrainConfig, load_capture, train
from gaborsplat.renderer.splats import Splats
from gaborsplat.scenes import demo_path
from gaborsplat.viewer import NamedCamera, Renderers, Scene, SceneSource, Viewer, ViewerOptions
from gaborsplat.viewer.camera import camera_at, pose_of
from gaborsplat.viewer.picture.draw import PictureRenderer
from gaborsplat.viewer.picture.photos import NearestPhoto
from gaborsplat.viewer.settings import ViewSettings

pytestmark = [needed, pytest.mark.slow]

SAME = 26.0
"""PSNR [dB] from which a screenshot shows a picture: it was a JPEG in between, which blurs
the colours of fine detail."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def cameras() -> list[NamedCamera]:
    capture = load_capture(demo_path(), max_size=240)
    return [NamedCamera(view.name, view.camera, view.image) for view in capture.views]


@pytest.fixture(scope="module")
def splats() -> Splats:
    """The demo scene after a minute's tenth of training, with strong waves."""
    capture = load_capture(demo_path(), max_size=240)
    trained = train(capture, TrainConfig(steps=120, gabor=1, max_splats=3000)).splats
    waves = trained.coefficients.clone()
    waves[..., 0] += 0.3
    return replace(trained, coefficients=waves)


@pytest.fixture
def viewer(splats: Splats, cameras: list[NamedCamera]) -> Iterator[Viewer]:
    with Viewer(SceneSource(splats), port=0, cameras=cameras) as viewer:
        yield viewer


@pytest.fixture
def page(browser: Any, viewer: Viewer) -> Iterator[Any]:
    page = browser.new_page(viewport=VIEWPORT)
    page.goto(viewer.url)
    page.wait_for_function("window.__gaborsplat?.last > 0")
    yield page
    page.close()


class Expected:
    """What a page should show at rest: our own picture from where it says its camera stands."""

    def __init__(self, viewer: Viewer, splats: Splats, cameras: list[NamedCamera]) -> None:
        self._viewer, self._splats = viewer, splats
        self._renderer = PictureRenderer(Renderers(), NearestPhoto(cameras))

    def picture(self, settings: ViewSettings, client: int = -1) -> Image:
        handle = list(self._viewer._server.get_clients().values())[client]
        pose = pose_of(handle.camera)
        assert pose is not None
        size = (VIEWPORT["width"], VIEWPORT["height"])
        camera = camera_at(pose, pose.canvas).resized(size)
        return self._renderer.draw(Scene(self._splats), camera, settings).picture[CLEAR]


@pytest.fixture
def expected(viewer: Viewer, splats: Splats, cameras: list[NamedCamera]) -> Expected:
    return Expected(viewer, splats, cameras)


def shows(page: Any, picture: Callable[[], Image]) -> Callable[[], bool]:
    return lambda: psnr(shot(page), picture()) > SAME


def stats(page: Any) -> dict[str, Any]:
    return page.evaluate("({...window.__gaborsplat})")


def choose(page: Any, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_the_page_shows_the_demo_scene(page: Any, expected: Expected) -> None:
    picture = lambda: expected.picture(ViewSettings())  # noqa: E731
    eventually(page, shows(page, picture))
    assert picture().std() > 20


def test_dragging_moves_the_picture_and_every_frame_comes_in_order(
    page: Any, expected: Expected
) -> None:
    eventually(page, shows(page, lambda: expected.picture(ViewSettings())))
    before, shown = shot(page), stats(page)["shown"]
    for direction in (1, -1, 1):
        drag(page, 90 * direction, 20)
    eventually(page, shows(page, lambda: expected.picture(ViewSettings())))
    assert psnr(before, shot(page)) < 25
    after = stats(page)
    assert after["fitted"]
    assert after["outOfOrder"] == 0
    # Numbers count what was sent. What was not shown was dropped here, or replaced before it left.
    assert after["shown"] >= shown + 3
    assert after["shown"] + after["dropped"] <= after["last"]


def test_modes_and_waves_are_what_the_panel_says(page: Any, expected: Expected) -> None:
    for mode in ("depth", "alpha", "normals", "centres", "frequency"):
        choose(page, "Show", mode)
        eventually(page, shows(page, lambda: expected.picture(ViewSettings(mode=mode))))  # noqa: B023
    choose(page, "Show", "rgb")
    page.get_by_label("Gabor waves").uncheck()
    plain = ViewSettings(waves=False)
    eventually(page, shows(page, lambda: expected.picture(plain)))
    assert psnr(expected.picture(plain), expected.picture(ViewSettings())) < SAME


def test_the_nearest_photo_stands_beside_the_scene(page: Any, expected: Expected) -> None:
    page.mouse.move(600, 200)
    page.mouse.wheel(0, 2000)  # the panel is longer than the window
    choose(page, "Beside", "nearest photo")
    halves = ViewSettings(beside="photo")
    eventually(page, shows(page, lambda: expected.picture(halves)))


def test_training_cameras_are_drawn_when_asked_for(page: Any, expected: Expected) -> None:
    eventually(page, shows(page, lambda: expected.picture(ViewSettings())))
    page.get_by_role("tab", name="Camera").click()
    page.get_by_label("Cameras", exact=True).check()
    # From a step back the frustums stand before the scene, in a colour that it does not have.
    page.keyboard.down("s")
    eventually(page, lambda: orange(shot(page)) > 40)
    page.keyboard.up("s")
    page.get_by_label("Cameras", exact=True).uncheck()
    eventually(page, shows(page, lambda: expected.picture(ViewSettings())))


def orange(picture: Image) -> int:
    """Pixels in the colour of the frustums."""
    red, green, blue = (picture[..., i].astype(int) for i in range(3))
    return int(np.sum((red > 200) & (abs(green - 150) < 60) & (blue < 110) & (red - blue > 120)))


def test_two_pages_have_cameras_and_settings_of_their_own(
    browser: Any, page: Any, viewer: Viewer, expected: Expected
) -> None:
    other = browser.new_page(viewport=VIEWPORT)
    other.goto(viewer.url)
    eventually(other, lambda: len(viewer._server.get_clients()) == 2)
    eventually(other, shows(other, lambda: expected.picture(ViewSettings(), client=1)))
    choose(other, "Show", "alpha")
    drag(other, 100, 0)
    alpha = ViewSettings(mode="alpha")
    eventually(other, shows(other, lambda: expected.picture(alpha, client=1)))
    eventually(page, shows(page, lambda: expected.picture(ViewSettings(), client=0)))
    assert psnr(expected.picture(alpha, 0), expected.picture(alpha, 1)) < SAME
    other.close()


def test_a_page_connects_again_by_itself(page: Any, viewer: Viewer, expected: Expected) -> None:
    eventually(page, shows(page, lambda: expected.picture(ViewSettings())))
    drag(page, 60, 0)
    (before,) = viewer._server.get_clients()
    viewer._server._websock_server.disconnect_all_clients()
    eventually(page, lambda: before not in viewer._server.get_clients())
    eventually(page, lambda: len(viewer._server.get_clients()) == 1)
    drag(page, -40, 10)
    eventually(page, shows(page, lambda: expected.picture(ViewSettings())))
    assert stats(page)["outOfOrder"] == 0


def test_a_page_at_rest_connects_again_by_itself(
    page: Any, viewer: Viewer, splats: Splats, expected: Expected
) -> None:
    eventually(page, shows(page, lambda: expected.picture(ViewSettings())))
    (before,) = viewer._server.get_clients()
    viewer._server._websock_server.disconnect_all_clients()
    eventually(page, lambda: before not in viewer._server.get_clients())
    eventually(page, lambda: len(viewer._server.get_clients()) == 1)
    viewer._context.source.publish(splats.without_waves())
    eventually(page, shows(page, lambda: expected.picture(ViewSettings(waves=False))))


def test_a_link_leads_to_the_same_view(browser: Any, page: Any, viewer: Viewer) -> None:
    drag(page, 80, 30)
    page.get_by_role("tab", name="Camera").click()
    link = page.get_by_role("link", name="Link to this view")
    link.wait_for()

    def where(number: int) -> list[float]:
        camera = list(viewer._server.get_clients().values())[number].camera
        return [*camera.position, *camera.look_at, camera.fov]

    def told() -> list[float]:
        query = dict(word.split("=") for word in link.get_attribute("href")[1:].split("&"))
        position, target = query["initialCameraPosition"], query["initialCameraLookAt"]
        return json.loads(f"[{position},{target},{query['initialCameraFov']}]")

    eventually(page, lambda: np.allclose(told(), where(0), rtol=1e-3, atol=1e-3))
    other = browser.new_page(viewport=VIEWPORT)
    other.goto(f"{viewer.url}/{link.get_attribute('href')}")
    eventually(other, lambda: len(viewer._server.get_clients()) == 2)
    eventually(other, lambda: np.allclose(where(1), where(0), rtol=1e-3, atol=1e-3))
    other.close()


def test_the_stock_page_shows_the_same(
    browser: Any, splats: Splats, cameras: list[NamedCamera]
) -> None:
    options = ViewerOptions(stock_page=True)
    with Viewer(SceneSource(splats), port=0, cameras=cameras, options=options) as viewer:
        page = browser.new_page(viewport=VIEWPORT)
        page.goto(viewer.url)
        eventually(page, lambda: len(viewer._server.get_clients()) == 1)
        expected = Expected(viewer, splats, cameras)
        eventually(page, shows(page, lambda: expected.picture(ViewSettings())))
        drag(page, 80, 20)
        eventually(page, shows(page, lambda: expected.picture(ViewSettings())))
        assert page.evaluate("window.__gaborsplat") is None
        page.close()


def test_an_unknown_page_is_left_as_it_is(browser: Any, viewer: Viewer, expected: Expected) -> None:
    """Another version of viser may not have what the script hangs on."""
    page = browser.new_page(viewport=VIEWPORT)
    hide = "Object.defineProperty(window, '__viserMutable', {get: () => ({}), set: () => {}})"
    page.add_init_script(hide)
    page.goto(viewer.url)
    eventually(page, lambda: len(viewer._server.get_clients()) == 1)
    eventually(page, shows(page, lambda: expected.picture(ViewSettings())))
    assert stats(page)["fitted"] is False
    page.close()
