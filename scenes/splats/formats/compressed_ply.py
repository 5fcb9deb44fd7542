"""Compressed PLY, as SuperSplat writes it: splats in chunks of 256 that share their bounds.

A chunk has the bounds of positions, logarithms of scales and, since SuperSplat 2, colours; a splat
has four numbers of 32 bits, each with its place between the bounds; harmonics are bytes.

Format: https://developer.playcanvas.com/user-manual/gaussian-splatting/formats/ply/.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...ply import Columns, PlyHeader, read_columns
from ..format import RawFile
from ..raw_splats import gaussians, harmonics_of, logits_of
from .ply_comments import comments_of, read_comments, written_header
from .smallest_three import with_largest, without_largest

_CHUNK = 256  # splats that share their bounds
_POSITION = _SCALE = ((21, 11), (11, 10), (0, 11))  # lowest bit and bits of x, y and z
_ROTATION = ((20, 10), (10, 10), (0, 10))  # of the three that are not the largest; it is above
_COLOR = ((24, 8), (16, 8), (8, 8))
_ALPHA = ((0, 8),)
_PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
_BOUNDS = ("{}_x {}_y {}_z", "{}_scale_x {}_scale_y {}_scale_z", "{}_r {}_g {}_b")
_REST = {0: 0, 9: 1, 24: 2, 45: 3}  # columns of harmonics, and the degree
_LARGEST = 20.0  # logarithm of a scale: flat splats would leave nothing to the others
_SH_STEPS = 32.0  # of a byte in a harmonic of 1: bytes reach from -4 to 4


def is_compressed(header: PlyHeader) -> bool:
    """Whether a PLY has its splats in chunks."""
    return header.has("chunk")


def read_compressed_ply(header: PlyHeader) -> RawFile:
    """What is in a file, of any version of the format. Its positions are as they are, whatever
    origin a comment names: bounds in float32 have no room for places far from it.

    Raises:
        InputError: it is damaged.
    """
    _check(header)
    chunks, packed = read_columns(header, "chunk"), read_columns(header, "vertex")
    count = header.element("vertex").count
    words = {name: _column(header, packed, name, np.uint32) for name in _PACKED}

    def between(kind: int, name: str, places: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
        """[N, 3] of a splat's numbers between the bounds of its chunk."""
        low, high = (_bounds(header, chunks, kind, side) for side in ("min", "max"))
        with np.errstate(all="ignore"):  # what comes of it is looked at later
            low, high = (np.repeat(each, _CHUNK, axis=0)[:count] for each in (low, high))
            high -= low
            high *= _unpacked(words[name], places)
            high += low
        return high

    colors = between(2, "packed_color", _COLOR) if "min_r" in chunks else None
    if colors is None:  # of SuperSplat 1
        colors = _unpacked(words["packed_color"], _COLOR)
    raw = gaussians(
        means=between(0, "packed_position", _POSITION),
        quats=_quaternions(words["packed_rotation"]),
        log_scales=between(1, "packed_scale", _SCALE),
        logits=logits_of(_unpacked(words["packed_color"], _ALPHA)[:, 0]),
        sh=_harmonics(header, harmonics_of(colors)),
    )
    return RawFile(raw, read_comments(header.comments))


