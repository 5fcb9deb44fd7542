"""Connections that have not become a browser's yet."""

from __future__ import annotations

import asyncio
from typing import Any

from websockets.asyncio.server import ServerConnection

MAX_WAITING = 64
"""Largest number of connections that have no answer yet. Beyond it the oldest gives way: a browser
says at once what it wants."""


class Waiting:
    """Connections without an answer, the oldest first; all on one event loop."""

    def __init__(self) -> None:
        self._connections: dict[ServerConnection, None] = {}

    def connection(self, *args: Any, **options: Any) -> ServerConnection:
        """A connection of websockets that is counted from its beginning."""
        return _Counted(self, *args, **options)

    def add(self, connection: ServerConnection) -> None:
        """Count a connection, and end the oldest if there are too many."""
        self._connections[connection] = None
        if len(self._connections) > MAX_WAITING:
            oldest = next(iter(self._connections))
            self.done(oldest)
            oldest.transport.abort()

    def done(self, connection: ServerConnection) -> None:
        """No longer count a connection: it has become a browser's, or has ended."""
        self._connections.pop(connection, None)


class _Counted(ServerConnection):
    def __init__(self, waiting: Waiting, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiting = waiting

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._waiting.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._waiting.done(self)
        super().connection_lost(exc)
