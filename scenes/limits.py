"""What reading a file may cost: every limit of the readers, with its reason, and what keeps to it.

A reader believes no number in a file before it has seen that the file has bytes for it. What is
compressed is unpacked in pieces, up to a limit that follows from the size of the file; what nobody
needs is not unpacked at all.
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from .errors import InputError

VALUE = 1e30
"""A larger number is damage wherever it stands; the square of this one still fits a float32."""
SIDE = 1 << 20
"""[px] A photo with a longer side is damage."""

PLY_HEADER = 1 << 20
"""Bytes of a PLY header; the longest seen in the wild are a few kilobytes."""
PLY_PROPERTIES = 4096
"""Elements and columns of a PLY; the widest known, with features of 512 numbers, have 600."""
PLY_LINE = 256
"""Letters of a line that names a column of a PLY: plyfile takes a microsecond for each."""
COUNT_DIGITS = 18
"""Digits of a number of rows: no disk holds more, and Python reads no number of 4300 digits."""

TEXT_LINE = 1 << 22
"""Bytes of a line of text that is taken apart; its words take twenty times its size. A point of a
COLMAP model that 300 000 photos see has a line as long."""
TEXT_BLOCK = 1 << 20
"""Bytes of numbers in text that are converted at a time, for the same reason."""
POINT_BLOCK = 1 << 16
"""Points, and observations, of a COLMAP model that are taken out at a time: the places of their
bytes take eight times as much as they do."""

JSON = 1 << 26
"""Bytes of a JSON document, which takes up to 24 times as much in memory. 64 MiB are the poses of
50 000 photos."""
SOG_META = 1 << 20
"""Bytes of a SOG's meta.json, which has five lists of 256 numbers at most."""
SPLAT_PIXEL = 4
"""Bytes of a texture of a SOG that every splat takes."""
ARCHIVE_CONTENTS = 1 << 20
"""Bytes of a ZIP's table of contents, whose entries take twenty times as much in memory. A SOG has
eight members."""

FOLDER = 20_000
"""Files and folders that are looked through for splats: the runs of most programs have a hundred,
and the photos of a large capture ten thousand."""

EXPANSION = 64
"""Unpacked bytes per byte of a compressed file. Splats are noise that packs 1 to 6 times smaller;
gzip goes up to 1000, zstandard and WebP have no limit."""
EXPANSION_FREE = 1 << 26
"""Unpacked bytes that any file may have: those of a million splats that somebody has made all
alike, and which pack a thousand times smaller."""
SPZ_EXTENSIONS = 1 << 20
"""Bytes behind the splats of an SPZ, where programs may keep more; known extensions have 100."""
PHOTO = 1 << 29
"""Unpacked bytes that any photo may have whose size only its decoder tells: 90 million pixels of 16
bits, all black."""

_PIECE = 1 << 18  # bytes that are unpacked at a time
_END_OF_ARCHIVE = b"PK\5\6"
_END_OF_LARGE_ARCHIVE = b"PK\6\7"  # right before the other one


class BoundedFile(io.BufferedReader):
    """A file to read that makes room for what is left of it, however much it is asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes; all that are left if it is negative."""
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def most_unpacked(size: int) -> int:
    """Bytes to which `size` bytes of compressed splats may unpack."""
    return max(EXPANSION_FREE, EXPANSION * size)


def check_unpacked(path: Path, unpacked: int, size: int) -> None:
    """Checks that `size` bytes of `path` do not unpack, or say that they do, to too many.

    Raises:
        InputError: they do.
    """
    if unpacked > most_unpacked(size):
        raise InputError(
            f"{path}: unpacks to {unpacked:,} bytes or more, but a file of {size:,} may have "
            f"{most_unpacked(size):,}; it is damaged, or made to fill the memory"
        )


def gzip_start(path: Path, data: bytes, size: int) -> bytes:
    """The first `size` bytes that are in gzipped `data` of `path`, or all if there are fewer.

    Raises:
        InputError: it is damaged.
    """
    return b"".join(_pieces(path, data, size))


def gzip_contents(path: Path, data: bytes, most: int) -> bytearray:
    """All that is in gzipped `data` of `path`, if it is not more than `most` bytes.

    Raises:
        InputError: it is damaged, or has more.
    """
    contents = bytearray()
    for piece in _pieces(path, data, most + 1):
        contents += piece
    if len(contents) > most:
        raise InputError(
            f"{path}: unpacks to more than the {most:,} bytes that it should have; it is damaged, "
            "or made to fill the memory"
        )
    return contents


def _pieces(path: Path, data: bytes, most: int) -> Iterator[bytes]:
    try:
        with gzip.open(io.BytesIO(data)) as file:
            while most and (piece := file.read(min(most, _PIECE))):
                most -= len(piece)
                yield piece
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: damaged or cut short: {error}; copy it again") from error


def open_archive(path: Path) -> zipfile.ZipFile:
    """A ZIP archive with a table of contents of bearable size.

    Raises:
        InputError: it is no such archive.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        file.seek(max(0, size - (1 << 16) - 22 - 20))  # a comment at most, and both ends
        tail = file.read()
    end = tail.rfind(_END_OF_ARCHIVE)
    contents = int.from_bytes(tail[end + 12 : end + 16], "little")
    large = tail[max(0, end - 20) :].startswith(_END_OF_LARGE_ARCHIVE)
    if end < 0 or large or contents > ARCHIVE_CONTENTS:
        reason = "has no end" if end < 0 else "has more members than anyone needs"
        raise InputError(f"{path}: the ZIP archive {reason}; it is damaged or no splat file")
    try:
        return zipfile.ZipFile(path)
    # Whatever is wrong with a table of contents: zipfile raises six kinds of error.
    except Exception as error:
        raise InputError(f"{path}: not a ZIP archive: {error}") from error


def read_member(path: Path, archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """What is in the member `name` of the archive in `path`.

    Raises:
        InputError: it is not there, is encrypted, is packed in a way that is not known, is
            damaged, or has more than `most` bytes.
    """
    try:
        member = archive.getinfo(name)
    except KeyError as error:
        raise InputError(f"{path}: not a whole archive: {name} is missing") from error
    if member.flag_bits & 1:
        raise InputError(f"{path}: {name} is encrypted; unpack the archive and pack it again")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(
            f"{path}: {name} is packed by method {member.compress_type}; known are "
            "0 and 8 (stored and deflated); pack the archive again"
        )
    if member.file_size > most:
        raise InputError(f"{path}: {name} has {member.file_size:,} bytes; {most:,} are possible")
    try:
        with archive.open(member) as file:
            return file.read(member.file_size + 1)  # one more, as it checks the sum at the end
    except Exception as error:  # as above
        reason = str(error) or type(error).__name__
        raise InputError(f"{path}: {name} is damaged: {reason}; copy the file again") from error
