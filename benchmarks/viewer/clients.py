"""Pages without a browser: they speak viser's protocol and look at nothing. And the soak."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import viser
from viser.transforms import SO3
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from benchmarks.viewer.process import serving

RATE = 60
"""Camera messages of a dragging client in a second."""
TURN = 360
"""Poses of a whole orbit."""

CLIENTS = 8
"""Of the soak."""
SETTLE = 5.0
"""Seconds that the server gets to end what its last clients left."""


def orbit(scene: dict[str, Any], size: tuple[int, int]) -> list[bytes]:
    """The camera messages of one turn around the scene."""
    centre, up = np.array(scene["look_at"]), np.array(scene["up"])
    arm = np.array(scene["position"]) - centre
    return [
        _camera(centre, SO3.exp(2 * math.pi * step / TURN * up) @ arm, up, size)
        for step in range(TURN)
    ]


def _camera(centre: Any, arm: Any, up: Any, size: tuple[int, int]) -> bytes:
    forward = -arm / np.linalg.norm(arm)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward], axis=1)
    return msgspec.msgpack.encode(
        {
            "type": "ViewerCameraMessage",
            "wxyz": SO3.from_matrix(axes).wxyz.tolist(),
            "position": (centre + arm).tolist(),
            "fov": 1.0,
            "near": 0.01,
            "far": 1000.0,
            "image_width": size[0],
            "image_height": size[1],
            "look_at": centre.tolist(),
            "up_direction": up.tolist(),
        }
    )


@contextlib.asynccontextmanager
async def connected(url: str, first: bytes) -> AsyncGenerator[ClientConnection, None]:
    """A client at the pose `first`, which reads what it is sent and throws it away."""
    protocol: Any = f"viser-v{viser.__version__}"
    address = url.replace("http:", "ws:")
    async with connect(
        address, subprotocols=[protocol], max_size=None, compression=None
    ) as connection:
        reading = asyncio.create_task(_read(connection))
        try:
            await connection.send(first)
            yield connection
        finally:
            reading.cancel()


async def _read(connection: ClientConnection) -> None:
    with contextlib.suppress(WebSocketException):
        async for _ in connection:
            pass


async def drag(connection: ClientConnection, poses: list[bytes], seconds: float) -> None:
    """Send poses in turn, with a steady rate."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    number = 0
    while loop.time() < started + seconds:
        await connection.send(poses[number % len(poses)])
        number += 1
        await asyncio.sleep(max(0.0, started + number / RATE - loop.time()))


async def soak(run: Path, seconds: float) -> dict[str, Any]:
    """What a server holds after clients have come, dragged and vanished for so long."""
    async with serving(run, "ours") as (server, scene):
        start = await server.ask()
        until = asyncio.get_running_loop().time() + seconds
        clients = [
            asyncio.create_task(_come_and_go(scene, until, random.Random(seed)))
            for seed in range(CLIENTS)
        ]
        await asyncio.sleep(0.2 * seconds)
        early = await server.ask()
        counts = await asyncio.gather(*clients)
        await asyncio.sleep(SETTLE)
        end = await server.ask()
        return {
            "seconds": seconds,
            "visits": sum(visits for visits, _ in counts),
            "refused": sum(refused for _, refused in counts),
            "pictures": end["pictures"],
            "rss_early": early["rss"],
            "rss_end": end["rss"],
            "threads_start": start["threads"],
            "threads_end": end["threads"],
            "system_threads_start": start["system_threads"],
            "system_threads_early": early["system_threads"],
            "system_threads_end": end["system_threads"],
            "tracebacks": server.log().count("Traceback"),
        }


async def _come_and_go(
    scene: dict[str, Any], until: float, chance: random.Random
) -> tuple[int, int]:
    """Visits, and those that the server ended or refused."""
    loop = asyncio.get_running_loop()
    poses = orbit(scene, (chance.randint(64, 640), chance.randint(64, 360)))
    visits = refused = 0
    while loop.time() < until:
        visits += 1
        try:
            async with connected(scene["url"], poses[0]) as connection:
                await drag(connection, poses, chance.uniform(0, 4))
                if chance.random() < 0.75:
                    connection.transport.abort()  # without a word
        except (OSError, WebSocketException):
            refused += 1
        await asyncio.sleep(chance.uniform(0, 0.5))
    return visits, refused
