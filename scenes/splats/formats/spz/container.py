"""Reading and writing SPZ, Niantic's packed splats.

Format: https://github.com/nianticlabs/spz. Versions 1 to 3 are one stream, a header and a section
for each kind of value, in gzip or, from some programs, as it is; in version 4 the sections are
zstandard streams of their own, listed in a table.
"""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import zstandard
from numpy.typing import NDArray

from .... import limits
from ....errors import InputError
from ...format import RawFile
from ...metadata import Frame, SplatMetadata
from ...placed import in_frame
from .values import SH_DEGREE, Layout, packed, unpacked

_MAGIC = b"NGSP"
_GZIP = b"\x1f\x8b"
_HEADER = struct.Struct("<4sIIBBBB")  # magic, version, splats, degree, fraction bits, flags, rest
_TABLE_AT = struct.Struct("<I")  # follows in version 4, whose last byte above counts the streams
_STREAM = struct.Struct("<QQ")  # bytes packed, and unpacked
_HEADER_4 = 32
_EXTENSION = struct.Struct("<II")  # kind, and bytes that follow
_AXES_EXTENSION = 0xADBE0003
_ANTIALIASED, _EXTENDED = 1, 2  # flags
_FRACTION_BITS = 24
_POSITION_BITS = 23  # besides the sign
_LEVEL = 12  # of zstandard, that of Niantic's own writer

SPZ_FRAME: Frame = "RUB"
"""The axes of files that name none, and of those that we write."""
_STANDARD: tuple[Frame, ...] = get_args(Frame)
# What the extension's numbers mean, from 1: where x, y and z point. In the last eight z is up or
# down, which no `Frame` is: such splats are turned when they are read. These are the axes that
# Niantic's library puts behind the numbers; its names swap front and back in 9, 10, 15 and 16.
_AXES = (*_STANDARD, *("LBU", "RBU", "LFU", "RFU", "LBD", "RBD", "LFD", "RFD"))


@dataclass(frozen=True)
class _Contents:
    """What is in a file, checked: all of its sections are there."""

    layout: Layout
    flags: int
    sections: list[NDArray[np.uint8]]
    extensions: bytes


def read_spz(path: Path) -> RawFile:
    """What is in a file.

    Raises:
        InputError: it is no SPZ file, or damaged.
    """
    return decoded_spz(path, path.read_bytes())


def decoded_spz(path: Path, data: bytes) -> RawFile:
    """What is in an SPZ that is all or a part, `data`, of `path`.

    Raises:
        InputError: it is no SPZ, or damaged.
    """
    if data.startswith(_GZIP):
        contents = _one_stream(path, *_unzipped(path, data))
    elif data.startswith(_MAGIC) and len(data) >= _HEADER.size:
        several = _HEADER.unpack_from(data)[1] >= 4
        contents = _streams(path, data) if several else _one_stream(path, data, len(data))
    else:
        raise InputError(f"{path}: not an SPZ file: it begins with {data[:4]!r}")
    raw = unpacked(contents.layout, contents.sections)
    named = _named_axes(contents.extensions)
    antialiased = bool(contents.flags & _ANTIALIASED)
    frame: Frame | None = next((each for each in _STANDARD if each == named), None)
    if named and not frame:
        raw, frame = in_frame(raw, named, SPZ_FRAME), SPZ_FRAME
    cut = contents.layout.degree == SH_DEGREE
    return RawFile(
        raw,
        SplatMetadata(antialiased=antialiased, frame=frame),
        said=("harmonics of degree 4 are cut to degree 3",) if cut else (),
        assumed=()
        if named
        else (f"does not name its axes; taken to be {SPZ_FRAME}, as SPZ's are",),
    )


