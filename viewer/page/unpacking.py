"""What a page shows of the splats that were packed for it."""

from __future__ import annotations

import gzip
import json
import struct
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...renderer.splats import SH_C0, Splats
from .layout import BLOCK, Bytes, Scale


def unpacked(data: bytes) -> Splats:
    """Splats from what `packed` wrote, float32 on the CPU."""
    (length,) = struct.unpack_from("<I", data, 8)
    header = json.loads(data[12 : 12 + length])
    body = _Planes(gzip.decompress(data[12 + length :]), header)
    n, waves = header["count"], header["waves"]
    means = body.means()
    xyz = (body.columns(3) / 127.5 - 1.0) / np.sqrt(2.0)
    w = np.sqrt(np.maximum(1.0 - np.square(xyz).sum(axis=1, keepdims=True), 0.0))
    scales = np.exp(Scale(*header["scales"]).numbers(body.columns(3)).astype(np.float64))
    opacities = body.columns(1)[:, 0] / 255.0
    green, red, blue = body.columns(3).T
    rgb = np.stack([red + green, green, blue + green], axis=1)
    colors = Scale(*header["colors"]).numbers(rgb)
    of_frequencies, of_coefficients = (Scale(*each) for each in header["frequencies"])
    frequencies = np.zeros((n, waves, 3), np.float32)
    coefficients = np.zeros((n, waves, 2), np.float32)
    for k in range(waves):
        frequencies[:, k] = of_frequencies.numbers(body.columns(3))
        coefficients[:, k] = of_coefficients.numbers(body.columns(2))
    sh = ((colors - 0.5) / SH_C0)[:, None]
    if header["degree"]:
        sh = np.concatenate([sh, _harmonics(body, header)], axis=1)
    arrays = {
        "means": means,
        "quats": np.concatenate([w, xyz], axis=1),
        "scales": scales,
        "opacities": opacities,
        "sh": sh,
        "frequencies": frequencies,
        "coefficients": coefficients,
    }
    return Splats(
        **{name: torch.from_numpy(each.astype(np.float32)) for name, each in arrays.items()}
    )


class _Planes:
    """Takes one plane of a body after the other."""

    def __init__(self, data: bytes, header: dict[str, Any]) -> None:
        self._data = data
        self._count: int = header["count"]
        self._differences = {*header["differences"]}
        self._at = self._number = 0

    def take(self, size: int) -> bytes:
        self._number += 1
        self._at += size
        return self._data[self._at - size : self._at]

    def plane(self, size: int) -> Bytes:
        summed = self._number in self._differences
        values = np.frombuffer(self.take(size), np.uint8)
        return np.add.accumulate(values, dtype=np.uint8) if summed else values

    def columns(self, count: int, size: int | None = None) -> Bytes:
        return np.stack([self.plane(size or self._count) for _ in range(count)], axis=1)

    def means(self) -> NDArray[np.float64]:
        blocks = -(-self._count // BLOCK)
        lowest, step = (
            np.frombuffer(self.take(12 * blocks), "<f4").reshape(3, blocks).T.astype(np.float64)
            for _ in range(2)
        )
        of = np.arange(self._count) // BLOCK
        planes = self.columns(9).astype(np.int64)
        low, middle, high = planes[:, 0::3], planes[:, 1::3], planes[:, 2::3]
        return lowest[of] + step[of] * (low + 256 * middle + 65536 * high)


def _harmonics(body: _Planes, header: dict[str, Any]) -> NDArray[np.float32]:
    """[N, coefficients beyond the constant one, 3]."""
    stated, coefficients = header["harmonics"], (header["degree"] + 1) ** 2 - 1
    pairs = body.columns(2).astype(np.int64)
    palette = body.columns(3 * coefficients, stated["entries"])
    numbers = Scale(*stated["scale"]).numbers(palette).reshape(-1, coefficients, 3)
    return numbers[pairs[:, 0] + 256 * pairs[:, 1]]