def _check(header: PlyHeader) -> None:
    path, chunk, vertex = header.path, header.element("chunk"), header.element("vertex")
    if header.encoding == "ascii":
        raise InputError(f"{path}: is ascii; splats in chunks are binary")
    if chunk.count != -(-vertex.count // _CHUNK):
        raise InputError(
            f"{path}: {chunk.count} chunks hold at most {chunk.count * _CHUNK} splats, "
            f"not {vertex.count}"
        )


def _column(header: PlyHeader, columns: Columns, name: str, dtype: Any) -> NDArray[Any]:
    if name not in columns:
        raise InputError(f'{header.path}: no property "{name}"; splats in chunks have it')
    with np.errstate(all="ignore"):
        return columns[name].astype(dtype)


def _bounds(header: PlyHeader, chunks: Columns, kind: int, side: str) -> NDArray[np.float32]:
    """[chunks, 3] of one kind of `_BOUNDS`, "min" or "max"."""
    names = _BOUNDS[kind].format(side, side, side).split()
    return np.stack([_column(header, chunks, name, np.float32) for name in names], axis=1)


def _unpacked(words: NDArray[np.uint32], places: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """[N, places] numbers from 0 to 1, each from its place in the words [N]."""
    numbers = np.empty((len(words), len(places)), np.float32)
    for i, (lowest, bits) in enumerate(places):
        most = (1 << bits) - 1
        numbers[:, i] = (words >> np.uint32(lowest)) & np.uint32(most)
        numbers[:, i] /= most
    return numbers


def _quaternions(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """[N, 4] wxyz."""
    small = (_unpacked(words, _ROTATION) - np.float32(0.5)) * np.float32(math.sqrt(2))
    return with_largest(words >> np.uint32(30), small)


def _harmonics(header: PlyHeader, dc: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, coefficients, 3], the first of which are `dc` [N, 3]."""
    if not header.has("sh"):
        return dc[:, None]
    element = header.element("sh")
    rest = len(element.properties)
    if element.count != len(dc):
        raise InputError(f"{header.path}: harmonics of {element.count} splats for {len(dc)}")
    if rest not in _REST:
        raise InputError(
            f"{header.path}: {rest} properties of harmonics; degrees 0 to 3 have 0, 9, 24 or 45"
        )
    columns, bands = read_columns(header, "sh") if rest else {}, rest // 3
    sh = np.empty((len(dc), 1 + bands, 3), np.float32)
    sh[:, 0] = dc
    for i in range(rest):
        byte = _column(header, columns, f"f_rest_{i}", np.float32)
        middle = (byte - np.float32(127.5)) / np.float32(_SH_STEPS)
        ends = np.where(byte == 0, -4, np.where(byte == 255, 4, middle))
        sh[:, 1 + i % bands, i // bands] = ends
    return sh


def write_compressed_ply(file: RawFile, draft: Path, _: Path) -> None:
    """Writes a file: splats along a Morton curve, so that those of a chunk are near each other."""
    raw = file.raw.along_morton_curve()
    count = len(raw.means)
    scales = raw.log_scales.clip(-_LARGEST, _LARGEST)
    means, words = np.asarray(raw.means, np.float32), np.empty((count, 4), "<u4")
    bounds = [
        _pack_between(values, places, words[:, column])
        for values, places, column in (
            (means, _POSITION, 0),
            (scales, _SCALE, 2),
            (raw.colors, _COLOR, 3),
        )
    ]
    _pack_rotations(raw.quats, words[:, 1])
    words[:, 3] |= _packed(raw.opacities[:, None], _ALPHA)
    rest = raw.sh[:, 1:].transpose(0, 2, 1).reshape(count, 3 * (raw.sh.shape[1] - 1))
    sh = np.floor(rest * _SH_STEPS + 128).clip(0, 255).astype(np.uint8)
    header = _header(file, count, sh.shape[1])
    with draft.open("wb") as out:
        for part in (header, np.concatenate(bounds, axis=1).astype("<f4"), words, sh):
            out.write(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)


def _header(file: RawFile, count: int, rest: int) -> bytes:
    sides = ("min", "max")
    bounds = [name for each in _BOUNDS for s in sides for name in each.format(s, s, s).split()]
    lines = [
        f"element chunk {-(-count // _CHUNK)}",
        *(f"property float {name}" for name in bounds),
        f"element vertex {count}",
        *(f"property uint {name}" for name in _PACKED),
        *([f"element sh {count}"] if rest else []),
        *(f"property uchar f_rest_{i}" for i in range(rest)),
    ]
    return written_header([*comments_of(file.metadata), *file.comments], lines)


def _packed(
    numbers: NDArray[np.floating[Any]], places: Sequence[tuple[int, int]]
) -> NDArray[np.uint32]:
    """[N] words of numbers [N, places] from 0 to 1."""
    words = np.zeros(len(numbers), np.uint32)
    for i, (lowest, bits) in enumerate(places):
        most = (1 << bits) - 1
        number = np.rint(numbers[:, i].astype(np.float64) * most).clip(0, most)
        words |= number.astype(np.uint32) << np.uint32(lowest)
    return words


def _pack_between(
    values: NDArray[np.float32], places: Sequence[tuple[int, int]], words: NDArray[np.uint32]
) -> NDArray[np.float32]:
    """[chunks, 6] least and most of the values [N, 3] of each chunk; puts their places between
    these into `words` [N]."""
    starts = np.arange(0, len(values), _CHUNK)
    if not len(starts):
        return np.zeros((0, 6), np.float32)
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    chunk = np.arange(len(values)) // _CHUNK
    span = (high.astype(np.float64) - low)[chunk]
    share = np.divide(values - low.astype(np.float64)[chunk], span, where=span > 0, out=span * 0)
    words[:] = _packed(share, places)
    return np.concatenate([low, high], axis=1)


def _pack_rotations(quats: NDArray[np.float32], words: NDArray[np.uint32]) -> None:
    """Puts rotations [N, 4], wxyz of length 1, into `words` [N]."""
    largest, small = without_largest(quats)
    places = _packed(small / math.sqrt(2) + 0.5, _ROTATION)
    words[:] = places | (largest.astype(np.uint32) << np.uint32(30))
