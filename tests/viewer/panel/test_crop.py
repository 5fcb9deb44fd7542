"""The controls of the crop box, seen by a page that speaks viser's protocol."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import viser
from viewer_page import Page, eventually, opened

from gaborsplat.viewer.camera import Bounds
from gaborsplat.viewer.panel.crop import CropControl
from gaborsplat.viewer.settings import CropBox

BOUNDS = Bounds(np.array([1.0, 2.0, 3.0]), 0.5)
WHOLE = CropBox((1.0, 2.0, 3.0), (1.0, 1.0, 1.0))
TURN = (0.8, 0.0, 0.6, 0.0)


@dataclass
class Cropped:
    """A page with nothing but the crop box, and what the box was after every change."""

    page: Page
    control: CropControl
    changes: list[CropBox | None]

    def drag(self, position: Any, wxyz: Any = (1.0, 0.0, 0.0, 0.0)) -> None:
        message = self.page.named("TransformControlsMessage")[-1]
        self.page.send(
            "TransformControlsUpdateMessage",
            name=message["name"],
            owner=message["owner"],
            position=position,
            wxyz=wxyz,
        )

    def after(self, changes: int) -> CropBox | None:
        eventually(lambda: len(self.changes) >= changes)
        return self.control.box

    def turn_on(self) -> None:
        self.page.set("Crop", True)
        self.page.until(lambda: self.page.named("LineSegmentsMessage"))
        assert self.after(1) == WHOLE


@dataclass
class Made:
    controls: list[CropControl] = field(default_factory=list)
    changes: list[CropBox | None] = field(default_factory=list)

    async def make(self, client: viser.ClientHandle) -> None:
        def changed() -> None:
            self.changes.append(control.box)

        control = CropControl(client, BOUNDS, changed)
        self.controls.append(control)


@pytest.fixture
def cropped() -> Iterator[Cropped]:
    made = Made()
    server = viser.ViserServer(host="127.0.0.1", port=0, verbose=False)
    server.on_client_connect(made.make)
    address: Any = SimpleNamespace(url=f"http://127.0.0.1:{server.get_port()}")
    try:
        with opened(address) as page:
            page.until(lambda: made.controls and page.has("Crop") and page.has("Reset box"))
            yield Cropped(page, made.controls[0], made.changes)
    finally:
        server.stop()


def test_nothing_is_cropped_at_first(cropped: Cropped) -> None:
    assert cropped.control.box is None
    assert not cropped.page.named("TransformControlsMessage")
    assert not cropped.page.widget("Box size")["props"]["visible"]


def test_the_first_box_is_around_the_scene(cropped: Cropped) -> None:
    cropped.turn_on()
    cropped.page.until(lambda: cropped.page.widget("Box size")["props"]["visible"])
    (arrows,) = cropped.page.named("TransformControlsMessage")
    (outline,) = cropped.page.named("LineSegmentsMessage")
    assert outline["name"].startswith(arrows["name"] + "/")  # moves along


def test_the_box_follows_its_arrows(cropped: Cropped) -> None:
    cropped.turn_on()
    cropped.drag((4.0, 5.0, 6.0), TURN)
    assert cropped.after(2) == CropBox((4.0, 5.0, 6.0), (1.0, 1.0, 1.0), TURN)


def test_the_box_has_the_size_that_is_typed(cropped: Cropped) -> None:
    cropped.turn_on()
    cropped.page.set("Box size", (3, 2.5, -7))
    box = cropped.after(2)
    assert box is not None
    assert box.size == (3.0, 2.5, 0.01)  # the smallest step
    cropped.page.until(lambda: cropped.page.named("SceneNodeUpdateMessage"))


def test_a_box_that_is_switched_off_is_hidden_and_kept(cropped: Cropped) -> None:
    cropped.turn_on()
    cropped.drag((4.0, 5.0, 6.0))
    cropped.page.set("Crop", False)
    assert cropped.after(3) is None
    cropped.page.until(lambda: not visible(cropped.page))
    cropped.page.set("Crop", True)
    assert cropped.after(4) == CropBox((4.0, 5.0, 6.0), (1.0, 1.0, 1.0))
    cropped.page.until(lambda: visible(cropped.page))
    assert len(cropped.page.named("TransformControlsMessage")) == 1


@pytest.mark.parametrize("position", [(4, 5, 6), (math.nan, 0.0, 0.0)])
def test_a_reset_brings_the_first_box_back(cropped: Cropped, position: Any) -> None:
    cropped.turn_on()
    cropped.drag(position, TURN)
    cropped.page.set("Box size", (3.0, 2.0, 1.0))
    assert cropped.after(3) != WHOLE
    cropped.page.click("Reset box")
    assert cropped.after(4) == WHOLE
    cropped.page.until(lambda: moved_to(cropped.page) == WHOLE.centre)
    cropped.page.until(lambda: shown_size(cropped.page) == WHOLE.size)


def moved_to(page: Page) -> tuple[float, ...] | None:
    """Where the server has put the arrows."""
    moves = [each for each in page.named("SetPositionMessage") if each["name"] == "/crop"]
    return tuple(moves[-1]["position"]) if moves else None


def shown_size(page: Page) -> tuple[float, ...] | None:
    """What the server has put into the field."""
    return tuple(page.widget("Box size")["props"].get("value", ())) or None


def visible(page: Page) -> bool:
    shown = [m for m in page.named("SetSceneNodeVisibilityMessage") if m["name"] == "/crop"]
    return bool(shown[-1]["visible"]) if shown else True


@pytest.mark.filterwarnings("ignore:.viser. .* does not match annotation:UserWarning")
@pytest.mark.parametrize(
    ("position", "wxyz"),
    [
        ((math.nan, 0.0, 0.0), TURN),
        ((math.inf, 0.0, 0.0), TURN),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)),
        ((0.0, 0.0, 0.0), (math.nan, 0.0, 0.0, 1.0)),
        ((0.0, 0.0), TURN),
        ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0)),
    ],
)
def test_arrows_that_point_nowhere_leave_the_box_alone(
    cropped: Cropped, position: Any, wxyz: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    cropped.turn_on()
    cropped.drag(position, wxyz)
    assert cropped.after(2) == WHOLE
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("size", [(math.nan, 1.0, 1.0), (1.0, 1.0), (math.inf, 1.0, 1.0)])
def test_a_size_that_is_none_leaves_the_box_alone(
    cropped: Cropped, size: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    cropped.turn_on()
    cropped.page.set("Box size", size)
    assert cropped.after(2) == WHOLE
    assert "Traceback" not in capfd.readouterr().err


def test_no_size_is_too_large_to_be_drawn(cropped: Cropped) -> None:
    cropped.turn_on()
    cropped.page.set("Box size", (1e300, 1.0, 1.0))
    box = cropped.after(2)
    assert box is not None
    assert 1e3 < box.size[0] < 1e9
