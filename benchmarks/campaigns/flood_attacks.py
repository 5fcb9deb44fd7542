"""What hostile clients do to a viewer, a few seconds of each at a time."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
from viser import _messages
from websockets.exceptions import WebSocketException

from benchmarks.campaigns.flood_clients import (
    Client,
    Tally,
    camera,
    connected,
    dialled,
    message,
)

NUMBERS: tuple[Any, ...] = (math.nan, math.inf, -math.inf, 1e300, 0.0, -1.0, 2**63, 1e-300)
VALUES: tuple[Any, ...] = (*NUMBERS, None, True, "", "x" * 1000, [], [math.nan] * 3, {"a": [1]})
WORDS = (
    b"",
    b"GET / HT",
    b"GET / HTTP/1.1\r\nHost: loc",
    b"\x16\x03\x01\x02\x00\x01",
    b"\x00" * 99,
)
REQUEST = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
HEADERS = (b"", b"Host: twice\r\n", b"Origin: http://evil\r\n", b"Upgrade: websocket\r\n")
PATHS = (b"", b"index.html", b"..%2f..%2fetc/passwd", b"%00", b"\xff", b"x" * 5000)


@dataclass(frozen=True)
class Target:
    """What is attacked, and how.

    Attributes:
        url: where.
        side: side of the huge screenshots [px].
        chance: decides.
    """

    url: str
    side: int
    chance: random.Random

    def dial(self) -> Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A bare TCP connection."""
        place = urlsplit(self.url)
        return asyncio.open_connection(place.hostname, place.port)

    async def pause(self, most: float) -> None:
        """For a while."""
        await asyncio.sleep(self.chance.uniform(0, most))


Attack = Callable[[Target], Awaitable[None]]


async def garbage(target: Target) -> None:
    """Frames that are no messages."""
    chance = target.chance
    frames: list[Any] = [b"", "text", b"\xc1", chance.randbytes(5000), bytes(2**20 + 1)]
    frames += [msgspec.msgpack.encode(value) for value in ([1], {"a": 1}, {"type": 3})]
    for frame in frames:
        async with dialled(target.url) as connection:
            await connection.send(frame)
            await target.pause(0.2)


async def nonsense(target: Target) -> None:
    """Messages of all of viser's types, with fields of any kind."""
    kinds = [
        each
        for each in vars(_messages).values()
        if isinstance(each, type) and issubclass(each, _messages.Message) and is_dataclass(each)
    ]
    for _ in range(30):
        with contextlib.suppress(WebSocketException):
            async with connected(target.url) as client:
                for _ in range(100):
                    kind = target.chance.choice(kinds)
                    names = [each.name for each in fields(kind)]
                    values = {name: target.chance.choice(VALUES) for name in names}
                    await client.connection.send(message(kind.__name__, **values))


async def blind_cameras(target: Target) -> None:
    """Cameras that are not finite, and then Reset and Up."""
    async with connected(target.url) as client:
        for _ in range(200):
            name = target.chance.choice(("position", "look_at", "up_direction", "wxyz", "fov"))
            value = target.chance.choice(NUMBERS)
            length = {"fov": 0, "wxyz": 4}.get(name, 3)
            await client.connection.send(camera(**{name: [value] * length if length else value}))
            await asyncio.sleep(0.01)
        if "Reset view" in client.widgets:
            await client.set("Reset view", True)
            await client.set("Up", "+z")


async def flood(target: Target) -> None:
    """As many messages as the line takes."""
    async with connected(target.url) as client:
        for number in range(20_000):
            await client.connection.send(camera(number % 7))


async def nonsense_in_widgets(target: Target) -> None:
    """Everything in the panel, set to anything and pressed."""
    async with connected(target.url) as client:
        await asyncio.sleep(1)
        await _play(client, target, 1000)


async def _play(client: Client, target: Target, times: int) -> None:
    for _ in range(times):
        label = target.chance.choice(list(client.widgets) or [""])
        if label:
            await client.set(label, target.chance.choice(VALUES))
        await asyncio.sleep(0.002)


async def strangers(target: Target) -> None:
    """Connections that say nothing, or half of something."""
    lines = [await target.dial() for _ in range(40)]
    for _, writer in lines:
        writer.write(target.chance.choice(WORDS))
    await target.pause(15)
    for _, writer in lines:
        writer.transport.abort()


async def slow_letters(target: Target) -> None:
    """A request that is said a letter at a time."""
    _, writer = await target.dial()
    with contextlib.suppress(OSError):
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(40):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.5)
    writer.transport.abort()


async def requests(target: Target) -> None:
    """Requests of all kinds, whose answers are hardly read."""
    for _ in range(100):
        _, writer = await target.dial()
        path, header = target.chance.choice(PATHS), target.chance.choice(HEADERS)
        writer.write(REQUEST % (path, header))
        await target.pause(0.1)
        writer.transport.abort()


async def deaf(target: Target) -> None:
    """A browser that moves and saves, but never reads."""
    place = urlsplit(target.url)
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect((place.hostname, place.port))
    async with dialled(target.url, sock=line) as connection:
        connection.transport.pause_reading()
        for number in range(600):
            await connection.send(camera(number % 5))
            await asyncio.sleep(0.05)


async def storm(target: Target) -> None:
    """Browsers that come, look and vanish, one after the other."""
    for _ in range(60):
        with contextlib.suppress(OSError, WebSocketException):
            async with dialled(target.url) as connection:
                await connection.send(camera())
                await target.pause(0.1)
                connection.transport.abort()


async def huge_screenshots(target: Target) -> None:
    """Screenshots of the largest size, and beyond."""
    async with connected(target.url) as client:
        await asyncio.sleep(1)
        for mode in ("rgb", "normals"):
            await client.set("Show", mode)
            for side in (target.side, 10**9):
                await client.set("Screenshot width", side)
                await client.set("Screenshot height", side)
                for _ in range(20):
                    await client.set("Save screenshot", True)
                    await target.pause(0.5)
        await target.pause(20)


async def uploads(target: Target) -> None:
    """Files without an end."""
    async with connected(target.url) as client:
        await asyncio.sleep(1)
        names = {"source_component_uuid": client.widgets.get("Load path", "x")}
        for number in range(300):
            names["transfer_uuid"] = str(number)
            begin = {"filename": "a", "mime_type": "b", "part_count": 9, "size_bytes": 2**40}
            await client.connection.send(message("FileTransferStartUpload", **names, **begin))
            part = {"part_index": 0, "content": bytes(2**19)}
            await client.connection.send(message("FileTransferPart", **names, **part))


ATTACKS: tuple[Attack, ...] = (
    garbage,
    nonsense,
    blind_cameras,
    flood,
    nonsense_in_widgets,
    strangers,
    slow_letters,
    requests,
    deaf,
    storm,
    huge_screenshots,
    uploads,
)


async def misbehave(target: Target, until: float, tally: Tally) -> None:
    """All attacks, in ever another order; each is cut off when the time is over."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        for attack in target.chance.sample(ATTACKS, len(ATTACKS)):
            left = until - loop.time()
            if left <= 0:
                return
            tally.attacks[attack.__name__] = tally.attacks.get(attack.__name__, 0) + 1
            try:
                await asyncio.wait_for(attack(target), left)
            except (OSError, WebSocketException, asyncio.TimeoutError):
                pass  # what a server should do about it
            except Exception as error:
                tally.broken.append(f"{attack.__name__}: {type(error).__name__}: {error}")
