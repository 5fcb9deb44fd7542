"""What the panel does on threads of its own: previews, videos and screenshots."""

from __future__ import annotations

import gc
import logging
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import viser
from path_studio import (
    COLOR,
    Studio,
    add_at,
    moves,
    nodes,
    positions,
    running,
    shared,
    small_video,
    value,
    visiting,
)
from viewer_page import CANVAS, Page, downloads, eventually, notes, sessions
from websockets.sync.client import connect

from gaborsplat.scenes import InputError
from gaborsplat.viewer.background import BackgroundTasks
from gaborsplat.viewer.budget import SHARE
from gaborsplat.viewer.panel.screenshot import MAX_SIDE
from gaborsplat.viewer.picture.draw import BYTES
from gaborsplat.viewer.reports import MAX_LINE

# A browser may leave at any moment, also between two messages to it.
pytestmark = pytest.mark.filterwarnings("ignore:Queued a .* on a closed connection:UserWarning")


@pytest.fixture
def studio() -> Iterator[Studio]:
    with running() as studio:
        yield studio


@pytest.fixture
def page(studio: Studio) -> Iterator[Page]:
    with visiting(studio) as page:
        yield page


def test_a_preview_moves_the_camera_along_the_path(page: Page, studio: Studio) -> None:
    add_at(page, 0.0, 3.0)
    page.set("Keyframe", "1")
    page.set("Seconds to next", 0.5)
    page.until(lambda: "0.5 s" in page.panel)
    page.click("Preview")
    page.until(lambda: page.has("Stop preview"))
    page.until(lambda: not nodes(page))  # it would pass right through the frustums
    assert not studio.seen[-1]
    page.until(lambda: page.has("Preview"))
    way = [x for x, _, _ in moves(page)]
    assert len(way) > 3
    assert way == sorted(way)
    assert way[-1] == pytest.approx(3)
    page.until(lambda: positions(page) == [0.0, 3.0])
    assert studio.seen[-1]


def test_a_preview_can_be_stopped(page: Page) -> None:
    add_at(page, 0.0, 3.0)
    page.set("Loop", True)
    page.until(lambda: "4.0 s" in page.panel)
    page.click("Preview")
    page.until(lambda: len(moves(page)) > 2)
    page.click("Stop preview")
    page.until(lambda: page.has("Preview"))
    eventually(lambda: not sessions())


def test_a_video_is_rendered_and_sent(page: Page, studio: Studio) -> None:
    small_video(page)
    page.set("Video height", 49)
    add_at(page, 0.0, 1.0)
    page.until(lambda: "2.0 s, 11 frames" in page.panel)
    page.click("Render video")
    page.until(lambda: downloads(page))
    ((name, content),) = downloads(page)
    assert name == "camera_path.mp4"
    assert content[4:8] == b"ftyp"
    assert len(studio.drawn) == 11
    assert {size for _, size in studio.drawn} == {(64, 48)}
    assert [pose.position[0] for pose, _ in studio.drawn] == pytest.approx(np.linspace(0, 1, 11))
    (bar,) = (each for each in page.widgets.values() if each["type"] == "GuiProgressBarMessage")
    page.until(lambda: not bar["props"]["visible"])
    assert not page.widget("Cancel video")["props"]["visible"]
    assert not notes(page)


def test_the_pictures_of_a_video_keep_their_colours(page: Page, tmp_path: Path) -> None:
    small_video(page)
    add_at(page, 0.0)
    page.click("Render video")
    page.until(lambda: downloads(page))
    film = tmp_path / "film.mp4"
    film.write_bytes(downloads(page)[0][1])
    reader = cv2.VideoCapture(str(film))
    there, picture = reader.read()
    reader.release()
    assert there
    np.testing.assert_allclose(picture[24, 32, ::-1], COLOR, atol=12)  # what the codec loses


def test_a_video_can_be_cancelled_and_there_is_one_job_at_a_time(
    page: Page, studio: Studio
) -> None:
    studio.gate = threading.Event()
    small_video(page)
    add_at(page, 0.0, 1.0)
    page.click("Render video")
    page.until(lambda: page.widget("Cancel video")["props"]["visible"])
    page.click("Preview")
    page.until(lambda: notes(page))
    assert notes(page) == [("Preview: not now", "Render video is still running.")]
    add_at(page, 2.0)  # the panel lives on
    page.click("Cancel video")
    page.set("Loop", True)
    page.until(lambda: "6.0 s" in page.panel)  # so the click before has arrived
    studio.gate.set()
    page.until(lambda: not page.widget("Cancel video")["props"]["visible"])
    eventually(lambda: not sessions())
    assert len(studio.drawn) == 1
    assert not downloads(page)
    page.click("Render video")
    page.until(lambda: downloads(page))


