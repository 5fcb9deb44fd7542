"""Every format that splats can be read from or written to."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..ply import read_header
from .format import Part, RawFile, SplatFormat
from .formats.compressed_ply import is_compressed, read_compressed_ply, write_compressed_ply
from .formats.dot_splat import read_dot_splat, write_dot_splat
from .formats.gltf.reading import GLTF_FRAME, read_splat_gltf
from .formats.gltf.writing import write_splat_glb
from .formats.ksplat import read_ksplat
from .formats.sog.layout import META, STREAMED_META
from .formats.sog.reading import read_sog
from .formats.sog.streamed import read_streamed_sog
from .formats.sog.writing import write_sog
from .formats.splat_ply import read_splat_ply, write_splat_ply
from .formats.spz.container import SPZ_FRAME, read_spz, write_spz, write_spz_4


def _read_ply(path: Path) -> RawFile:
    header = read_header(path)
    return read_compressed_ply(header) if is_compressed(header) else read_splat_ply(header)


_SPZ_KEEPS: frozenset[Part] = frozenset({"antialiased"})

FORMATS = (
    SplatFormat(
        "PLY",
        (".ply",),
        _read_ply,
        write_splat_ply,
        padded=True,
        keeps=frozenset({"waves", "antialiased", "up", "origin", "background", "name"}),
    ),
    SplatFormat(
        "compressed PLY",
        (".compressed.ply",),
        _read_ply,
        write_compressed_ply,
        keeps=frozenset({"antialiased", "up", "background", "name"}),
    ),
    SplatFormat("splat", (".splat",), read_dot_splat, write_dot_splat),
    SplatFormat("SPZ", (".spz",), read_spz, write_spz, frame=SPZ_FRAME, keeps=_SPZ_KEEPS),
    SplatFormat("SPZ 4", (".v4.spz",), read_spz, write_spz_4, frame=SPZ_FRAME, keeps=_SPZ_KEEPS),
    SplatFormat("ksplat", (".ksplat",), read_ksplat),
    SplatFormat(
        "GLB",
        (".glb",),
        read_splat_gltf,
        write_splat_glb,
        frame=GLTF_FRAME,
        scattered=True,
        keeps=frozenset({"waves", "antialiased", "up", "origin", "background", "name"}),
    ),
    SplatFormat("glTF", (".gltf",), read_splat_gltf, frame=GLTF_FRAME, scattered=True),
    SplatFormat(
        "SOG",
        (".sog",),
        read_sog,
        write_sog,
        scattered=True,
        keeps=frozenset({"antialiased", "up", "origin", "background", "name"}),
    ),
    SplatFormat("streamed SOG", (STREAMED_META,), read_streamed_sog, scattered=True),
)
"""A file is of the format whose ending is the longest that its name has."""

READABLE = tuple(ending for each in FORMATS for ending in each.endings)
"""Endings of files that can be read; a SOG may also be a meta.json beside its textures."""
WRITABLE = tuple(ending for each in FORMATS if each.write for ending in each.endings)
"""Endings of files that can be written. Only .ply and .glb carry waves."""

META_NAMES = (STREAMED_META, META)
"""Names of files that stand for the folder which they are in, and it for them."""


def format_of(path: Path) -> SplatFormat | None:
    """The format of a file by its name, None if that is of none that is known."""
    name = path.name.lower()
    name = ".sog" if name == META else name
    endings = {ending: each for each in FORMATS for ending in each.endings if name.endswith(ending)}
    return endings[max(endings, key=len)] if endings else None


def carries(path: Path, part: Part) -> bool:
    """Whether a file of that name can carry something besides splats."""
    found = format_of(path)
    return found is not None and part in found.keeps


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
    inside = next((path / name for name in META_NAMES if (path / name).is_file()), None)
    if inside is None and not path.is_file():
        raise InputError(f"{path}: no such file")
    found = format_of(inside or path)
    if found is None:
        raise InputError(f"{path}: cannot be read; known are {', '.join(READABLE)}")
    return found
