""".ksplat files, written from their description, for tests of the reader."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE, STEPS = 5.0, 32767
_SHAPES = ("<f4", "<f2", "<f2")


def ksplat(sections: Sequence[dict[str, NDArray[Any]]], level: int = 0) -> bytes:
    """A file of splats.

    Args:
        sections: of each the arrays xyz [N, 3], scales [N, 3], quat [N, 4] wxyz, rgba [N, 4] bytes
            and sh [N, B, 3], with 0, 3 or 8 coefficients.
        level: of compression; positions are then relative to buckets of two splats.
    """
    count = sum(len(each["xyz"]) for each in sections)
    head = struct.pack("<BBxxIIIIH", 0, 1, len(sections), len(sections), count, count, level)
    head = head.ljust(36, b"\0") + struct.pack("<ff", -2.0, 2.0)
    parts = [_section(each, level) for each in sections]
    return b"".join(
        [head.ljust(4096, b"\0"), *(part[0] for part in parts), *(part[1] for part in parts)]
    )


def _section(arrays: dict[str, NDArray[Any]], level: int) -> tuple[bytes, bytes]:
    xyz, count = arrays["xyz"], len(arrays["xyz"])
    full, rest = (count // 2, count % 2) if level else (0, 0)
    bucket = np.arange(count) // 2
    middles = np.array([xyz[bucket == i].mean(axis=0) for i in range(full + rest)]).reshape(-1, 3)
    steps = np.zeros((count, 3))
    if level:
        steps = np.rint((xyz - middles[bucket]) * STEPS / (SIDE / 2)) + STEPS
    places = steps.astype("<u2") if level else xyz.astype("<f4")
    harmonics = np.concatenate(
        [
            arrays["sh"][:, first:last].transpose(0, 2, 1).reshape(count, -1)
            for first, last in ((0, 3), (3, 8))
        ],
        axis=1,
    )
    kept = np.rint((harmonics + 2.0) / 4.0 * 255.0).astype("u1") if level == 2 else harmonics
    columns = [
        places,
        arrays["scales"].astype(_SHAPES[level]),
        arrays["quat"].astype(_SHAPES[level]),
        arrays["rgba"].astype("u1"),
        kept if level == 2 else kept.astype(_SHAPES[level]),
    ]
    rows = np.concatenate(
        [np.ascontiguousarray(each).view("u1").reshape(count, -1) for each in columns], axis=1
    )
    data = np.ones(rest, "<u4").tobytes() + middles.astype("<f4").tobytes() + rows.tobytes()
    degree = int(np.sqrt(1 + arrays["sh"].shape[1])) - 1
    sizes = (2, full + rest, SIDE, 12, STEPS) if level else (0, 0, 0.0, 0, 0)
    head = struct.pack("<IIIIfHxxIIIIH", count, count, *sizes, len(data), full, rest, degree)
    return head.ljust(1024, b"\0"), data
