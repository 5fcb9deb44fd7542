"""Filter between viser's web server and the browsers: who is let in, and with what.

viser opens its socket with `websockets.asyncio.server.serve` and has no hook for it, so that
function is replaced while a server starts.
"""

from __future__ import annotations

import asyncio
import errno
import gzip
import logging
import ssl
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from traceback import walk_tb
from typing import Any
from urllib.parse import urlsplit

import viser
import websockets.asyncio.server
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers, MultipleValuesError
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from ..reports import Reports
from .address import is_loopback
from .entry import PAGES, Entry, response
from .messages import MAX_MESSAGE, received
from .waiting import Waiting

GRACE = 1.0
"""Seconds that a browser has to confirm the end of its connection."""

OPENING = 10.0
"""Seconds that a connection has to say what it wants, and to take the answer."""

PING = 10.0
"""Seconds between keep-alive pings, and for the answer to one."""

MAX_BROWSERS = 32
"""Largest number of connections; each may cost threads and the time of a processor."""

PROTOCOL = "viser-v"
"""What the name of viser's protocol begins with, before the version."""

Handler = Callable[[ServerConnection], Awaitable[None]]
ProcessRequest = Callable[[ServerConnection, Request], Response | None]

_starting = threading.Lock()


@dataclass(frozen=True)
class Rules:
    """Whom a server lets in.

    Attributes:
        reports: the log.
        sessions: counts the browsers that cost threads, also of those that have left.
        only_this_machine: whether the server listens on a loopback address.
        entry: asks for a password; None lets everybody in.
        tls: encrypts connections; None leaves them as they are.
    """

    reports: Reports
    sessions: Callable[[], int]
    only_this_machine: bool
    entry: Entry | None = None
    tls: ssl.SSLContext | None = None


@contextmanager
def gated(page: bytes | None, rules: Rules) -> Generator[None, None, None]:
    """Context in which servers start behind the filter; `page` (HTML) is served for viser's."""

    def serve(handler: Handler, *args: Any, **options: Any) -> Any:
        # Errors of tasks would otherwise be printed, by as many lines as browsers wish.
        asyncio.get_running_loop().set_exception_handler(_teller(rules.reports))
        waiting = Waiting()
        options |= {"max_size": MAX_MESSAGE, "open_timeout": OPENING, "close_timeout": GRACE}
        options |= {"ping_interval": PING, "ping_timeout": PING, "ssl": rules.tls}
        options |= {"create_connection": waiting.connection, "logger": _silent()}
        options["process_request"] = _answering(options["process_request"], page, rules)
        return original(_guarded(handler, waiting, rules), *args, **options)

    with _starting:
        original = websockets.asyncio.server.serve
        websockets.asyncio.server.serve = serve  # pyright: ignore[reportAttributeAccessIssue]
        try:
            yield
        finally:
            websockets.asyncio.server.serve = original


def _silent() -> logging.Logger:
    """Logger for websockets: whatever it would say is of connections that made no sense."""
    logger = logging.getLogger(f"{__name__}.websockets")
    logger.setLevel(logging.CRITICAL + 1)
    return logger


def _answering(
    viser_answers: ProcessRequest, page: bytes | None, rules: Rules
) -> Callable[[ServerConnection, Request], Awaitable[Response | None]]:
    """HTTP handler that refuses the scripts of other sites, asks for the password and serves the
    page."""
    compressed = gzip.compress(page) if page is not None else b""

    async def chosen(connection: ServerConnection, request: Request) -> Response | None:
        if not from_same_site(request.headers, only_this_machine=rules.only_this_machine):
            origin = request.headers.get("Origin")
            rules.reports.warn("site", f"refused a connection that {origin} asked for")
            return response(HTTPStatus.FORBIDDEN, b"asked for by another site\n")
        refusal = None if rules.entry is None else await rules.entry.answer(connection, request)
        if refusal is not None:
            return refusal
        is_page = request.path.partition("?")[0] in PAGES
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

    async def answer(connection: ServerConnection, request: Request) -> Response | None:
        try:
            answered = await chosen(connection, request)
        except Exception as error:
            answered = response(HTTPStatus.BAD_REQUEST, b"not understood\n")
            if not _is_theirs(error):
                rules.reports.error("a request was not dealt with", error)
                answered = response(HTTPStatus.INTERNAL_SERVER_ERROR, b"see the server's log\n")
        if answered is not None:
            connection.close_timeout = OPENING  # a slow line takes its time for a whole page
        return answered

    return answer


def _is_theirs(error: Exception) -> bool:
    """Whether an error is of a request that makes no sense: a header that is there twice, a path
    that is none, or is longer than any file's."""
    strange = isinstance(error, MultipleValuesError | ValueError)
    return strange or (isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG)


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


def _guarded(handle: Handler, waiting: Waiting, rules: Rules) -> Handler:
    """Connection handler in which bad messages end at most the connection of their browser."""
    connected = 0
    reports = rules.reports

    async def guarded(connection: ServerConnection) -> None:
        nonlocal connected
        waiting.done(connection)
        version = (connection.subprotocol or f"{PROTOCOL}unknown").removeprefix(PROTOCOL)
        if version != viser.__version__:
            # As viser does, which prints a line for each.
            reports.warn("version", "refused a page of another version of viser: reload it")
            said = f"Version mismatch. Client: {version[:20]}, Server: {viser.__version__}"
            return await connection.close(1002, said)
        if max(connected, rules.sessions()) >= MAX_BROWSERS:
            reports.warn("many", f"refused a browser: {MAX_BROWSERS} are connected already")
            return await connection.close(1013, "too many browsers are connected")
        connected += 1
        connection.recv = received(connection.recv, reports)  # pyright: ignore[reportAttributeAccessIssue]
        try:
            await handle(connection)
        except ConnectionClosed:
            pass
        except Exception as error:
            # The browser sent something other than a message of viser's.
            said = f"{type(error).__name__}: {error}"
            reports.warn("disconnected", f"a browser was disconnected: {said}")
            await connection.close(1003, "not understood")
        finally:
            connected -= 1

    return guarded


def _teller(reports: Reports) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """The event loop's handler of errors that nobody has caught."""

    def tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, Exception) and _is_ours(error):
            reports.error("a browser's message was not dealt with", error)
        else:
            what = f"{type(error).__name__}: {error}" if error else context.get("message")
            reports.warn("message", f"a browser's message was not understood: {what}")

    return tell


def _is_ours(error: Exception) -> bool:
    """Whether an error was raised in the viewer's code, or in what that called."""
    folder = str(Path(__file__).parents[1])
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return any(frame.f_code.co_filename.startswith(folder) for frame in frames)
