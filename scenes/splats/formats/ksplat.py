"""Reading .ksplat, the format of GaussianSplats3D: sections of splats, whose positions are, but at
compression level 0, relative to the middle of a bucket that many splats share.

Format: https://github.com/mkkellogg/GaussianSplats3D, src/loaders/SplatBuffer.js.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import limits
from ...errors import InputError
from ..format import RawFile
from ..merged import merged
from ..raw_splats import RawSplats, gaussians, harmonics_of, logits_of

_HEADER = 4096
_SECTION = 1024
_COUNTS = struct.Struct("<BBxxIIIIH")  # version, sections, used ones, splats, used ones, level
_SH_RANGE = struct.Struct("<ff")
_SH_RANGE_AT = 36
_USUAL_SH = (-1.5, 1.5)
# Splats, room for splats, of a bucket: splats, buckets, side, bytes; steps of half a side, bytes of
# all, full buckets, others, degree.
_FIELDS = struct.Struct("<IIIIfHxxIIIIH")
_LEVELS = (("<f4", "<f4", "<f4"), ("<u2", "<f2", "<f2"), ("<u2", "<f2", "u1"))
_STEPS = 32767
_DEGREE = 2


@dataclass(frozen=True)
class _File:
    """A file, and what its header says of all sections."""

    path: Path
    data: bytes
    level: int
    sh_range: tuple[float, float]


def read_ksplat(path: Path) -> RawFile:
    """What is in a file.

    Raises:
        InputError: it is no such file, or damaged.
    """
    data = path.read_bytes()
    if len(data) < _HEADER:
        raise InputError(f"{path}: not a .ksplat file, or cut short: {len(data)} bytes")
    major, minor, sections, _, _, _, level = _COUNTS.unpack_from(data)
    if (major, minor) != (0, 1):
        raise InputError(f"{path}: .ksplat of version {major}.{minor}; known is 0.1")
    if level >= len(_LEVELS):
        raise InputError(f"{path}: compression level {level}; known are 0, 1 and 2")
    place = _HEADER + _SECTION * sections
    if place > len(data):
        raise InputError(f"{path}: cut short: {sections} sections have no room; copy it again")
    low, high = _SH_RANGE.unpack_from(data, _SH_RANGE_AT)
    file = _File(path, data, level, (low or _USUAL_SH[0], high or _USUAL_SH[1]))
    parts: list[RawSplats] = []
    for index in range(sections):
        with np.errstate(all="ignore"):  # rows with bad values are looked for later
            part, size = _section(file, index, place)
        parts.append(part)
        place += size
    if not parts:
        raise InputError(f"{path}: has no sections; copy it again")
    return RawFile(merged(parts))


def _section(file: _File, index: int, place: int) -> tuple[RawSplats, int]:
    """The splats of a section that begins at `place`, and the bytes that it takes."""
    fields = _FIELDS.unpack_from(file.data, _HEADER + _SECTION * index)
    count, room, _, buckets, _, bucket_size, _, _, _, partial, degree = fields
    if degree > _DEGREE:
        raise InputError(f"{file.path}: harmonics of degree {degree}; known are 0 to {_DEGREE}")
    record = _record(file.level, degree)
    first = place + 4 * partial + bucket_size * buckets
    end = first + room * record.itemsize
    if count > room or end > len(file.data):
        raise InputError(
            f"{file.path}: cut short: section {index + 1} with {count} splats ends at byte {end} "
            f"of {len(file.data)}; copy it again"
        )
    splats = np.frombuffer(file.data, record, count, first)
    means = splats["xyz"].astype(np.float32)
    if file.level:
        means = _from_buckets(file, fields, place, means)
    rgba = splats["rgba"] / 255.0
    sh = np.concatenate([harmonics_of(rgba[:, None, :3]), _harmonics(file, splats)], axis=1)
    raw = gaussians(
        means=means,
        quats=splats["quat"].astype(np.float32),
        log_scales=np.log(splats["scales"].astype(np.float32)),
        logits=logits_of(rgba[:, 3]),
        sh=sh.astype(np.float32),
    )
    return raw, end - place


def _record(level: int, degree: int) -> np.dtype[Any]:
    position, shape, harmonic = _LEVELS[level]
    coeffs = (degree + 1) ** 2 - 1
    return np.dtype(
        [
            *(("xyz", position, 3), ("scales", shape, 3), ("quat", shape, 4), ("rgba", "u1", 4)),
            ("rest", harmonic, 3 * coeffs),
        ]
    )


def _from_buckets(
    file: _File, fields: tuple[Any, ...], place: int, steps: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[N, 3] positions: full buckets come first, of the others a list has the numbers of splats."""
    _, _, of_each, buckets, side, size, most, _, full, partial, _ = fields
    if size < 12 or full + partial > buckets:
        raise InputError(f"{file.path}: {buckets} buckets of {size} bytes; it is damaged")
    few = np.frombuffer(file.data, "<u4", partial, place).astype(np.int64)
    ends = np.cumsum(np.concatenate([np.full(full, of_each, np.int64), few]))
    bucket = np.searchsorted(ends, np.arange(len(steps)), side="right")
    if len(steps) and bucket[-1] >= len(ends):
        raise InputError(f"{file.path}: {len(steps)} splats are more than its buckets hold")
    table = np.ndarray((buckets, 3), "<f4", file.data, place + 4 * partial, (size, 4))
    most = most or _STEPS
    if not abs(side) < limits.VALUE:
        raise InputError(f"{file.path}: buckets with a side of {side:g}; it is damaged")
    return (steps - most) * np.float32(side / 2.0 / most) + table[bucket]


def _harmonics(file: _File, splats: NDArray[Any]) -> NDArray[np.float32]:
    """[N, B, 3]; in files a band has all of its red ones first, then the green, then the blue."""
    values = splats["rest"].astype(np.float32)
    if file.level == 2:
        low, high = map(np.float32, file.sh_range)
        values = low + values / np.float32(255.0) * (high - low)
    bands: list[NDArray[np.float32]] = []
    for first, size in ((0, 3), (9, 5)):
        band = values[:, first : first + 3 * size]
        if band.shape[1]:
            bands.append(band.reshape(-1, 3, size).transpose(0, 2, 1))
    return np.concatenate([np.zeros((len(values), 0, 3), np.float32), *bands], axis=1)
