"""The size of a WebP picture by its header: a decoder makes room for it before it looks further.

Format: https://developers.google.com/speed/webp/docs/riff_container.
"""

from __future__ import annotations

_ANIMATED = 2  # of the extended header's flags


def webp_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) [px] of a still picture, None if this is none."""
    if len(data) < 25 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    match data[12:16]:
        case b"VP8L" if data[20] == 0x2F:
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 " if data[23:26] == b"\x9d\x01\x2a":
            width, height = (int.from_bytes(data[i : i + 2], "little") for i in (26, 28))
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8X" if not data[20] & _ANIMATED:
            width, height = (int.from_bytes(data[i : i + 3], "little") for i in (24, 27))
            return width + 1, height + 1
        case _:
            return None