def test_an_error_in_a_picture_is_told_and_logged(
    page: Page, studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    studio.error = RuntimeError("out of\nmemory " + 1000 * "x")
    small_video(page)
    add_at(page, 0.0, 1.0)
    page.click("Render video")
    page.until(lambda: notes(page))
    ((title, body),) = notes(page)
    assert title == "Render video failed"
    assert body.startswith("RuntimeError: out of memory")
    assert len(body) < MAX_LINE + 10
    assert page.named("NotificationShowMessage")[0]["props"]["color"] == "red"
    assert any(record.exc_info for record in caplog.records)
    page.until(lambda: not page.widget("Cancel video")["props"]["visible"])


def test_bad_input_is_told_and_logged_in_one_line(
    page: Page, studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    studio.error = InputError("there is nothing to draw yet")
    page.click("Save screenshot")
    page.until(lambda: notes(page))
    assert notes(page) == [("Save screenshot failed", "there is nothing to draw yet")]
    (record,) = (each for each in caplog.records if each.name == "gaborsplat.viewer.reports")
    assert record.getMessage() == "Save screenshot: there is nothing to draw yet"
    assert not record.exc_info


@pytest.mark.parametrize("job", ["Preview", "Render video", "Save screenshot"])
def test_a_job_ends_when_its_browser_leaves(studio: Studio, job: str) -> None:
    studio.gate = threading.Event()
    with visiting(studio) as page:
        add_at(page, 0.0, 1.0)
        page.set("Loop", True)
        page.click(job)
        page.until(lambda: page.has("Stop preview") or studio.drawn)
        assert sessions()
    eventually(lambda: studio.tasks[0].closed)
    studio.gate.set()
    eventually(lambda: not sessions())


def test_closing_ends_all_for_good(page: Page, studio: Studio) -> None:
    add_at(page, 0.0, 1.0)
    page.set("Loop", True)
    page.click("Preview")
    page.until(lambda: page.has("Stop preview"))
    studio.tasks[0].close()
    assert not sessions()
    studio.tasks[0].close()
    page.click("Render video")
    page.set("Loop", False)
    page.until(lambda: "2.0 s" in page.panel)  # so the click before has arrived
    assert not sessions()
    assert not studio.drawn


NONSENSE: list[tuple[str, Any]] = [
    ("Keyframe", "99"),
    ("Keyframe", "none"),
    ("Keyframe", ""),
    ("Edit", "Explode"),
    ("Seconds to next", math.nan),
    ("Seconds to next", -1.0),
    ("Seconds to next", math.inf),
    ("Frames per second", -(10**9)),
    ("Frames per second", 2**63),
    ("Frames per second", 400 * "9"),  # an integer too large for a float
    ("Video width", 10**9),
    ("Video height", -5),
    ("Video height", 17),
    ("Screenshot width", -1),
    ("Screenshot height", 0),
]


def test_nonsense_from_a_page_never_raises(
    page: Page,
    studio: Studio,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for label, wrong in NONSENSE:
        page.set(label, wrong)
    add_at(page, 0.0, 1.0)
    for label, wrong in NONSENSE:
        page.set(label, wrong)
    for where in ((math.nan, 0.0, 0.0), (1e300, 0.0, 0.0)):
        page.look_from(where)
        for label, what in (("Add keyframe", True), ("Edit", "Replace"), ("Edit", "Go to")):
            page.set(label, what)
        page.click("Preview")
        page.click("Save screenshot")
    page.look_from((0.0, 0.0, -4.0), canvas=(0, 0))
    page.click("Save screenshot")
    page.look_from((2.0, 0.0, -4.0))
    page.set("Video width", 64)
    page.set("Frames per second", 2)
    page.set("Screenshot width", 3)
    page.set("Screenshot height", 2)
    add_at(page, 2.0)
    page.click("Save screenshot")
    page.until(lambda: any(name.endswith(".png") for name, _ in downloads(page)))
    gc.collect()  # a task tells of its exception when it goes
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "Traceback" not in capfd.readouterr().err  # of viser's own threads


def test_a_screenshot_has_the_size_of_the_canvas_or_any_other(page: Page, studio: Studio) -> None:
    assert (value(page, "Screenshot width"), value(page, "Screenshot height")) == CANVAS
    page.look_from((1.0, 2.0, 3.0), canvas=(90, 70))
    page.until(lambda: value(page, "Screenshot width") == 90)
    page.click("Save screenshot")
    page.until(lambda: len(downloads(page)) == 1)
    eventually(lambda: not sessions())
    page.set("Screenshot width", 33)
    page.look_from((1.0, 2.0, 4.0), canvas=(100, 100))
    page.click("Save screenshot")
    page.until(lambda: len(downloads(page)) == 2)
    assert [name for name, _ in downloads(page)] == ["gaborsplat-1.png", "gaborsplat-2.png"]
    shapes = []
    for _, content in downloads(page):
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert (picture[..., ::-1] == COLOR).all()
        shapes.append(picture.shape)
    assert shapes == [(70, 90, 3), (70, 33, 3)]
    assert [pose.position for pose, _ in studio.drawn] == [(1, 2, 3), (1, 2, 4)]


def test_a_task_can_close_the_tasks_of_its_browser(studio: Studio, page: Page) -> None:
    (client,) = studio.server.get_clients().values()
    tasks = BackgroundTasks(client, studio.shared)
    done = threading.Event()

    def work() -> None:
        tasks.close()
        done.set()

    assert tasks.run("Closing", work)
    assert done.wait(20)
    assert not tasks.run("More", work)


def test_huge_screenshots_wait_in_line(studio: Studio) -> None:
    """The memory has room for one of them at a time."""
    side = 4000
    studio.shared = shared(1.5 * side * side * BYTES / SHARE)
    studio.gate = threading.Event()
    with visiting(studio) as first, visiting(studio) as second, visiting(studio) as third:
        pages = (first, second, third)
        for page in pages:
            page.set("Screenshot width", side)
            page.set("Screenshot height", side)
        first.click("Save screenshot")
        eventually(lambda: len(studio.drawn) == 1)
        for page in (second, third):
            page.click("Save screenshot")
            page.until(lambda page=page: notes(page))
            waits = ("Save screenshot: waiting", "Others are saving large pictures.")
            assert notes(page) == [waits]
        assert len(studio.drawn) == 1
        studio.gate.set()
        for page in pages:
            page.until(lambda page=page: downloads(page))
        assert studio.drawn[-1][1] == (side, side)
        assert len(studio.drawn) == 3


def test_a_screenshot_beyond_all_memory_is_refused_in_a_line(studio: Studio) -> None:
    studio.shared = shared(2e9)
    with visiting(studio) as page:
        page.set("Screenshot width", 10**6)
        page.set("Screenshot height", MAX_SIDE)
        page.click("Save screenshot")
        page.until(lambda: notes(page))
        ((title, body),) = notes(page)
        assert title == "Save screenshot failed"
        assert body == (
            "that takes about 3.2 GB of memory, and at most 1.0 GB may be taken; "
            "choose fewer pixels"
        )
        assert not studio.drawn
        page.set("Screenshot width", 60)
        page.set("Screenshot height", 40)
        page.click("Save screenshot")
        page.until(lambda: downloads(page))


def test_a_video_takes_memory_for_one_picture_at_a_time(studio: Studio) -> None:
    with visiting(studio) as page:
        studio.shared = shared(1.5 * 64 * 48 * BYTES / SHARE)  # of the next page
        with visiting(studio) as frugal:
            small_video(frugal)
            add_at(frugal, 0.0, 1.0)
            frugal.click("Render video")
            frugal.until(lambda: downloads(frugal))
        assert len(studio.drawn) == 11
        assert not notes(page)


def test_a_browser_that_does_not_read_gets_one_file_at_a_time(studio: Studio) -> None:
    """A file that nobody takes is not followed by others, which would pile up."""
    noise = np.random.default_rng(0).integers(0, 256, (4000, 4000, 3), np.uint8)  # no PNG is less
    studio.draw = lambda pose, size: studio.drawn.append((pose, size)) or noise
    protocol: Any = f"viser-v{viser.__version__}"
    options: dict[str, Any] = {"subprotocols": [protocol], "max_size": None, "max_queue": 1}
    with connect(studio.url.replace("http", "ws"), **options) as connection:
        page = Page(connection)
        page.until(lambda: page.has("Save screenshot"))
        page.click("Save screenshot")
        eventually(lambda: studio.drawn)
        for _ in range(20):
            page.click("Save screenshot")
        threading.Event().wait(2)
        assert studio.tasks[0].busy
        page.until(lambda: downloads(page))
        eventually(lambda: not studio.tasks[0].busy)
        assert len(studio.drawn) == 1
        page.click("Save screenshot")
        page.until(lambda: len(downloads(page)) == 2)
