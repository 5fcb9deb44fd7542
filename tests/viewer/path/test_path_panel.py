"""The camera path editor, seen by a page that speaks viser's protocol."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from path_studio import (
    ORIGIN,
    Studio,
    add_at,
    frustums,
    moves,
    nodes,
    positions,
    running,
    small_video,
    upload,
    value,
    visiting,
)
from viewer_page import Page, downloads, notes

from gaborsplat import camera_path
from gaborsplat.viewer.camera import camera_at
from gaborsplat.viewer.path import panel as path_panel

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


def test_keyframes_are_shown_with_the_way_between_them(page: Page, studio: Studio) -> None:
    add_at(page, 0.0, 1.0, 3.0)
    assert positions(page) == [0.0, 1.0, 3.0]
    assert "/camera_path/line" in nodes(page)
    assert page.widget("Keyframe")["props"]["options"] == ["1", "2", "3"]
    assert "4.0 s, 121 frames" in page.panel
    assert studio.panels[0].visible
    assert studio.seen[-1]


def test_a_keyframe_is_added_after_the_chosen_one(page: Page) -> None:
    add_at(page, 0.0, 1.0)
    page.set("Keyframe", "1")
    add_at(page, 0.5)
    page.until(lambda: positions(page) == [0.0, 0.5, 1.0])
    assert value(page, "Keyframe") == "2"


def test_keyframes_can_be_replaced_deleted_and_cleared(page: Page, studio: Studio) -> None:
    add_at(page, 0.0, 1.0, 2.0)
    page.set("Keyframe", "2")
    page.look_from((1.5, 0.0, -4.0))
    page.set("Edit", "Replace")
    page.until(lambda: positions(page) == [0.0, 1.5, 2.0])
    page.set("Edit", "Delete")
    page.until(lambda: positions(page) == [0.0, 2.0])
    page.set("Edit", "Delete")
    page.until(lambda: positions(page) == [2.0])
    assert "/camera_path/line" not in nodes(page)
    page.click("Clear path")
    page.until(lambda: not nodes(page))
    assert page.widget("Keyframe")["props"]["options"] == ["none"]
    assert not studio.seen[-1]
    for label in ("Preview", "Save path", "Render video", "Clear path"):
        assert page.widget(label)["props"]["disabled"]


def test_going_to_a_keyframe_moves_the_camera(page: Page) -> None:
    add_at(page, 0.0, 2.0)
    page.set("Keyframe", "1")
    page.set("Edit", "Go to")
    page.until(lambda: moves(page))
    assert moves(page)[-1] == pytest.approx((0, 0, -4), abs=1e-5)
    look_at = page.named("SetCameraLookAtMessage")[-1]["look_at"]
    assert look_at[0] == pytest.approx(0, abs=1e-5)
    assert look_at[2] > -4


def test_a_click_on_a_keyframe_goes_there(page: Page) -> None:
    add_at(page, 0.0, 2.0)
    page.look_from((5.0, 0.0, -4.0))
    frustum = next(
        each
        for each in page.named("CameraFrustumMessage")[::-1]
        if each["name"] == "/camera_path/0"
    )
    page.click_on(frustum)
    page.until(lambda: moves(page))
    assert moves(page)[-1] == pytest.approx((0, 0, -4), abs=1e-5)
    page.until(lambda: value(page, "Keyframe") == "1")


def test_a_look_straight_down_leaves_the_axis_that_the_camera_turns_around(page: Page) -> None:
    place = (0.0, -4.0, 0.0)  # y points down
    down, oblique = (
        (math.cos(angle / 2), -math.sin(angle / 2), 0.0, 0.0)
        for angle in (math.pi / 2, math.pi / 4)
    )
    for count, wxyz in enumerate((down, oblique), 1):
        page.look_from(place, wxyz)
        page.click("Add keyframe")
        page.until(lambda count=count: len(frustums(page)) == count)

    def told_up(keyframe: str) -> tuple[float, ...]:
        before = len(page.named("SetCameraUpDirectionMessage"))
        page.set("Keyframe", keyframe)
        page.set("Edit", "Go to")
        page.until(lambda: len(page.named("SetCameraUpDirectionMessage")) > before)
        return tuple(page.named("SetCameraUpDirectionMessage")[-1]["position"])

    up = told_up("1")
    assert up == pytest.approx((0, 0, 1), abs=1e-5)
    page.look_from(place, down, up=up)  # a browser says what it was told
    assert told_up("2") == pytest.approx((0, -1, 0), abs=1e-5)


def test_every_keyframe_has_its_own_time(page: Page) -> None:
    add_at(page, 0.0, 1.0, 2.0)
    page.set("Keyframe", "1")
    page.set("Seconds to next", 5.0)
    page.until(lambda: "7.0 s" in page.panel)
    page.set("Keyframe", "2")
    page.until(lambda: value(page, "Seconds to next") == 2.0)
    page.set("Loop", True)
    page.set("Frames per second", 10)
    page.until(lambda: "9.0 s, 90 frames" in page.panel)


def test_the_path_can_be_hidden(page: Page, studio: Studio) -> None:
    add_at(page, 0.0, 1.0)
    page.set("Show path", False)
    page.until(lambda: not nodes(page))
    assert not studio.panels[0].visible
    page.set("Show path", True)
    page.until(lambda: positions(page) == [0.0, 1.0])
    assert studio.panels[0].visible


def test_a_saved_path_is_read_by_the_command_line_and_by_another_browser(
    page: Page, studio: Studio, tmp_path: Path
) -> None:
    small_video(page)
    add_at(page, 0.0, 1.0, 3.0)
    page.set("Keyframe", "1")
    page.set("Seconds to next", 0.5)
    page.set("Loop", True)
    page.until(lambda: "4.5 s" in page.panel)
    page.click("Save path")
    page.until(lambda: downloads(page))
    ((name, content),) = downloads(page)
    assert name == "camera_path.json"
    saved = json.loads(content)
    assert (saved["render_width"], saved["render_height"], saved["fps"]) == (64, 48, 5)
    assert saved["keyframes"][1]["matrix"][3::4] == pytest.approx([11, 20, 26, 1])

    file = tmp_path / name
    file.write_bytes(content)
    film = camera_path.from_file(file, ORIGIN)
    assert (film.size, film.fps) == ((64, 48), 5)
    cameras = camera_path.along(film, (64, 48))
    assert len(cameras) == len(saved["camera_path"]) == 22

    with visiting(studio) as other:
        upload(other, name, content)
        other.until(lambda: len(frustums(other)) == 3)
        assert positions(other) == pytest.approx([0.0, 1.0, 3.0])
        other.until(lambda: "4.5 s" in other.panel)
        for label, expected in (
            ("Loop", True),
            ("Frames per second", 5),
            ("Seconds to next", 0.5),
            ("Keyframe", "1"),
        ):
            other.until(lambda label=label, expected=expected: value(other, label) == expected)
        small_video(other)
        other.click("Render video")
        other.until(lambda: downloads(other))
    for camera, (pose, size) in zip(cameras, studio.drawn, strict=True):
        expected = camera_at(pose, size)
        np.testing.assert_allclose(
            camera.world_to_camera, expected.world_to_camera, atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("content", [b"", b"{}", b'{"camera_path": [1]}', b"\x89PNG"])
def test_a_bad_file_is_told_and_loses_nothing(page: Page, content: bytes) -> None:
    add_at(page, 0.0, 1.0)
    upload(page, "bad.json", content)
    page.until(lambda: notes(page))
    ((title, body),) = notes(page)
    assert title == "Load path failed"
    assert body.startswith("bad.json: not a camera path: ")
    assert positions(page) == [0.0, 1.0]


def test_a_huge_file_is_not_even_read(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_panel, "MAX_FILE", 2**20)
    upload(page, "huge.json", b" " * (2**20 + 1))
    page.until(lambda: notes(page))
    assert notes(page) == [("Load path failed", "huge.json: larger than 1 MiB")]
