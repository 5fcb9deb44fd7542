"""Clients of the flood, by viser's protocol: what a good one does, and what all need for it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import viser
import zstandard
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

MARK = re.compile(rb"gaborsplat:([^:]+):(\d+):")
"""Comment in a picture: the link that it came by, and its number."""

CANVAS = (320, 180)
RATE = 30
"""Camera messages in a second of a client that drags."""

PATIENCE = 60.0
"""Seconds after which a screenshot is given up."""


@dataclass
class Tally:
    """What the clients have seen.

    Attributes:
        pictures: pictures that good clients were sent.
        dragging: seconds that good clients have dragged.
        longest_wait: longest time without a picture while dragging [s].
        visits: visits of good clients.
        refused: of these, those that were refused or cut off.
        screenshots: files that good clients have asked for and got.
        lost_screenshots: files that did not come.
        attacks: what hostile clients have done, by name.
        broken: attacks that failed by a fault of the campaign itself.
    """

    pictures: int = 0
    dragging: float = 0.0
    longest_wait: float = 0.0
    visits: int = 0
    refused: int = 0
    screenshots: int = 0
    lost_screenshots: int = 0
    attacks: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def message(kind: str, /, **values: Any) -> bytes:
    """A message of viser's."""
    return msgspec.msgpack.encode({"type": kind, **values})


def camera(x: float = 0.0, **changes: Any) -> bytes:
    """The message of a camera that is `x` beside the middle."""
    values: dict[str, Any] = {
        "wxyz": (1.0, 0.0, 0.0, 0.0),
        "position": (x, 0.0, -4.0),
        "fov": 1.0,
        "near": 0.01,
        "far": 1000.0,
        "image_width": CANVAS[0],
        "image_height": CANVAS[1],
        "look_at": (x, 0.0, 0.0),
        "up_direction": (0.0, -1.0, 0.0),
    }
    return message("ViewerCameraMessage", **values | changes)


class Client:
    """A connection that keeps what it is told of the panel, and acknowledges pictures.

    Attributes:
        connection: the socket.
        widgets: identifiers of the panel's elements, by label.
        pictures: pictures so far.
        files: files that have come whole so far.
    """

    def __init__(self, connection: ClientConnection, acknowledges: bool) -> None:
        self.connection = connection
        self.widgets: dict[str, str] = {}
        self.pictures = 0
        self.files = 0
        self._acknowledges = acknowledges
        self._left: dict[str, int] = {}

    async def read(self) -> None:
        """Read until the connection ends."""
        unpack = zstandard.ZstdDecompressor()
        with contextlib.suppress(WebSocketException):
            async for data in self.connection:
                assert isinstance(data, bytes)
                inner = unpack.decompress(data[16 : 16 + int.from_bytes(data[8:16], "little")])
                for each in msgspec.msgpack.decode(inner)["messages"]:
                    await self._take(each)

    async def set(self, label: str, value: Any) -> None:
        """Set the value of an element; True presses a button."""
        uuid = self.widgets[label]
        await self.connection.send(message("GuiUpdateMessage", uuid=uuid, updates={"value": value}))

    async def _take(self, told: dict[str, Any]) -> None:
        kind = told["type"]
        if kind == "BackgroundImageMessage" and told["rgb_data"]:
            self.pictures += 1
            mark = MARK.search(told["rgb_data"][:200])
            if mark is not None and self._acknowledges:
                shown = {"value": (int(mark[2]), 0.005, 0.005)}
                uuid = mark[1].decode()
                await self.connection.send(message("GuiUpdateMessage", uuid=uuid, updates=shown))
        elif kind == "FileTransferStartDownload":
            self._left[told["transfer_uuid"]] = told["part_count"]
        elif kind == "FileTransferPart":
            self._left[told["transfer_uuid"]] -= 1
            self.files += self._left[told["transfer_uuid"]] == 0
        elif kind.startswith("Gui") and "label" in told.get("props", ()):
            self.widgets[told["props"]["label"]] = told["uuid"]


@contextlib.asynccontextmanager
async def connected(url: str, *, acknowledges: bool = True) -> AsyncGenerator[Client, None]:
    """A client that has sent its first camera, and is read from."""
    async with dialled(url) as connection:
        client = Client(connection, acknowledges)
        reading = asyncio.create_task(client.read())
        try:
            await connection.send(camera())
            yield client
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def dialled(url: str, **options: Any) -> connect:
    """A connection that says nothing yet."""
    protocol: Any = f"viser-v{viser.__version__}"
    options |= {"subprotocols": [protocol], "max_size": None, "compression": None}
    return connect(url.replace("http", "ws"), **options)


async def behave(url: str, until: float, tally: Tally, chance: random.Random) -> None:
    """Visit again and again: look about, rest, save a picture."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        tally.visits += 1
        try:
            async with connected(url, acknowledges=chance.random() < 0.7) as client:
                for _ in range(chance.randint(2, 6)):
                    await _drag(client, min(until, loop.time() + chance.uniform(2, 6)), tally)
                    await asyncio.sleep(chance.uniform(0, 1))
                if chance.random() < 0.3 and loop.time() < until:
                    await _save_screenshot(client, tally)
        except (OSError, WebSocketException):
            tally.refused += 1
            await asyncio.sleep(0.5)


async def _drag(client: Client, until: float, tally: Tally) -> None:
    """Drag, and note how many pictures come and how long the longest does not."""
    loop = asyncio.get_running_loop()
    begin = newest = loop.time()
    seen, first = client.pictures, client.pictures
    number = 0
    while loop.time() < until:
        number += 1
        await client.connection.send(camera(number / 100 % 2))
        if client.pictures != seen:
            seen, newest = client.pictures, loop.time()
        tally.longest_wait = max(tally.longest_wait, loop.time() - newest)
        await asyncio.sleep(1 / RATE)
    tally.dragging += loop.time() - begin
    tally.pictures += client.pictures - first


WIDTH, HEIGHT, SAVE = "Screenshot width", "Screenshot height", "Save screenshot"


async def _save_screenshot(client: Client, tally: Tally) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    before = client.files
    for label, value in ((WIDTH, 640), (HEIGHT, 360), (SAVE, True)):
        await client.set(label, value)
    while client.files == before and loop.time() < deadline:
        await client.connection.send(camera())  # so that an end of the connection is noticed
        await asyncio.sleep(0.1)
    tally.screenshots += client.files > before
    tally.lost_screenshots += client.files == before
