"""File downloads to a browser."""

from __future__ import annotations

import viser

PART = 64 * 2**10
"""Bytes of a file in one message. viser packs up to 128 messages at once, on the event loop that
all browsers share: its default, a mebibyte, would block them for seconds."""


def send_file(client: viser.ClientHandle, name: str, content: bytes) -> None:
    """Download `content` in the browser as a file called `name`, whose suffix gives its type."""
    client.send_file_download(name, content, chunk_size=PART, save_immediately=True)
