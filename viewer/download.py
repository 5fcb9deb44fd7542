"""File downloads to a browser."""

from __future__ import annotations

import time
from collections.abc import Callable

import viser

from .outbox import outbox

PART = 64 * 2**10
"""Bytes of a file in one message. viser packs up to 128 messages at once, on the event loop that
all browsers share: its default, a mebibyte, would block them for seconds."""

GLANCE = 0.05
"""Seconds between two looks whether a file is on its way."""


def send_file(
    client: viser.ClientHandle, name: str, content: bytes, check: Callable[[], None]
) -> None:
    """Download `content` in the browser as a file called `name`, whose suffix gives its type.

    Returns once the browser has been sent all of it, so that files cannot pile up for one that does
    not read; `check` is called meanwhile, and ends the wait by what it raises.
    """
    client.send_file_download(name, content, chunk_size=PART, save_immediately=True)
    queue = outbox(client)
    if queue is None:
        return
    end = queue.message_counter
    while not queue.done and min(tuple(queue.message_from_id), default=end) < end:
        check()
        time.sleep(GLANCE)
