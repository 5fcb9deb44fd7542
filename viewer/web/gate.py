"""Between viser's web server and the browsers: what they may send, and the page they are given.

viser opens its socket with `websockets.asyncio.server.serve` and offers no hand on it, so that one
function is stood in for while a server starts.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from traceback import walk_tb
from typing import Any
from urllib.parse import urlsplit

import websockets.asyncio.server
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from .address import is_loopback

log = logging.getLogger(__name__)

MAX_MESSAGE = 2**20
"""Bytes of the largest message that a browser may send; the largest real ones are parts of files
that are loaded, of half that size."""

MAX_LOADED = 128 * 2**20
"""Bytes of large messages that one connection may send in all: viser keeps parts of files."""

LARGE = 2**16
"""Bytes from which a message is large."""

MAX_RATE = 1000.0
"""Messages a second that are read from one browser; a hand on the mouse makes about 200. A large
one counts as one for every 16 KiB."""

MAX_BURST = 2000.0
"""Messages that are read at once before that rate holds."""

UNWANTED = (b"ShareUrlRequest", b"ShareUrlDisconnect")
"""Messages that would publish the scene through somebody else's server; there is no button."""

GRACE = 1.0
"""Seconds that a browser has to answer the end of its connection."""

PING = 10.0
"""Seconds between questions whether a browser is still there, and for its answer."""

TELLING = 1.0
"""Fewest seconds between two lines in the log about messages that were not understood."""

MAX_BROWSERS = 32
"""Connections at a time; each may cost a thread and the time of a processor."""

Handler = Callable[[ServerConnection], Awaitable[None]]
ProcessRequest = Callable[[ServerConnection, Request], Response | None]

_starting = threading.Lock()


@contextmanager
def gated(page: bytes | None, *, only_this_machine: bool) -> Generator[None, None, None]:
    """Servers that start inside stand behind a gate, and give `page` (HTML) instead of viser's.

    `only_this_machine`: they listen on a loopback address.
    """
    original = websockets.asyncio.server.serve

    def serve(handler: Handler, *args: Any, **options: Any) -> Any:
        options |= {"max_size": MAX_MESSAGE, "close_timeout": GRACE}
        options |= {"ping_interval": PING, "ping_timeout": PING}
        answer = _answering(options["process_request"], page, only_this_machine)
        options["process_request"] = answer
        return original(_guarded(handler), *args, **options)

    with _starting:
        websockets.asyncio.server.serve = serve  # pyright: ignore[reportAttributeAccessIssue]
        try:
            yield
        finally:
            websockets.asyncio.server.serve = original


def _answering(
    viser_answers: ProcessRequest, page: bytes | None, only_this_machine: bool
) -> ProcessRequest:
    """Refuses other sites' scripts, and answers for the page."""
    compressed = gzip.compress(page) if page is not None else b""

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        if not from_same_site(request.headers, only_this_machine=only_this_machine):
            log.warning("refused a connection that %s asked for", request.headers.get("Origin"))
            return connection.respond(HTTPStatus.FORBIDDEN, "asked for by another site\n")
        is_page = request.path.partition("?")[0] in ("/", "/index.html")
        if page is None or not is_page or "Upgrade" in request.headers:
            return viser_answers(connection, request)
        packed = "gzip" in request.headers.get("Accept-Encoding", "")
        body = compressed if packed else page
        headers = Headers(
            {
                "Content-Type": "text/html; charset=utf-8",
                "Content-Length": str(len(body)),
                "Content-Encoding": "gzip" if packed else "identity",
            }
        )
        return Response(HTTPStatus.OK, "OK", headers, body)

    return answer


def from_same_site(headers: Headers, *, only_this_machine: bool) -> bool:
    """Whether a request comes from our own page, or from no page at all.

    Browsers let any site open a socket to this machine's own address, but tell whose script asks.
    A name of somebody else's that leads here is no name of a server for `only_this_machine`.
    """
    host, forwarded = headers.get("Host", ""), headers.get("X-Forwarded-Host")
    # A proxy in front of us may speak of the address that the browser sees; no script can add this.
    origin = headers.get("Origin")
    try:
        name = urlsplit(f"//{host}").hostname or ""
        asking = None if origin is None else urlsplit(origin).netloc
    except ValueError:  # no address at all
        return False
    if only_this_machine and forwarded is None and not is_loopback(name):
        return False
    return asking is None or asking in (host, forwarded)


def _guarded(handle: Handler) -> Handler:
    """Whatever a browser sends ends its own connection at most."""
    connected = 0
    tell_of_failed_task = _FailedTasks()

    async def guarded(connection: ServerConnection) -> None:
        nonlocal connected
        asyncio.get_running_loop().set_exception_handler(tell_of_failed_task)
        if connected >= MAX_BROWSERS:
            log.warning("refused a browser: %d are connected already", connected)
            return await connection.close(1013, "too many browsers are connected")
        connected += 1
        connection.recv = _received(connection.recv)  # pyright: ignore[reportAttributeAccessIssue]
        try:
            await handle(connection)
        except ConnectionClosed:
            pass
        except Exception as error:
            # What was sent is no message of viser's.
            log.warning("a browser was disconnected: %s: %s", type(error).__name__, error)
            await connection.close(1003, "not understood")
        finally:
            connected -= 1

    return guarded


def _received(receive: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """Reads no faster than MAX_RATE, so that a flood waits in its sender's own network buffers."""
    allowance, last, loaded = MAX_BURST, time.monotonic(), 0

    async def received() -> Any:
        nonlocal allowance, last, loaded
        while True:
            message = await receive()
            size = len(message)
            now = time.monotonic()
            allowance = min(MAX_BURST, allowance + (now - last) * MAX_RATE)
            allowance -= max(1, size // 2**14)
            last = now
            if allowance < 0:
                await asyncio.sleep(-allowance / MAX_RATE)
            if size >= LARGE:
                loaded += size
                if loaded > MAX_LOADED:
                    raise ValueError(f"it has sent more than {MAX_LOADED / 2**20:g} MiB")
            elif any(name in message for name in UNWANTED if isinstance(message, bytes)):
                continue
            return message

    return received


class _FailedTasks:
    """Tells of messages that viser could make nothing of: in a line, and not for each of many."""

    def __init__(self) -> None:
        self._told_at = -TELLING

    def __call__(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and _is_ours(error):
            log.error("a browser's message was not dealt with", exc_info=error)
        elif time.monotonic() >= self._told_at + TELLING:
            self._told_at = time.monotonic()
            what = error or context.get("message")
            log.warning("a browser's message was not understood: %s", what)


def _is_ours(error: BaseException) -> bool:
    """Whether it was raised in code of ours, or in what that called."""
    folder = str(Path(__file__).parents[1])
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return any(frame.f_code.co_filename.startswith(folder) for frame in frames)
