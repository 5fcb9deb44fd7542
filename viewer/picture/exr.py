"""OpenEXR files of 32-bit floats, as "OpenEXR File Layout" (openexr.com) has them.

Written here, because OpenCV's wheels come without OpenEXR, and the bytes are few: one part of scan
lines, each block of 16 compressed by zlib after two steps that make it shorter.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]
"""[H, W]."""

_MAGIC_AND_VERSION = struct.pack("<ii", 20000630, 2)
_FLOAT = 2
_ZIP, _LINES = 3, 16  # the compression, and the scan lines of one of its blocks
_LEVEL = 4  # of zlib: what more would cost in time, it hardly saves in bytes


def exr_bytes(channels: Mapping[str, Plane], texts: Mapping[str, str]) -> bytes:
    """An EXR file.

    Args:
        channels: planes of one size, by the names of their channels.
        texts: attributes of type string, by names of at most 31 characters.
    """
    planes = [np.asarray(channels[name], "<f4") for name in sorted(channels)]
    height, width = planes[0].shape
    head = _MAGIC_AND_VERSION + _header(sorted(channels), (width, height), texts)
    lines = np.stack(planes, axis=1)  # [H, C, W]: a line has its channels one after the other
    blocks = list(_blocks(lines))
    starts = np.cumsum([len(head) + 8 * len(blocks), *map(len, blocks)])[:-1]
    return b"".join([head, starts.astype("<u8").tobytes(), *blocks])


def _header(names: list[str], size: tuple[int, int], texts: Mapping[str, str]) -> bytes:
    channels = b"".join(name.encode() + struct.pack("<xiB3xii", _FLOAT, 0, 1, 1) for name in names)
    window = struct.pack("<4i", 0, 0, size[0] - 1, size[1] - 1)
    attributes = [
        ("channels", "chlist", channels + b"\0"),
        ("compression", "compression", bytes([_ZIP])),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", bytes([0])),
        ("pixelAspectRatio", "float", struct.pack("<f", 1)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
        *((name, "string", text.encode()) for name, text in texts.items()),
    ]
    coded = (
        f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value
        for name, kind, value in attributes
    )
    return b"".join(coded) + b"\0"


def _blocks(lines: npt.NDArray[np.float32]) -> Iterator[bytes]:
    """The blocks of `lines` [H, C, W], each with the number of its first line and its length."""
    for first in range(0, len(lines), _LINES):
        plain = lines[first : first + _LINES].tobytes()
        packed = zlib.compress(_prepared(plain), _LEVEL)
        content = min(plain, packed, key=len)  # one as long as the plain bytes is taken for them
        yield struct.pack("<ii", first, len(content)) + content


def _prepared(plain: bytes) -> bytes:
    """Bytes at even places, then those at odd ones, each as its difference from the one before."""
    values = np.frombuffer(plain, np.uint8)
    apart = np.concatenate([values[::2], values[1::2]])
    apart[1:] -= apart[:-1] - np.uint8(128)
    return apart.tobytes()
