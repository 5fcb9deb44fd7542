"""What waits to be sent to a browser: viser's queue of it, which is not in its public interface."""

from __future__ import annotations

import threading
from typing import Any

import viser


def outbox(client: viser.ClientHandle) -> Any:
    """viser's queue of messages to a browser; None where viser has another one."""
    connection: Any = getattr(client, "_websock_connection", None)
    return None if connection is None else connection.get_message_buffer()


def open_to_threads(client: viser.ClientHandle) -> None:
    """Let any thread send to a browser; called on the server's event loop.

    viser sets an event of asyncio on the thread that sends, and then on the loop. The first raises
    RuntimeError when the loop turns to that event at the same moment, and is not needed.
    """
    queue = outbox(client)
    event = getattr(queue, "message_event", None)
    if event is None:
        return
    set_on_loop, loop_thread = event.set, threading.get_ident()

    def set_event() -> None:
        if threading.get_ident() == loop_thread:
            set_on_loop()

    event.set = set_event
