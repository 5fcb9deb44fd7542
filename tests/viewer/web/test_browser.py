"""The viewer in a real browser: what the page shows is what was rendered."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import synthetic
import torch
from chromium_page import (
    PATIENCE,
    VIEWPORT,
    Sky,
    drag,
    eventually,
    needed,
    psnr,
    shot,
    shows,
)

from benchmarks.page.browsing import chromium
from gaborsplat.viewer import NamedCamera, SceneSource, Viewer
from gaborsplat.viewer.pacing.resolution import MIN_LONGEST_SIDE

pytestmark = [needed, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


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
