"""The password of a viewer: who is let in to its page and its socket.

Whoever shows the password is given the token that the server has made up for itself, and shows that
from then on; a link may hold it as well.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from ..reports import Reports
from .allowance import Allowance

PAGES = ("/", "/index.html")
"""Paths of the page."""

LOGIN = "/login"
"""Path that takes the password."""

DELAY = 1.0
"""Seconds until a wrong password is answered."""

TRIES = (5.0, 0.1)
"""Wrong passwords that one address may try at once, and each second after that."""

ALL_TRIES = (100.0, 1.0)
"""The same for all addresses together."""

MAX_ADDRESSES = 1000
"""Largest number of addresses whose tries are counted; the least recent is forgotten."""

LEAVES_TOKEN = b"""<!doctype html>
<title>GaborSplat</title>
<script>
  const address = new URL(location);
  address.searchParams.delete("token");
  location.replace(address);
</script>
"""
"""Page that goes on without the token, which must not stay in the history. No redirection: it would
count as one from the site that the link stood in, and such get no strict cookie."""


class Entry:
    """Who may come in: one who shows the token, or gets it for the password.

    Attributes:
        token: what stands in the link and in the browser's cookie, other for every server.
    """

    def __init__(self, password: str, reports: Reports, *, encrypted: bool) -> None:
        """`encrypted`: whether the server speaks TLS."""
        self.token = secrets.token_urlsafe(16)
        self._password = password.encode(errors="surrogateescape")  # from a command line
        self._reports = reports
        self._encrypted = encrypted
        self._tries = Tries()
        self._form = Path(__file__).with_name("entry.html").read_bytes()

    async def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """What one is told who is not let in; None for one who is."""
        address = urlsplit(request.path)
        asks_for_socket = "Upgrade" in request.headers
        name = f"gaborsplat-{connection.local_address[1]}"  # a host's cookies are for all its ports
        if address.path == LOGIN:
            return await self._login(name, connection, request)
        if any(self._is_token(each) for each in parse_qs(address.query).get("token", ())):
            return None if asks_for_socket else self._admitted(name, LEAVES_TOKEN)
        if any(self._is_token(each) for each in _cookies(request.headers, name)):
            return None
        if address.path in PAGES and not asks_for_socket:
            return response(HTTPStatus.UNAUTHORIZED, self._form, "text/html")
        return response(HTTPStatus.UNAUTHORIZED, b"a password is needed\n")

    async def _login(self, name: str, connection: ServerConnection, request: Request) -> Response:
        given = _password_in(request.headers)
        if given is None:
            return response(HTTPStatus.UNAUTHORIZED, b"a password is needed\n")
        peer = connection.remote_address  # None if it left before it was looked at
        address = str(peer[0]) if peer else "0.0.0.0"
        if not self._tries.begin(address):
            text = b"There were too many wrong passwords. Try again in a few minutes.\n"
            return response(HTTPStatus.TOO_MANY_REQUESTS, text)
        if hmac.compare_digest(given, self._password):
            self._tries.succeeded(address)
            return self._admitted(name, b"")
        self._reports.warn("password", f"a wrong password was tried from {address}")
        await asyncio.sleep(DELAY)
        return response(HTTPStatus.UNAUTHORIZED, b"wrong password\n")

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), self.token.encode())

    def _admitted(self, name: str, body: bytes) -> Response:
        answer = response(HTTPStatus.OK, body, "text/html")
        secure = "; Secure" if self._encrypted else ""
        answer.headers["Set-Cookie"] = (
            f"{name}={self.token}; Path=/; HttpOnly; SameSite=Strict{secure}"
        )
        return answer


class Tries:
    """Limit on how often passwords are tried, from one address and from all."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives the time [s]."""
        self._clock = clock
        self._all = Allowance(*ALL_TRIES, clock())
        self._from: OrderedDict[str, Allowance] = OrderedDict()

    def begin(self, address: str) -> bool:
        """Whether a try is allowed, which then counts until it has `succeeded`."""
        now, place = self._clock(), _network(address)
        own = self._from.setdefault(place, Allowance(*TRIES, now))
        self._from.move_to_end(place)
        while len(self._from) > MAX_ADDRESSES:
            self._from.popitem(last=False)
        if min(own.at(now), self._all.at(now)) < 1:
            return False
        own.left -= 1
        self._all.left -= 1
        return True

    def succeeded(self, address: str) -> None:
        """A try was right, and does not count."""
        self._all.left += 1
        own = self._from.get(_network(address))
        if own is not None:
            own.left += 1


def response(status: HTTPStatus, body: bytes, kind: str = "text/plain") -> Response:
    """An answer that nobody keeps, frames or takes for something else."""
    headers = Headers(
        {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }
    )
    return Response(status, status.phrase, headers, body)


def _network(address: str) -> str:
    """What one person may have of addresses: the /64 of an IPv6 one."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if found.version == 4:
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))


def _cookies(headers: Headers, name: str) -> list[str]:
    """Values of the cookies with that name."""
    pairs = [
        pair.strip().partition("=")
        for line in headers.get_all("Cookie")
        for pair in line.split(";")
    ]
    return [value for key, _, value in pairs if key == name]


def _password_in(headers: Headers) -> bytes | None:
    """The password of HTTP's basic authentication, whoever the user; None without one."""
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    try:
        user = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return user.partition(b":")[2] if scheme.lower() == "basic" else None
