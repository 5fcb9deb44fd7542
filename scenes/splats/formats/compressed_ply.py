"""Compressed PLY, as SuperSplat writes it: splats in chunks of 256 that share their bounds.

Format: https://developer.playcanvas.com/user-manual/gaussian-splatting/formats/ply/.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError
from ...ply import PlyHeader, read_header
from ..format import RawFile
from .through_gsply import gsply_data, read_through_gsply

_CHUNK = 256  # splats that share their bounds
_CHUNK_COLUMNS, _PACKED_COLUMNS = 18, 4


def is_compressed(path: Path) -> bool:
    """Whether a PLY has its splats in chunks."""
    return any(element.name == "chunk" for element in read_header(path).elements)


def read_compressed_ply(path: Path) -> RawFile:
    """What is in a file.

    Raises:
        InputError: it is damaged.
    """
    import gsply

    header = read_header(path)
    _check_compressed(header)
    return RawFile(read_through_gsply(path, lambda: gsply.plyread(path)))


def _check_compressed(header: PlyHeader) -> None:
    """Checks what gsply takes for granted: it makes room by the counts in the header."""
    path, chunk, vertex = header.path, header.element("chunk"), header.element("vertex")
    if header.encoding != "binary_little_endian":
        raise InputError(f"{path}: is {header.encoding}; splats in chunks are binary_little_endian")
    header.check_length(header.elements[-1].name)
    if chunk.count != -(-vertex.count // _CHUNK):
        raise InputError(
            f"{path}: {chunk.count} chunks hold at most {chunk.count * _CHUNK} splats, "
            f"not {vertex.count}"
        )
    for element, columns in ((chunk, _CHUNK_COLUMNS), (vertex, _PACKED_COLUMNS)):
        if len(element.properties) != columns:
            raise InputError(
                f'{path}: element "{element.name}" has {len(element.properties)} properties; '
                f"splats in chunks have {columns}"
            )
    for element in header.elements:
        if element.name == "sh" and element.count != vertex.count:
            raise InputError(f"{path}: harmonics of {element.count} splats for {vertex.count}")


def write_compressed_ply(file: RawFile, draft: Path, _: Path) -> None:
    """Writes a file."""
    import gsply

    draft.write_bytes(gsply.compress_to_bytes(gsply_data(file.raw)))
