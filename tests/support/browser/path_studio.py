"""A server whose browsers have the camera path editor, and what a page is told by it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import viser
from viewer_page import Page, opened

from gaborsplat.viewer.background import BackgroundTasks, Shared
from gaborsplat.viewer.budget import MemoryBudget
from gaborsplat.viewer.panel.screenshot import Screenshot
from gaborsplat.viewer.path.file import Placement
from gaborsplat.viewer.path.panel import PathPanel
from gaborsplat.viewer.picture.draw import BYTES
from gaborsplat.viewer.picture.paint import Draw
from gaborsplat.viewer.reports import Reports
from gaborsplat.viewer.settings import Pose

ORIGIN = (10.0, 20.0, 30.0)
UP = np.array([0.0, -1.0, 0.0])
COLOR = (200, 120, 40)
Picture = npt.NDArray[np.uint8]


def shared(free: float = 2e9) -> Shared:
    """Log and memory of a server, of whose memory so many bytes are free."""
    return Shared(Reports(), MemoryBudget(lambda: free))


class Studio:
    """A server whose browsers have the panel and nothing else."""

    def __init__(self) -> None:
        self.server = viser.ViserServer(host="127.0.0.1", port=0, verbose=False)
        self.url = f"http://127.0.0.1:{self.server.get_port()}"
        self.shared = shared()
        self.panels: list[PathPanel] = []
        self.tasks: list[BackgroundTasks] = []  # of each browser
        self.seen: list[bool] = []  # `visible`, whenever it may have changed
        self.drawn: list[tuple[Pose, tuple[int, int]]] = []
        self.gate: threading.Event | None = None  # pictures wait for it
        self.error: Exception | None = None
        self.server.on_client_connect(self._connected)

    def draw(self, pose: Pose, size: tuple[int, int]) -> Picture:
        self.drawn.append((pose, size))
        if self.gate is not None:
            self.gate.wait(20)
        if self.error is not None:
            raise self.error
        return np.full((size[1], size[0], 3), COLOR, np.uint8)

    def _drawing(self) -> Draw:
        return Draw(self.draw, BYTES)

    async def _connected(self, client: viser.ClientHandle) -> None:
        tasks = BackgroundTasks(client, self.shared)
        with client.gui.add_folder("Path"):
            panel = PathPanel(
                client,
                tasks,
                self._drawing,
                Placement(ORIGIN),
                lambda: UP,
                lambda: self.seen.append(panel.visible),
            )
        Screenshot(client, tasks, self._drawing)
        self.panels.append(panel)
        self.tasks.append(tasks)

        @self.server.on_client_disconnect
        async def _(gone: viser.ClientHandle) -> None:
            if gone is client:
                tasks.close(0)


@contextmanager
def running() -> Iterator[Studio]:
    studio = Studio()
    try:
        yield studio
    finally:
        if studio.gate is not None:
            studio.gate.set()
        for tasks in studio.tasks:
            tasks.close()
        studio.server.stop()


@contextmanager
def visiting(studio: Studio) -> Iterator[Page]:
    """A page that shows the panel."""
    with opened(studio) as page:
        page.until(lambda: page.has("Save screenshot"))
        yield page


def frustums(page: Page) -> dict[str, dict[str, Any]]:
    """The keyframes that the page shows now."""
    return {name: each for name, each in nodes(page).items() if "line" not in name}


def nodes(page: Page) -> dict[str, dict[str, Any]]:
    there: dict[str, dict[str, Any]] = {}
    for message in page.messages:
        if message["type"] in ("CameraFrustumMessage", "LineSegmentsMessage"):
            there[message["name"]] = message["props"]
        elif message["type"] == "RemoveSceneNodeMessage":
            there.pop(message["name"], None)
    return there


def positions(page: Page) -> list[float]:
    """Of the keyframes that the page shows, along the x axis, in their order."""
    there: dict[str, float] = {}
    for message in page.messages:
        if message["type"] == "SetPositionMessage":
            there[message["name"]] = message["position"][0]
    numbered = sorted(frustums(page), key=lambda name: int(name.rpartition("/")[2]))
    return [there[name] for name in numbered]


def value(page: Page, label: str) -> Any:
    widget = page.widget(label)
    return widget["props"].get("value", widget["value"])


def upload(page: Page, name: str, content: bytes) -> None:
    button = page.widget("Load path")["uuid"]
    page.send(
        "FileTransferStartUpload",
        source_component_uuid=button,
        transfer_uuid=name,
        filename=name,
        mime_type="application/json",
        part_count=1,
        size_bytes=len(content),
    )
    page.send(
        "FileTransferPart",
        source_component_uuid=button,
        transfer_uuid=name,
        part_index=0,
        content=content,
    )


def add_at(page: Page, *xs: float) -> None:
    """Go to places along the x axis and make keyframes of them."""
    for x in xs:
        page.look_from((x, 0.0, -4.0))
        before = len(page.messages)
        page.click("Add keyframe")
        page.until(lambda before=before: adds(page.messages[before:]))
    page.until(lambda: value(page, "Keyframe") != "none")


def adds(messages: list[dict[str, Any]]) -> bool:
    return any(message["type"] == "CameraFrustumMessage" for message in messages)


def small_video(page: Page) -> None:
    page.set("Video width", 64)
    page.set("Video height", 48)
    page.set("Frames per second", 5)


def moves(page: Page) -> list[tuple[float, ...]]:
    """Where the page was told to go."""
    return [tuple(each["position"]) for each in page.named("SetCameraPositionMessage")]
