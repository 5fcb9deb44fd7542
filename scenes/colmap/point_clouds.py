"""Points from a PLY file: of a scanner, of another program, or of nerfstudio and 3DGS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..ply import read_columns, read_header
from .model import ColmapPoints

_GREY = 128
_COLORS = (
    ("red", "green", "blue"),
    ("r", "g", "b"),
    ("diffuse_red", "diffuse_green", "diffuse_blue"),
)


def count_ply_points(path: Path) -> int:
    """The number of points that the header announces.

    Raises:
        InputError: this is no PLY file.
    """
    return read_header(path).element("vertex").count


def read_ply_points(path: Path, repairs: list[str]) -> ColmapPoints:
    """The points of a PLY file, without tracks; grey where it has no colours.

    Raises:
        InputError: the file is cut short or malformed, or has no x, y and z.
    """
    columns = read_columns(read_header(path))
    missing = [name for name in "xyz" if name not in columns]
    if missing:
        raise InputError(f'{path}: no property "{missing[0]}"; points have x, y and z')
    with np.errstate(invalid="ignore"):  # some NaNs say so when they are converted
        xyz = np.stack([columns[name].astype(np.float64) for name in "xyz"], axis=1)
    count = len(xyz)
    rgb = _colors(columns)
    if rgb is None:
        repairs.append(f"{path}: its {count} points have no colours; took them as grey")
        rgb = np.full((count, 3), _GREY, np.uint8)
    return ColmapPoints(
        xyz=xyz,
        rgb=rgb,
        errors=np.zeros(count),
        track_lengths=np.zeros(count, np.int64),
        track_images=np.zeros(0, np.int64),
    )


def _colors(columns: Mapping[str, NDArray[np.generic]]) -> NDArray[np.uint8] | None:
    """[P, 3] from integers of 8 or 16 bits or from 0 to 1, None where there are none."""
    names = next((names for names in _COLORS if all(name in columns for name in names)), None)
    if names is None:
        return None
    table = np.stack([columns[name] for name in names], axis=1)
    with np.errstate(invalid="ignore"):  # as above
        values = np.nan_to_num(table.astype(np.float64))
    if table.dtype.kind == "f" and values.size and values.max() <= 1:
        values *= 255  # as writers of float colours have them; ASCII has whole numbers of them
    elif table.dtype == np.uint16 and values.size and values.max() > 255:
        values /= 257
    return np.rint(values).clip(0, 255).astype(np.uint8)
