"""The network address on which the viewer listens."""

from __future__ import annotations

import ipaddress
import os
import socket

from ...scenes.errors import InputError

PORTS_TRIED = 100


class PortInUse(InputError):
    """Error: another program listens on the requested port."""


def check_free(host: str, port: int) -> None:
    """Raise PortInUse when `port` is taken on `host`, InputError when `host` is not ours.

    Port 0 stands for any free one.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"--port: must be between 0 and 65535, not {port}")
    try:
        _bind(host, port)
    except PermissionError as error:
        raise InputError(f"--port: {port} is reserved for the system; try 8080") from error
    except OSError as error:
        if not _can_bind(host, 0):
            raise InputError(f"--host: this machine cannot listen on {host!r}: {error}") from error
        raise port_in_use(host, port) from error


def port_in_use(host: str, port: int) -> PortInUse:
    """The error of a port that is taken; its message names the next free one."""
    last = min(port + PORTS_TRIED, 65535)
    free = next((each for each in range(port + 1, last + 1) if _can_bind(host, each)), None)
    advice = f"; --port {free} is free" if free is not None else ""
    return PortInUse(f"--port: {port} is already in use on {host}{advice}")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_of(host: str, port: int, *, encrypted: bool = False, token: str | None = None) -> str:
    """URL of the viewer, for a browser on this machine; with the `token` that lets it in."""
    if host in ("", "0.0.0.0", "::"):
        host = "localhost"
    if ":" in host:
        host = f"[{host}]"
    url = f"{'https' if encrypted else 'http'}://{host}:{port}"
    return url if token is None else f"{url}/?token={token}"


def _can_bind(host: str, port: int) -> bool:
    try:
        _bind(host, port)
    except OSError:
        return False
    return True


def _bind(host: str, port: int) -> None:
    """Listen for an instant on every address that `host` stands for, as the server will."""
    infos = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in infos:
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":
                # As asyncio does: connections of a server that just ended are no obstacle.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
            probe.listen(1)
