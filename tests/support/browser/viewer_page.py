"""A page that speaks viser's protocol over a real socket, and a renderer to watch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import cv2
import msgspec
import numpy as np
import synthetic
import torch
import viser
import zstandard
from websockets.sync.client import ClientConnection, connect

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.frame import Frame
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats
from gaborsplat.viewer import Viewer

PATIENCE = 20.0  # seconds until a test gives up on something that should happen
CANVAS = (160, 120)
ORANGE = (0.8, 0.4, 0.1)


@dataclass
class Painter:
    """A renderer that paints one colour and remembers what it was asked for."""

    color: tuple[float, float, float] = ORANGE
    error: str | None = None
    gate: threading.Event | None = None  # pictures wait for it
    calls: list[tuple[Splats, Camera, RenderSettings]] = field(default_factory=list)
    started: threading.Event = field(default_factory=threading.Event)

    def __call__(self, splats: Splats, camera: Camera, settings: RenderSettings) -> Frame:
        self.calls.append((splats, camera, settings))
        self.started.set()
        if self.gate is not None:
            assert self.gate.wait(PATIENCE)
        if self.error is not None:
            raise RuntimeError(self.error)
        width, height = camera.size
        color = torch.tensor(self.color).expand(height, width, 3)
        return Frame(color, torch.ones(height, width), torch.full((height, width), 3.0))


class Page:
    """What a browser knows: the widgets, the pictures and the messages it was sent.

    `acknowledges`: whether it acknowledges every picture at once, as page.js does.
    """

    def __init__(self, connection: ClientConnection, *, acknowledges: bool = False) -> None:
        self._connection = connection
        self.acknowledges = acknowledges
        self.messages: list[dict[str, Any]] = []
        self.pictures: list[dict[str, Any]] = []
        self.widgets: dict[str, dict[str, Any]] = {}
        self.look_from((0.0, 0.0, -4.0))

    def send(self, kind: str, **values: Any) -> None:
        self._connection.send(msgspec.msgpack.encode({"type": kind, **values}))

    def look_from(
        self,
        position: tuple[float, ...],
        wxyz: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0),
        canvas: tuple[int, int] = CANVAS,
        up: tuple[float, ...] = (0.0, -1.0, 0.0),
    ) -> None:
        self.send(
            "ViewerCameraMessage",
            wxyz=wxyz,
            position=position,
            fov=1.0,
            near=0.01,
            far=1000.0,
            image_width=canvas[0],
            image_height=canvas[1],
            look_at=(0.0, 0.0, 0.0),
            up_direction=up,
        )

    def set(self, label: str, value: Any) -> None:
        self.send("GuiUpdateMessage", uuid=self.widget(label)["uuid"], updates={"value": value})

    def click(self, label: str) -> None:
        self.set(label, True)

    def click_on(self, node: dict[str, Any]) -> None:
        """Click on something in the scene, given the message that added it."""
        self.send(
            "SceneNodeClickMessage",
            name=node["name"],
            owner=node["owner"],
            instance_index=None,
            ray_origin=(0.0, 0.0, 0.0),
            ray_direction=(0.0, 0.0, 1.0),
            screen_pos=(0.5, 0.5),
            modifier=None,
        )

    def widget(self, label: str) -> dict[str, Any]:
        return next(w for w in self.widgets.values() if w["props"].get("label") == label)

    def has(self, label: str) -> bool:
        return any(w["props"].get("label") == label for w in self.widgets.values())

    @property
    def panel(self) -> str:
        """The text of all visible HTML in the panel."""
        htmls = [w["props"] for w in self.widgets.values() if w["type"] == "GuiHtmlMessage"]
        return " ".join(props["content"] for props in htmls if props["visible"])

    def until(self, condition: Callable[[], object]) -> None:
        """Read messages until `condition` holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, f"waited {PATIENCE} s in vain; the panel says: {self.panel}"
            try:
                self._read(self._connection.recv(timeout=min(left, 0.1)))
            except TimeoutError:
                continue

    def picture(self, number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """[H, W, 3] RGB of the picture with this number, waiting for it."""
        self.until(lambda: len(self.pictures) > number)
        data = np.frombuffer(self.pictures[number]["rgb_data"], np.uint8)
        return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    def acknowledge(self, link: str, number: int, page: float = 0.0) -> None:
        """Say that a picture was shown, `page` seconds after it had come."""
        self.send("GuiUpdateMessage", uuid=link, updates={"value": (number, page, 0.0)})

    def named(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    def close(self) -> None:
        self._connection.close()

    def _read(self, data: str | bytes) -> None:
        assert isinstance(data, bytes)
        length = int.from_bytes(data[8:16], "little")
        inner = zstandard.ZstdDecompressor().decompress(data[16 : 16 + length])
        for message in msgspec.msgpack.decode(inner)["messages"]:
            self.messages.append(message)
            kind = message["type"]
            if kind == "BackgroundImageMessage" and message["rgb_data"] is not None:
                self.pictures.append(message)
                if self.acknowledges:
                    self.acknowledge(*mark_of(message["rgb_data"]))
            elif kind == "GuiUpdateMessage":
                self.widgets[message["uuid"]]["props"].update(message["updates"])
            elif kind.startswith("Gui") and "props" in message:
                self.widgets[message["uuid"]] = message


def mark_of(jpeg: bytes) -> tuple[str, int]:
    """The link and number in a picture's comment."""
    assert jpeg[:4] == b"\xff\xd8\xff\xfe"
    length = int.from_bytes(jpeg[4:6], "big")
    name, link, number, _ = jpeg[6 : 4 + length].decode().split(":")
    assert name == "gaborsplat"
    return link, int(number)


@contextmanager
def opened(viewer: Viewer, *, acknowledges: bool = False) -> Iterator[Page]:
    address = viewer.url.replace("http:", "ws:")
    protocol: Any = f"viser-v{viser.__version__}"
    with connect(address, subprotocols=[protocol], max_size=None) as connection:
        yield Page(connection, acknowledges=acknowledges)


def notes(page: Page) -> list[tuple[str, str]]:
    """Title and text of what the page was told, in order."""
    shown = [each["props"] for each in page.named("NotificationShowMessage")]
    return [(props["title"], props["body"]) for props in shown]


def downloads(page: Page) -> list[tuple[str, bytes]]:
    """Names and contents of the files that have come whole."""
    whole: list[tuple[str, bytes]] = []
    for start in page.named("FileTransferStartDownload"):
        parts = [
            each["content"]
            for each in page.named("FileTransferPart")
            if each["transfer_uuid"] == start["transfer_uuid"]
        ]
        if len(parts) == start["part_count"]:
            whole.append((start["filename"], b"".join(parts)))
    return whole


def cloud(n: int, waves: int = 0) -> Splats:
    return synthetic.cloud(n, waves, dtype=torch.float32)


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain"
        time.sleep(0.01)


def sessions() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("viewer-client")]
