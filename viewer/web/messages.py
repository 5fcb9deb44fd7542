"""What of a browser's messages is handed on to viser."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ..camera import is_camera
from ..reports import Reports
from .allowance import Allowance

MAX_MESSAGE = 2**20
"""Largest message that a browser may send [bytes]; the largest real ones are parts of uploaded
files, of half that size."""

MAX_LOADED = 128 * 2**20
"""Total of large messages that one connection may send [bytes]: viser keeps parts of files."""

LARGE = 2**16
"""Size from which a message is large [bytes]."""

MAX_RATE = 1000.0
"""Messages per second that are read from one browser; a hand on the mouse makes about 200. A large
message counts as one for every 16 KiB."""

MAX_BURST = 2000.0
"""Messages that are read at once before MAX_RATE applies."""

UNWANTED = (b"ShareUrlRequest", b"ShareUrlDisconnect")
"""Types of messages that are dropped: they would publish the scene through somebody else's
server, and there is no button for them."""

CAMERA = "ViewerCameraMessage"
"""Type of the message of a browser's camera."""

Receive = Callable[[], Awaitable[Any]]


class TooMuch(ValueError):
    """Error: a browser has sent more than anybody needs."""


def received(receive: Receive, reports: Reports) -> Receive:
    """`receive` without what is unwanted or makes no sense, and limited in its rate: a flood waits
    in its sender's own network buffers."""
    allowance, loaded = Allowance(MAX_BURST, MAX_RATE, time.monotonic()), 0

    async def received() -> Any:
        nonlocal loaded
        while True:
            message = await receive()
            size = len(message)
            allowance.at(time.monotonic())
            allowance.left -= max(1, size // 2**14)
            if allowance.left < 0:
                await asyncio.sleep(allowance.debt)
            if size >= LARGE:
                loaded += size
                if loaded > MAX_LOADED:
                    raise TooMuch(f"it has sent more than {MAX_LOADED / 2**20:g} MiB")
            elif isinstance(message, bytes):
                if any(name in message for name in UNWANTED):
                    continue
                if CAMERA.encode() in message and not _is_sane(message):
                    reports.warn("camera", "left out a camera that makes no sense")
                    continue
            return message

    return received


def _is_sane(message: bytes) -> bool:
    """Whether this is a camera that makes sense, or something else, which is for viser to judge."""
    try:
        decoded = msgspec.msgpack.decode(message)
    except msgspec.DecodeError:
        return True
    is_other = not isinstance(decoded, dict) or decoded.get("type") != CAMERA
    return is_other or is_camera(decoded)
