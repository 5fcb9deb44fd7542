"""Every control of an exported page, in a real browser."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium_page import PATIENCE, needed
from scene_page import ScenePage, scene_page

pytestmark = [needed, pytest.mark.slow]


def test_it_begins_at_the_start_view_and_returns_there(shown: ScenePage):
    start = shown.pose()
    assert start == pytest.approx([0.5, 0, -4, 0, 0, 0])
    shown.page.mouse.move(100, 180)
    shown.page.mouse.down()
    shown.page.mouse.move(150, 190, steps=3)
    shown.page.mouse.up()
    assert shown.pose() != pytest.approx(start)
    shown.page.keyboard.press("h")
    assert shown.pose() == pytest.approx(start)


def distance(pose: list[float]) -> float:
    return float(np.linalg.norm(np.subtract(pose[:3], pose[3:])))


def test_dragging_orbits_wheels_zoom_and_shift_moves(shown: ScenePage):
    before = shown.pose()
    shown.page.mouse.move(100, 180)
    shown.page.mouse.down()
    shown.page.mouse.move(140, 180, steps=2)
    shown.page.mouse.up()
    orbited = shown.pose()
    assert orbited[3:] == pytest.approx(before[3:])
    assert distance(orbited) == pytest.approx(distance(before))
    assert orbited[:3] != pytest.approx(before[:3])
    shown.page.mouse.wheel(0, -200)
    shown.until("__gaborsplat.show.camera.distance() < 3.9")
    shown.page.keyboard.down("Shift")
    shown.page.mouse.down()
    shown.page.mouse.move(150, 200, steps=2)
    shown.page.mouse.up()
    shown.page.keyboard.up("Shift")
    assert shown.pose()[3:] != pytest.approx(before[3:])


def test_keys_fly_and_turn(shown: ScenePage):
    shown.page.locator("#canvas").focus()
    for key in ("w", "a", "s", "d", "q", "e", "ArrowLeft", "ArrowUp"):
        before = shown.pose()
        shown.page.keyboard.down(key)
        deadline = time.monotonic() + PATIENCE
        while shown.pose() == pytest.approx(before):
            assert time.monotonic() < deadline, key
            shown.page.wait_for_timeout(20)
        shown.page.keyboard.up(key)


def test_flying_turns_the_head(shown: ScenePage):
    shown.page.locator("[data-does=fly]").click()
    assert shown.pressed("fly")
    before = shown.pose()
    shown.page.mouse.move(100, 200)
    shown.page.mouse.down()
    shown.page.mouse.move(130, 200, steps=2)
    shown.page.mouse.up()
    after = shown.pose()
    assert after[:3] == pytest.approx(before[:3])
    assert after[3:] != pytest.approx(before[3:])


def test_waves_are_switched_and_compared_at_a_divider(shown: ScenePage):
    whole = shown.shot()
    shown.page.locator("[data-does=waves]").click()
    shown.until_still()
    assert not shown.pressed("waves")
    plain = shown.shot()
    shown.page.locator("[data-does=waves]").click()
    shown.page.locator("[data-does=split]").click()
    shown.until_still()
    split = shown.shot()
    rows = slice(180, 200)  # between the header, the divider's labels and the bar
    assert np.array_equal(split[rows, :60], whole[rows, :60])
    assert np.array_equal(split[rows, -60:], plain[rows, -60:])
    assert not np.array_equal(whole[rows], plain[rows])
    shown.page.mouse.move(240, 200)
    shown.page.mouse.down()
    shown.page.mouse.move(120, 200, steps=3)
    shown.page.mouse.up()
    assert shown.page.locator("#divider").get_attribute("aria-valuenow") == "25"
    shown.page.keyboard.press("ArrowRight")
    assert shown.page.locator("#divider").get_attribute("aria-valuenow") == "27"


def test_the_path_is_played_to_its_end_or_until_somebody_moves(shown: ScenePage):
    shown.page.locator("[data-does=path]").click()
    shown.until("__gaborsplat.show.camera.eye[0] > 1")
    shown.page.mouse.move(100, 200)
    shown.page.mouse.wheel(0, 20)
    shown.until("__gaborsplat.travelled === null")
    assert not shown.pressed("path")
    shown.page.keyboard.press("Space")
    assert shown.pressed("path")
    shown.until("__gaborsplat.travelled === null")
    assert shown.pose()[0] == pytest.approx(-2, abs=0.3)


def test_places_of_photos_are_marked(shown: ScenePage):
    marked = """() => document.getElementById("marks").getContext("2d")
        .getImageData(0, 0, 480, 300).data.some(Boolean)"""
    assert not shown.page.evaluate(marked)
    shown.page.keyboard.press("p")
    shown.until_still()
    assert shown.page.evaluate(marked)


def test_help_is_shown_and_hidden(shown: ScenePage):
    for visible in (True, False):
        shown.page.keyboard.press("k")
        assert shown.page.locator("#keys").is_visible() == visible


def test_full_screen_is_entered_and_left(shown: ScenePage):
    for wanted in ("document.fullscreenElement", "!document.fullscreenElement"):
        shown.page.locator("[data-does=full]").click()
        shown.until(wanted)


def test_fingers_turn_and_pinch(browser: Any, folder: Path):
    with scene_page(browser, has_touch=True) as page:
        page.open(folder / "scene.html")
        page.until_ready()
        before = page.pose()
        touch = """([kind, id, x, y]) => document.getElementById("canvas").dispatchEvent(
            new PointerEvent(kind, { pointerId: id, pointerType: "touch", clientX: x, clientY: y,
                                     isPrimary: id === 1, buttons: 1, bubbles: true }))"""
        # Of pointers that are made up, none can be captured.
        page.page.evaluate("() => { Element.prototype.setPointerCapture = () => {}; }")
        for event in (["pointerdown", 1, 100, 100], ["pointermove", 1, 120, 100]):
            page.page.evaluate(touch, event)
        assert distance(page.pose()) == pytest.approx(distance(before))
        assert page.pose()[:3] != pytest.approx(before[:3])
        for event in (["pointerdown", 2, 140, 100], ["pointermove", 2, 160, 100]):
            page.page.evaluate(touch, event)
        assert distance(page.pose()) == pytest.approx(distance(before) / 2)
