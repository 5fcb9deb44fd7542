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
from typing import Any
from urllib.parse import urlsplit

import websockets.asyncio.server
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

log = logging.getLogger(__name__)

MAX_MESSAGE = 16 * 2**20
"""Bytes of the largest message that a browser may send; the largest real ones are parts of files
that are loaded."""

MAX_RATE = 1000.0
"""Messages a second that are read from one browser; a hand on the mouse makes about 200."""

MAX_BURST = 2000.0
"""Messages that are read at once before that rate holds."""

MAX_BROWSERS = 32
"""Connections at a time; each may cost a thread and the time of a processor."""

Handler = Callable[[ServerConnection], Awaitable[None]]
ProcessRequest = Callable[[ServerConnection, Request], Response | None]

_starting = threading.Lock()


@contextmanager
def gated(page: bytes | None) -> Generator[None, None, None]:
    """Servers that start inside stand behind a gate, and give `page` (HTML) instead of viser's."""
    original = websockets.asyncio.server.serve

    def serve(handler: Handler, *args: Any, **options: Any) -> Any:
        options["max_size"] = min(options.get("max_size") or MAX_MESSAGE, MAX_MESSAGE)
        if options.get("process_request") is not None:
            options["process_request"] = _answering(options["process_request"], page)
        return original(_guarded(handler), *args, **options)

    with _starting:
        websockets.asyncio.server.serve = serve  # pyright: ignore[reportAttributeAccessIssue]
        try:
            yield
        finally:
            websockets.asyncio.server.serve = original


def _answering(viser_answers: ProcessRequest, page: bytes | None) -> ProcessRequest:
    """Refuses other sites' scripts, and answers for the page."""
    compressed = gzip.compress(page) if page is not None else b""

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        if not from_same_site(request.headers):
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


def from_same_site(headers: Headers) -> bool:
    """Whether a request comes from our own page, or from no page at all.

    Browsers let any site open a socket to this machine's own address, but tell whose script asks.
    """
    origin = headers.get("Origin")
    if origin is None:
        return True
    # A proxy in front of us may speak of the address that the browser sees.
    hosts = [headers.get(name) for name in ("Host", "X-Forwarded-Host")]
    return urlsplit(origin).netloc in [host for host in hosts if host is not None]


def _guarded(handle: Handler) -> Handler:
    """Whatever a browser sends ends its own connection at most."""
    connected = 0

    async def guarded(connection: ServerConnection) -> None:
        nonlocal connected
        asyncio.get_running_loop().set_exception_handler(_tell_of_failed_task)
        if connected >= MAX_BROWSERS:
            log.warning("refused a browser: %d are connected already", connected)
            return await connection.close(1013, "too many browsers are connected")
        connected += 1
        connection.recv = _slowed(connection.recv)  # pyright: ignore[reportAttributeAccessIssue]
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


def _slowed(receive: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """Reads no faster than MAX_RATE, so that a flood waits in its sender's own network buffers."""
    allowance, last = MAX_BURST, time.monotonic()

    async def slowed() -> Any:
        nonlocal allowance, last
        message = await receive()
        now = time.monotonic()
        allowance = min(MAX_BURST, allowance + (now - last) * MAX_RATE) - 1
        last = now
        if allowance < 0:
            await asyncio.sleep(-allowance / MAX_RATE)
        return message

    return slowed


def _tell_of_failed_task(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """One line for a message that viser could make nothing of, with the rest for debugging."""
    error = context.get("exception")
    log.warning("a browser's message was not understood: %s", error or context.get("message"))
    log.debug("where it happened", exc_info=error)
