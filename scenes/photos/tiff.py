"""How many bytes the first picture of a TIFF or BigTIFF takes, by its directory.

Specification: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf; BigTIFF has 8 bytes
where it has 4, and 20 for an entry.
"""

from __future__ import annotations

from typing import Literal

_WIDTH, _HEIGHT, _CHANNELS = 256, 257, 277
_TYPES = {3: 2, 4: 4, 16: 8}  # short, long and long8, with their bytes
_DEEPEST = 4  # bytes of a channel


def unpacked_bytes(data: bytes) -> int | None:
    """Bytes of the pixels, of channels at the deepest; None if it does not say."""
    order: Literal["little", "big"] = "little" if data.startswith(b"II") else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    big = number(2, 2) == 43
    word, entry, first = (8, 20, number(8, 8)) if big else (4, 12, number(4, 4))
    counted = 8 if big else 2
    found: dict[int, int] = {}
    for index in range(min(number(first, counted), len(data) // entry)):
        at = first + counted + index * entry
        kind = number(at + 2, 2)
        if kind in _TYPES:
            found.setdefault(number(at, 2), number(at + 4 + word, _TYPES[kind]))
    if _WIDTH not in found or _HEIGHT not in found:
        return None
    return found[_WIDTH] * found[_HEIGHT] * max(1, found.get(_CHANNELS, 1)) * _DEEPEST
