"""Files that a browser is sent."""

from __future__ import annotations

import viser

PART = 64 * 2**10
"""Bytes of a file that go in one message. viser packs up to 128 messages at once, on the event
loop that all browsers share: parts of its usual size, a mebibyte, would halt them for seconds."""


def send_file(client: viser.ClientHandle, name: str, content: bytes) -> None:
    """Let the browser save `content` as `name`, whose ending says its type."""
    client.send_file_download(name, content, chunk_size=PART, save_immediately=True)
