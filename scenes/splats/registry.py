"""Every format that splats can be read from or written to."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from .format import RawFile, SplatFormat
from .formats.compressed_ply import is_compressed, read_compressed_ply, write_compressed_ply
from .formats.dot_splat import read_dot_splat, write_dot_splat
from .formats.sog import read_sog
from .formats.splat_ply import read_splat_ply, write_splat_ply
from .formats.spz import read_spz, write_spz


def _read_ply(path: Path) -> RawFile:
    return read_compressed_ply(path) if is_compressed(path) else read_splat_ply(path)


FORMATS = (
    SplatFormat(
        "PLY",
        (".ply",),
        _read_ply,
        write_splat_ply,
        keeps=frozenset({"waves", "antialiased", "up", "origin", "background", "name"}),
        exact=True,
    ),
    SplatFormat(
        "compressed PLY",
        (".compressed.ply",),
        _read_ply,
        write_compressed_ply,
        keeps=frozenset({"antialiased", "up", "background", "name"}),
    ),
    SplatFormat("splat", (".splat",), read_dot_splat, write_dot_splat, sh_degree=0),
    SplatFormat("SPZ", (".spz",), read_spz, write_spz, frame="RUB"),
    SplatFormat("SOG", (".sog",), read_sog),
)
"""A file is of the format whose ending is the longest that its name has."""

READABLE = tuple(ending for each in FORMATS for ending in each.endings)
"""Endings of files that can be read; a SOG may also be a folder with meta.json."""
WRITABLE = tuple(ending for each in FORMATS if each.write for ending in each.endings)
"""Endings of files that can be written. Only .ply carries waves."""


def format_of(path: Path) -> SplatFormat | None:
    """The format of a file by its name, None if that is of none that is known."""
    name = path.name.lower()
    endings = {ending: each for each in FORMATS for ending in each.endings if name.endswith(ending)}
    return endings[max(endings, key=len)] if endings else None


def writable_format(path: Path) -> SplatFormat:
    """The format in which a file of that name is written.

    Raises:
        InputError: the ending of the name is not that of a format we write.
    """
    found = format_of(path)
    if found is None or found.write is None:
        raise InputError(f"{path}: cannot be written; known are {', '.join(WRITABLE)}")
    return found


def readable_format(path: Path) -> SplatFormat:
    """The format in which a file, or a folder, is read.

    Raises:
        InputError: there is no such file, or its format is not known.
    """
    if path.name == "meta.json" or (path / "meta.json").is_file():
        return next(each for each in FORMATS if each.name == "SOG")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    found = format_of(path)
    if found is None:
        raise InputError(f"{path}: cannot be read; known are {', '.join(READABLE)}")
    return found