def _unzipped(path: Path, data: bytes) -> tuple[bytes | bytearray, int]:
    """What is in a gzip stream, as far as its header says that it has, and its size packed."""
    head = limits.gzip_start(path, data, _HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(_MAGIC):
        raise InputError(f"{path}: not an SPZ file: {head[:4]!r} is packed in it, not {_MAGIC!r}")
    due = _HEADER.size + sum(_layout(path, head).sections)
    limits.check_unpacked(path, due, len(data))
    return limits.gzip_contents(path, data, due + limits.SPZ_EXTENSIONS), len(data)


def _one_stream(path: Path, data: bytes | bytearray, size: int) -> _Contents:
    layout, flags = _layout(path, data), _HEADER.unpack_from(data)[5]
    if layout.version not in (1, 2, 3):
        raise InputError(f"{path}: SPZ version {layout.version} in gzip; known are 1 to 3")
    due = _HEADER.size + sum(layout.sections)
    limits.check_unpacked(path, due, size)
    if len(data) < due:
        raise InputError(
            f"{path}: cut short: {layout.splats} splats take {due} bytes unpacked, there are "
            f"{len(data)}; copy it again"
        )
    ends = np.cumsum([_HEADER.size, *layout.sections]).tolist()
    bytes_ = np.frombuffer(data, np.uint8)
    sections = [bytes_[a:b] for a, b in pairwise(ends)]
    return _Contents(layout, flags, sections, bytes(data[due:]) if flags & _EXTENDED else b"")


def _streams(path: Path, data: bytes) -> _Contents:
    layout = _layout(path, data)
    flags, streams = _HEADER.unpack_from(data)[5:]
    if layout.version != 4:
        raise InputError(f"{path}: SPZ version {layout.version} without gzip; known are 1 to 4")
    limits.check_unpacked(path, sum(layout.sections), len(data))
    if len(data) < _HEADER_4:
        raise InputError(f"{path}: cut short in its header; copy it again")
    table = _TABLE_AT.unpack_from(data, _HEADER.size)[0]
    place = table + streams * _STREAM.size
    filled = [size for size in layout.sections if size]
    due = list(layout.sections) if streams == len(layout.sections) else filled
    if table < _HEADER_4 or place > len(data) or streams != len(due):
        raise InputError(f"{path}: lists {streams} streams at {table}; {len(due)} are due")
    sections: list[NDArray[np.uint8]] = []
    for index, unpacked_size in enumerate(due):
        size, stated = _STREAM.unpack_from(data, table + index * _STREAM.size)
        stream = _unpacked_stream(data[place : place + size], unpacked_size)
        if stated != unpacked_size or stream is None or place + size > len(data):
            raise InputError(
                f"{path}: stream {index + 1} is damaged or has not the {unpacked_size} bytes that "
                f"{layout.splats} splats have; copy it again"
            )
        sections.append(np.frombuffer(stream, np.uint8))
        place += size
    nothing = np.zeros(0, np.uint8)
    whole = iter(sections) if len(due) == len(filled) else iter(s for s in sections if len(s))
    every = [next(whole) if size else nothing for size in layout.sections]
    extensions = data[_HEADER_4:table] if flags & _EXTENDED else b""
    return _Contents(layout, flags, every, extensions)


def _unpacked_stream(stream: bytes, size: int) -> bytes | None:
    """What is in a zstandard stream of `size` bytes, None if it is no such stream."""
    if not size:
        return b""
    try:
        stated = zstandard.get_frame_parameters(stream).content_size
        if stated not in (size, zstandard.CONTENTSIZE_UNKNOWN):
            return None
        contents = zstandard.ZstdDecompressor().decompress(stream, max_output_size=size)
    except zstandard.ZstdError:
        return None
    return contents if len(contents) == size else None


def _layout(path: Path, head: bytes | bytearray) -> Layout:
    _, version, splats, degree, fraction, _, _ = _HEADER.unpack_from(head)
    if degree > SH_DEGREE:
        raise InputError(f"{path}: harmonics of degree {degree}; known are 0 to {SH_DEGREE}")
    if version > 1 and not 1 <= fraction <= _FRACTION_BITS:
        raise InputError(
            f"{path}: positions with {fraction} bits of fraction; known are 1 to {_FRACTION_BITS}"
        )
    return Layout(version, splats, degree, fraction)


def _named_axes(extensions: bytes) -> str | None:
    """Where x, y and z point, if an extension says so."""
    place = 0
    while place + _EXTENSION.size <= len(extensions):
        kind, size = _EXTENSION.unpack_from(extensions, place)
        place += _EXTENSION.size
        value = extensions[place : place + size]
        if kind == _AXES_EXTENSION and len(value) == size >= 4:
            number = int.from_bytes(value[:4], "little")
            return _AXES[number - 1] if 1 <= number <= len(_AXES) else None
        place += size
    return None


def write_spz(file: RawFile, draft: Path, path: Path) -> None:
    """Writes a file of version 3, which most programs read.

    Raises:
        InputError: the format cannot hold the positions.
    """
    head, sections = _packed(file, path)
    # As gzip does by default, but without the name of the draft and the time.
    draft.write_bytes(gzip.compress(_HEADER.pack(*head, 0) + b"".join(sections), 6, mtime=0))


def write_spz_4(file: RawFile, draft: Path, path: Path) -> None:
    """Writes a file of version 4, which is smaller, read faster, and names its axes.

    Raises:
        InputError: the format cannot hold the positions.
    """
    (magic, _, splats, degree, fraction, flags), sections = _packed(file, path)
    number = (_AXES.index(SPZ_FRAME) + 1).to_bytes(4, "little")
    extension = _EXTENSION.pack(_AXES_EXTENSION, len(number)) + number
    filled = [each for each in sections if each]
    packer = zstandard.ZstdCompressor(level=_LEVEL)
    streams = [packer.compress(each) for each in filled]
    head = _HEADER.pack(magic, 4, splats, degree, fraction, flags | _EXTENDED, len(streams))
    head += _TABLE_AT.pack(_HEADER_4 + len(extension))
    table = [_STREAM.pack(len(a), len(b)) for a, b in zip(streams, filled, strict=True)]
    draft.write_bytes(b"".join([head.ljust(_HEADER_4, b"\0"), extension, *table, *streams]))


def _packed(file: RawFile, path: Path) -> tuple[tuple[bytes, int, int, int, int, int], list[bytes]]:
    """The fields of the header of version 3 but the last, and the sections."""
    raw = file.raw
    # Fixed point of 24 bits: as fine as the farthest splat allows, but no finer than 1.5e-5.
    farthest = float(np.abs(raw.means).max(initial=0.0))
    whole_bits = int(np.ceil(np.log2(max(farthest, 1.0) + 1.0)))
    bits = min(16, _POSITION_BITS - whole_bits)
    if bits < 1:
        raise InputError(f"{path}: .spz cannot hold positions as large as {farthest:g}")
    flags = _ANTIALIASED if file.metadata.antialiased else 0
    return (_MAGIC, 3, len(raw.means), raw.sh_degree, bits, flags), packed(raw, bits)
