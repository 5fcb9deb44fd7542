"""A mark in the corner of a picture, which says which picture it is and where its camera looked.

It is made of blocks as large as JPEG's, black or white, so that it survives any quality:
benchmarks/viewer/probe.js reads it in the page.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

BLOCK = 8  # [px]
COLUMNS, ROWS = 8, 5  # blocks: a row that is always the same, two of the number, two of the azimuth
SYNC = 0b10110010
NUMBERS = 1 << 16
"""Numbers of pictures, and steps of a whole turn of the azimuth."""

Array = npt.NDArray[np.float64]


def layout() -> dict[str, int]:
    """What the page has to know to read marks."""
    return {"block": BLOCK, "columns": COLUMNS, "rows": ROWS, "sync": SYNC}


def paint(picture: Tensor, number: int, azimuth: float) -> None:
    """Write a mark into `picture` [H, W, 3] bytes; one smaller than the mark stays as it is.

    `azimuth` is in radians.
    """
    height, width = ROWS * BLOCK, COLUMNS * BLOCK
    if picture.shape[0] < height or picture.shape[1] < width:
        return
    step = round(azimuth / (2 * math.pi) * NUMBERS) % NUMBERS
    code = (SYNC << 32) | (number % NUMBERS << 16) | step
    bits = np.unpackbits(np.frombuffer(code.to_bytes(ROWS * COLUMNS // 8, "big"), np.uint8))
    mark = np.kron(255 * bits.reshape(ROWS, COLUMNS), np.ones((BLOCK, BLOCK), np.uint8))
    picture[:height, :width] = torch.from_numpy(mark).to(picture.device)[..., None]


def azimuths(forward: Any, up: Any) -> Array:
    """Angle [radians] of viewing directions [..., 3] around the axis `up` [3]."""
    axis = np.asarray(up, np.float64) / np.linalg.norm(up)
    first = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
    first /= np.linalg.norm(first)
    forward = np.asarray(forward, np.float64)
    return np.arctan2(forward @ np.cross(axis, first), forward @ first)
