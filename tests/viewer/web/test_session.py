"""One browser's session: what it tells, saves and survives, and how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from viewer_page import (
    CANVAS,
    ORANGE,
    Page,
    Painter,
    cloud,
    downloads,
    eventually,
    notes,
    opened,
    sessions,
)

from gaborsplat.viewer import SceneSource, Viewer


@pytest.fixture
def painter() -> Painter:
    return Painter()


@pytest.fixture
def source() -> SceneSource:
    return SceneSource(cloud(5, waves=1))


@pytest.fixture
def viewer(source: SceneSource, painter: Painter) -> Iterator[Viewer]:
    with Viewer(source, port=0, render=painter) as viewer:
        yield viewer


@pytest.fixture
def page(viewer: Viewer) -> Iterator[Page]:
    """A page that shows the first picture."""
    with opened(viewer) as page:
        page.picture(0)
        yield page


def test_splats_are_shown_without_a_source_around_them(painter: Painter) -> None:
    splats = cloud(5, waves=1)
    with Viewer(splats, port=0, render=painter) as viewer, opened(viewer) as page:
        page.picture(0)
    shown, _, settings = painter.calls[0]
    assert torch.equal(shown.means, splats.means)
    assert not settings.antialiased


def test_a_page_that_acknowledges_gets_sharp_pictures_soon_after_its_camera_stops(
    viewer: Viewer, painter: Painter
) -> None:
    with opened(viewer, acknowledges=True) as page:
        page.picture(0)
        for x in range(20):
            page.look_from((0.1 * x, 0.0, -4.0))
            page.until(lambda: painter.calls)
        page.until(lambda: painter.calls[-1][1].position[0] == pytest.approx(1.9))
        number = len(page.pictures)
        page.picture(number)  # the sharp one
        assert painter.calls[-1][1].position[0] == pytest.approx(1.9)
        assert painter.calls[-1][1].size == CANVAS


def test_pictures_that_cannot_be_sent_are_told_like_those_that_cannot_be_drawn(
    page: Page, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise OSError("no <room>")

    monkeypatch.setattr("gaborsplat.viewer.web.link._encoded", broken)
    for x in range(5):
        page.look_from((1.0 + x, 0.0, -4.0))
        page.until(lambda: "no &lt;room&gt;" in page.panel)
    assert caplog.text.count("Traceback") <= 3
    monkeypatch.undo()
    page.look_from((9.0, 0.0, -4.0))
    page.until(lambda: "Rendering failed" not in page.panel)


def test_a_drag_does_not_flood_the_panel(viewer: Viewer) -> None:
    with opened(viewer, acknowledges=True) as page:
        page.picture(0)
        before = len(page.messages) - len(page.pictures)
        started = time.monotonic()
        while time.monotonic() < started + 1.5:
            page.look_from((time.monotonic() - started, 0.0, -4.0))
            page.until(lambda: True)
            time.sleep(0.01)
        page.picture(len(page.pictures))
        # Numbers once a second, a handful of widgets each; and the size of screenshots once.
        assert len(page.messages) - len(page.pictures) - before < 30


def test_closing_ends_threads_that_wait_or_work(source: SceneSource, painter: Painter) -> None:
    for _ in range(20):
        viewer = Viewer(source, port=0, render=painter)
        with opened(viewer) as page:
            page.picture(0)
            page.look_from((1.0, 0.0, -4.0))
            started = time.monotonic()
            viewer.close()
            assert time.monotonic() - started < 4.0
        assert not sessions()


def test_a_screenshot_is_of_the_moment_at_which_it_was_asked_for(
    page: Page, source: SceneSource, painter: Painter
) -> None:
    page.set("Gabor waves", False)
    page.picture(1)
    page.set("Screenshot width", 60)
    page.set("Screenshot height", 40)
    painter.calls.clear()
    painter.gate = threading.Event()
    page.click("Save screenshot")
    eventually(lambda: any(call[1].size == (60, 40) for call in painter.calls))
    page.set("Gabor waves", True)
    source.publish(cloud(7))
    painter.gate.set()
    page.until(lambda: downloads(page))
    ((_, content),) = downloads(page)
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (40, 60, 3)
    np.testing.assert_allclose(picture[20, 30, ::-1] / 255, ORANGE, atol=0.01)
    (drawn,) = (call for call in painter.calls if call[1].size == (60, 40))
    assert (len(drawn[0]), drawn[0].waves) == (5, 0)


def test_before_the_first_scene_there_is_nothing_to_save(
    painter: Painter, caplog: pytest.LogCaptureFixture
) -> None:
    with Viewer(SceneSource(), port=0, render=painter) as viewer, opened(viewer) as page:
        page.until(lambda: page.has("Save screenshot"))
        page.click("Save screenshot")
        page.until(lambda: notes(page))
        assert "before the first step" in str(notes(page))
    assert "Traceback" not in caplog.text


def test_closing_during_a_screenshot_leaves_no_thread(painter: Painter) -> None:
    viewer = Viewer(SceneSource(cloud(5)), port=0, render=painter)
    with opened(viewer) as page:
        page.picture(0)
        painter.gate = threading.Event()
        page.click("Save screenshot")
        eventually(lambda: any(each.name.endswith("-task") for each in sessions()))
        threading.Timer(0.3, painter.gate.set).start()
        viewer.close()
    eventually(lambda: not sessions())
