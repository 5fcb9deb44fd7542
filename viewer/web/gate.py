"""Filter between viser's web server and the browsers: limits on what they send, and their page.

viser opens its socket with `websockets.asyncio.server.serve` and has no hook for it, so that
function is replaced while a server starts.
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

GRACE = 1.0
"""Seconds that a browser has to confirm the end of its connection."""

PING = 10.0
"""Seconds between keep-alive pings, and for the answer to one."""

TELLING = 1.0
"""Shortest time between two log lines about messages that were not understood [s]."""

MAX_BROWSERS = 32
"""Largest number of connections; each may cost a thread and the time of a processor."""

Handler = Callable[[ServerConnection], Awaitable[None]]
ProcessRequest = Callable[[ServerConnection, Request], Response | None]

_starting = threading.Lock()


@contextmanager
def gated(page: bytes | None, *, only_this_machine: bool) -> Generator[None, None, None]:
    """Context in which servers start behind the filter and serve `page` (HTML) instead of viser's.

    `only_this_machine`: whether they listen on a loopback address.
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
    """HTTP handler that refuses the scripts of other sites and serves the page."""
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

    Browsers let any site open a socket to this machine's own address, but name that site in Origin.
    A foreign host name that leads here (DNS rebinding) is refused by a server for
    `only_this_machine`.
    """
    host, forwarded = headers.get("Host", ""), headers.get("X-Forwarded-Host")
    # A proxy in front of the server names the host that the browser sees; no script can add this.
    origin = headers.get("Origin")
    try:
        name = urlsplit(f"//{host}").hostname or ""
        asking = None if origin is None else urlsplit(origin).netloc
    except ValueError:  # not an address
        return False
    if only_this_machine and forwarded is None and not is_loopback(name):
        return False
    return asking is None or asking in (host, forwarded)


def _guarded(handle: Handler) -> Handler:
    """Connection handler in which bad messages end at most the connection of their browser."""
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
            # The browser sent something other than a message of viser's.
            log.warning("a browser was disconnected: %s: %s", type(error).__name__, error)
            await connection.close(1003, "not understood")
        finally:
            connected -= 1

    return guarded


def _received(receive: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """Rate-limited `receive`: a flood waits in its sender's own network buffers."""
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
    """Log of failed messages; those that viser did not understand get a line now and then."""

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
    """Whether an error was raised in the viewer's code, or in what that called."""
    folder = str(Path(__file__).parents[1])
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return any(frame.f_code.co_filename.startswith(folder) for frame in frames)
