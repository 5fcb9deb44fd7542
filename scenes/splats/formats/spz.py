"""Reading SPZ, Niantic's packed splats, by gsply; before that, whether the file has what it says.

Format: https://github.com/nianticlabs/spz. Versions 1 to 3 are one gzip stream, a header and a
section for each kind of value; in version 4 the sections are zstandard streams of their own, listed
in a table. gsply makes room for what header, table and streams say.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import zstandard

from ... import limits
from ...errors import InputError
from ..format import RawFile
from .through_gsply import gsply_data, read_through_gsply

_MAGIC = b"NGSP"
_GZIP = b"\x1f\x8b"
_HEADER = struct.Struct("<4sIIBBBB")  # magic, version, splats, degree, fraction bits, flags, rest
_TABLE_AT = struct.Struct("<I")  # follows in version 4, whose last byte above counts the streams
_STREAM = struct.Struct("<QQ")  # bytes packed, and unpacked
_HEADER_4 = 32
_SECTIONS = (9, 1, 3, 3, 4)  # bytes a splat: position, opacity, colour, scale, rotation
_ROTATION_OF_OLD = 3  # bytes in versions 1 and 2
_HARMONICS = (0, 9, 24, 45)  # bytes a splat, by degree
_FRACTION_BITS = 24
_POSITION_BITS = 23  # besides the sign


def read_spz(path: Path) -> RawFile:
    """What is in a file.

    Raises:
        InputError: it is no SPZ file, or damaged.
    """
    import gsply

    check_spz(path)
    return RawFile(read_through_gsply(path, lambda: gsply.read_spz(path)))


def write_spz(file: RawFile, draft: Path, path: Path) -> None:
    """Writes a file.

    Raises:
        InputError: the format cannot hold the positions.
    """
    import gsply

    # Fixed point of 24 bits: as fine as the farthest splat allows, but no finer than 1.5e-5.
    farthest = float(np.abs(file.raw.means).max(initial=0.0))
    whole_bits = int(np.ceil(np.log2(max(farthest, 1.0) + 1.0)))
    bits = min(16, _POSITION_BITS - whole_bits)
    if bits < 1:
        raise InputError(f"{path}: .spz cannot hold positions as large as {farthest:g}")
    gsply.write_spz(draft, gsply_data(file.raw), fractional_bits=bits)


def check_spz(path: Path) -> None:
    """Checks that a file has all the splats that it says it has, and no more than fits its size.

    Raises:
        InputError: it has not, or is no SPZ file.
    """
    with path.open("rb") as file:
        start = file.read(_HEADER.size)
    if start.startswith(_GZIP):
        _check_one_stream(path)
    elif start.startswith(_MAGIC) and len(start) == _HEADER.size:
        _check_streams(path)
    else:
        raise InputError(f"{path}: not an SPZ file: it begins with {start[:4]!r}")


def _check_one_stream(path: Path) -> None:
    head = limits.gzip_start(path, _HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(_MAGIC):
        raise InputError(f"{path}: not an SPZ file: {head[:4]!r} is packed in it, not {_MAGIC!r}")
    version = _HEADER.unpack(head)[1]
    if version not in (1, 2, 3):
        raise InputError(f"{path}: SPZ version {version} in gzip; known are 1 to 3")
    splats, sections = _sections(path, head)
    spared = _SECTIONS[-1] - _ROTATION_OF_OLD if version < 3 else 0
    due = _HEADER.size + splats * (sum(sections) - spared)
    limits.check_unpacked(path, due, path.stat().st_size)
    total = limits.gzip_size(path, due + limits.SPZ_EXTENSIONS)
    if total < due:
        raise InputError(
            f"{path}: cut short: {splats} splats take {due} bytes unpacked, there are {total}; "
            "copy it again"
        )


def _check_streams(path: Path) -> None:
    data = path.read_bytes()
    _, version, _, _, _, _, streams = _HEADER.unpack_from(data)
    if version != 4:
        raise InputError(f"{path}: SPZ version {version} without gzip; known is 4")
    splats, sections = _sections(path, data)
    limits.check_unpacked(path, splats * sum(sections), len(data))
    if len(data) < _HEADER_4:
        raise InputError(f"{path}: cut short in its header; copy it again")
    table = _TABLE_AT.unpack_from(data, _HEADER.size)[0]
    place = table + streams * _STREAM.size
    due = [splats * section for section in sections if splats * section]
    if table < _HEADER_4 or place > len(data) or streams != len(due):
        raise InputError(f"{path}: lists {streams} streams at {table}; {len(due)} are due")
    for index, unpacked in enumerate(due):
        packed, stated = _STREAM.unpack_from(data, table + index * _STREAM.size)
        contents = _contents(data[place : place + packed])
        if stated != unpacked or contents not in (unpacked, None) or place + packed > len(data):
            raise InputError(
                f"{path}: stream {index + 1} has {stated if contents is None else contents} bytes; "
                f"{splats} splats have {unpacked}"
            )
        place += packed


def _contents(stream: bytes) -> int | None:
    """Bytes that a stream says it unpacks to, None if it does not say, -1 if it is none."""
    try:
        size = zstandard.get_frame_parameters(stream).content_size
    except zstandard.ZstdError:
        return -1
    return None if size == zstandard.CONTENTSIZE_UNKNOWN else size


def _sections(path: Path, head: bytes) -> tuple[int, tuple[int, ...]]:
    """Splats, and bytes of a splat in each section."""
    _, _, splats, degree, fraction, _, _ = _HEADER.unpack_from(head)
    if degree >= len(_HARMONICS):
        raise InputError(f"{path}: harmonics of degree {degree}; known are 0 to 3")
    if not 1 <= fraction <= _FRACTION_BITS:
        raise InputError(
            f"{path}: positions with {fraction} bits of fraction; known are 1 to {_FRACTION_BITS}"
        )
    return splats, (*_SECTIONS, _HARMONICS[degree])
