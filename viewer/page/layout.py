"""How splats lie in a page: what packing, reading back and the page's own reader agree on.

    "GSPL", version, length of the header    4 bytes and two uint32, little-endian
    header                                   JSON; `packed` in packing.py makes it
    body                                     gzip of planes, one behind the other

A plane has one byte of each splat (or block, or entry of the palette), so that like bytes stand
side by side; in order:

    blocks      6 planes of float32: the lowest x y z of 256 splats each, and a step of x y z
    positions   3 planes for each of x y z: low, middle and high byte of whole steps
    quaternion  3: x y z times sqrt(2), -1 to 1 as 0 to 255; w is the largest part, and positive
    scales      3: logarithms
    opacity     1: 0 to 1 as 0 to 255
    colour      3: green, red minus green, blue minus green, the last two modulo 256
    waves       for each wave 3 of its frequency, 2 of its cosine and sine amplitude
    harmonics   2: low and high byte of which entry of the palette; and for each coefficient of
                the palette, r g b each, one of as many bytes as there are entries

Numbers of scales, colours, waves and harmonics are lowest + step * byte. `header["differences"]`
has the numbers of the planes whose bytes are differences to the byte before, modulo 256.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"GSPL"
VERSION = 1
BLOCK = 256
"""Splats that have a box of their own."""
MOST_ENTRIES = 1 << 16
MOST_STEPS = (1 << 24) - 1

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Scale:
    """Numbers that bytes stand for.

    Attributes:
        lowest: what 0 stands for.
        step: from one byte to the next, > 0.
    """

    lowest: float
    step: float

    def numbers(self, places: NDArray[Any]) -> NDArray[np.float32]:
        """What bytes stand for."""
        return (self.lowest + self.step * places.astype(np.float64)).astype(np.float32)

    def places(self, numbers: NDArray[Any]) -> Bytes:
        """The nearest bytes."""
        exact = (numbers.astype(np.float64) - self.lowest) / self.step
        return np.rint(exact).clip(0, 255).astype(np.uint8)

    def noted(self) -> list[float]:
        """For JSON."""
        return [self.lowest, self.step]
