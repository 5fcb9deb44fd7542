"""The viewer in a real browser: what the page shows is what was rendered."""

from __future__ import annotations

import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest
import synthetic
import torch

from renderer.types import Camera, Frame, RenderSettings, Splats
from viewer import NamedCamera, SceneSource, Viewer
from viewer.loop import MIN_LONGEST_SIDE
from viewer.paint import paint

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIEWPORT = {"width": 800, "height": 400}
CLEAR = (slice(170, 390), slice(10, 440))  # rows and columns that no panel or notice covers
PATIENCE = 30.0  # seconds; the page draws with a software rasteriser

Image = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass
class Sky:
    """Renders the direction of every pixel's ray as its colour, so that every pose shows."""

    error: str | None = None
    cameras: list[Camera] = field(default_factory=list)

    def __call__(self, splats: Splats, camera: Camera, settings: RenderSettings) -> Frame:
        if self.error is not None:
            raise RuntimeError(self.error)
        self.cameras.append(camera)
        return sky(camera)


def sky(camera: Camera) -> Frame:
    width, height = camera.size
    fx, fy, cx, cy = (camera.intrinsics[i, j] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    x = ((torch.arange(width) + 0.5 - cx) / fx).expand(height, width)
    y = ((torch.arange(height) + 0.5 - cy) / fy)[:, None].expand(height, width)
    rays = torch.stack([x, y, torch.ones_like(x)], dim=-1) @ camera.world_to_camera[:3, :3]
    color = 0.5 + 0.5 * rays / rays.norm(dim=-1, keepdim=True)
    return Frame(color, torch.ones(height, width), torch.full((height, width), 3.0))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def renderer() -> Sky:
    return Sky()


@pytest.fixture
def page(browser: Any, renderer: Sky) -> Iterator[Any]:
    """A page on a viewer that begins at a camera with a little roll of its own."""
    pose = synthetic.camera((640, 480), torch.float32)
    source = SceneSource(synthetic.cloud(20, dtype=torch.float32))
    with Viewer(source, port=0, render=renderer, cameras=[NamedCamera("a", pose)]) as viewer:
        page = browser.new_page(viewport=VIEWPORT)
        page.goto(viewer.url)
        yield page
        page.close()


def shot(page: Any) -> Image:
    """[H, W, 3] RGB of the part of the window that only the picture covers."""
    data = np.frombuffer(page.screenshot(), np.uint8)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)[CLEAR]


def psnr(a: Image, b: Image) -> float:
    error = float(np.mean((a.astype(float) - b.astype(float)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def shows(page: Any, renderer: Sky) -> bool:
    """Whether the page shows the last rendered picture."""
    if not renderer.cameras:
        return False
    camera = renderer.cameras[-1].resized((VIEWPORT["width"], VIEWPORT["height"]))
    return psnr(shot(page), paint(sky(camera), "rgb")[CLEAR]) > 32


def eventually(page: Any, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain"
        page.wait_for_timeout(50)


def drag(page: Any, dx: int, dy: int) -> None:
    page.mouse.move(200, 300)
    page.mouse.down()
    page.mouse.move(200 + dx, 300 + dy, steps=8)
    page.mouse.up()


def test_the_page_shows_the_rendered_picture(page: Any, renderer: Sky) -> None:
    eventually(page, lambda: shows(page, renderer))
    # The page stands where the training camera does, roll included.
    expected = synthetic.camera((640, 480), torch.float32)
    got = renderer.cameras[-1]
    torch.testing.assert_close(got.world_to_camera, expected.world_to_camera, atol=1e-3, rtol=0)
    assert page.title()


def test_dragging_turns_the_picture_and_letting_go_sharpens_it(page: Any, renderer: Sky) -> None:
    eventually(page, lambda: shows(page, renderer))
    before = shot(page)
    rendered = len(renderer.cameras)
    drag(page, 120, 40)
    eventually(page, lambda: len(renderer.cameras) > rendered and shows(page, renderer))
    assert psnr(before, shot(page)) < 25
    # The page may have lowered its canvas's resolution, but never to that of a moving picture.
    eventually(page, lambda: max(renderer.cameras[-1].size) > MIN_LONGEST_SIDE)


def test_a_page_at_rest_renders_nothing(page: Any, renderer: Sky) -> None:
    eventually(page, lambda: shows(page, renderer))
    rendered = len(renderer.cameras)
    for _ in range(5):
        page.wait_for_timeout(200)
        assert len(renderer.cameras) == rendered


def test_an_error_is_shown_in_the_panel_and_the_page_goes_on(page: Any, renderer: Sky) -> None:
    eventually(page, lambda: shows(page, renderer))
    renderer.error = "the splats <i>ran</i> away"
    drag(page, 60, 0)
    alert = page.get_by_role("alert").filter(has_text="Rendering failed")
    alert.wait_for(timeout=1000 * PATIENCE)
    assert alert.inner_text() == "Rendering failed: RuntimeError: the splats <i>ran</i> away"
    renderer.error = None
    rendered = len(renderer.cameras)
    drag(page, -90, 0)
    eventually(page, lambda: len(renderer.cameras) > rendered and shows(page, renderer))
    alert.wait_for(state="hidden", timeout=1000 * PATIENCE)


def test_closing_the_page_ends_its_thread(page: Any, renderer: Sky) -> None:
    eventually(page, lambda: shows(page, renderer))
    page.close()
    deadline = time.monotonic() + PATIENCE
    while any(thread.name.startswith("viewer-client") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
