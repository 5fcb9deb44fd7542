"""Cameras that make no sense: a page that sends one keeps the view that it had."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from viewer_page import CANVAS, Page, Painter, cloud, opened

from gaborsplat.viewer import Viewer
from gaborsplat.viewer.camera import is_camera

GOOD: dict[str, Any] = {
    "type": "ViewerCameraMessage",
    "wxyz": (1.0, 0.0, 0.0, 0.0),
    "position": (0.5, 0.0, -4.0),
    "fov": 1.0,
    "near": 0.01,
    "far": 1000.0,
    "image_width": CANVAS[0],
    "image_height": CANVAS[1],
    "look_at": (0.0, 0.0, 0.0),
    "up_direction": (0.0, -1.0, 0.0),
}

NAN, INF = math.nan, math.inf
NONSENSE: list[dict[str, Any]] = [
    *({"position": (x, 0.0, 0.0)} for x in (NAN, INF, -INF, 1e300, 1e39, 1e10)),
    *({"look_at": (0.0, x, 0.0)} for x in (NAN, INF, 1e300)),
    *({"wxyz": (x, 0.0, 0.0, 0.0)} for x in (NAN, INF, 0.0, 1e-200, 1e300)),
    *({"fov": x} for x in (NAN, INF, 0.0, -1.0, math.pi, 4.0, 1e-300, 1e300)),
    *({"up_direction": (0.0, x, 0.0)} for x in (NAN, INF, 0.0, 1e300)),
    {"look_at": GOOD["position"]},
    *({"near": x} for x in (NAN, INF, -1.0)),
    *({"far": x} for x in (NAN, INF)),
    *({"image_width": x} for x in (-1, 2**40, NAN, 1.5)),
    *({"wxyz": x} for x in (None, 1.0, "1000", (1.0, 0.0, 0.0), ("1", 0, 0, 0), [[1], 0, 0, 0])),
    *({"position": x} for x in (None, (), (0.0, 0.0), (0.0,) * 4, {"0": 1}, (None, 0, 0))),
    *({"fov": x} for x in (None, "1", (1.0,))),
]


@pytest.fixture
def painter() -> Painter:
    return Painter()


@pytest.fixture
def page(painter: Painter) -> Iterator[Page]:
    """A page that has looked about a little."""
    with Viewer(cloud(5), port=0, render=painter) as viewer, opened(viewer) as page:
        page.picture(0)
        send(page)
        page.picture(1)
        yield page


def send(page: Page, **changes: Any) -> None:
    values = GOOD | changes
    page.send(values.pop("type"), **values)


def last(page: Page, kind: str) -> dict[str, Any]:
    return page.named(kind)[-1]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=str)
def test_a_camera_that_makes_no_sense_is_known(nonsense: dict[str, Any]) -> None:
    assert not is_camera(GOOD | nonsense)


@pytest.mark.parametrize(
    "sense",
    [
        {},
        {"image_width": 0, "image_height": 0},  # a hidden page's
        {"wxyz": [0, 1, 0, 0], "position": [1, 2, 3], "fov": 1},  # integers, as pages send them
        {"position": (4e6, 5e5, 0.0), "fov": 3.0},
        {"far": 1e300},
    ],
)
def test_a_camera_that_is_unusual_is_none_of_these(sense: dict[str, Any]) -> None:
    assert is_camera(GOOD | sense)


def test_the_view_stays_and_reset_and_up_go_on_working(
    page: Page, painter: Painter, caplog: pytest.LogCaptureFixture
) -> None:
    for nonsense in NONSENSE:
        send(page, **nonsense)
    page.set("Show", "alpha")  # a picture from where the page looks now
    page.picture(2)
    assert painter.calls[-1][1].position.tolist() == pytest.approx(GOOD["position"])
    assert len(painter.calls) == 3
    initial = last(page, "SetCameraPositionMessage")
    page.click("Reset view")
    page.until(lambda: last(page, "SetCameraPositionMessage") is not initial)
    assert last(page, "SetCameraPositionMessage")["position"] == initial["position"]
    assert all(map(math.isfinite, last(page, "SetCameraLookAtMessage")["look_at"]))
    ups = len(page.named("SetCameraUpDirectionMessage"))
    page.set("Up", "+z")
    page.until(lambda: len(page.named("SetCameraUpDirectionMessage")) > ups)
    assert tuple(last(page, "SetCameraUpDirectionMessage")["position"]) == (0.0, 0.0, 1.0)
    assert len(caplog.messages) == 1
    assert "camera that makes no sense" in caplog.messages[0]
    page.until(lambda: "Link to this view" in page.panel)
    assert "nan" not in page.panel


def test_a_page_that_begins_with_nonsense_is_served_from_its_first_camera_on(
    painter: Painter,
) -> None:
    with Viewer(cloud(5), port=0, render=painter) as viewer, opened(viewer) as page:
        for nonsense in NONSENSE:
            send(page, **nonsense)
        send(page)
        page.until(lambda: len(painter.calls) > 0)
        page.picture(0)
