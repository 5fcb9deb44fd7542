"""The PLY container: its header, and the columns of its `vertex` element.

Reads binary of either byte order and ASCII, any line ends, any scalar types, and skips elements
that lie before the vertices. Specification: http://paulbourke.net/dataformats/ply/.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

_HEADER_LIMIT = 1 << 20  # bytes; the longest header seen in the wild is a few kilobytes
_BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "<"}
_TYPES = {
    "char": "i1",
    "int8": "i1",
    "uchar": "u1",
    "uint8": "u1",
    "short": "i2",
    "int16": "i2",
    "ushort": "u2",
    "uint16": "u2",
    "int": "i4",
    "int32": "i4",
    "uint": "u4",
    "uint32": "u4",
    "float": "f4",
    "float32": "f4",
    "double": "f8",
    "float64": "f8",
}


@dataclass(frozen=True)
class PlyElement:
    """One table of the file."""

    name: str
    count: int
    properties: tuple[tuple[str, str], ...]  # (name, numpy type code, or "list")

    @property
    def has_lists(self) -> bool:
        """Whether rows differ in length."""
        return any(kind == "list" for _, kind in self.properties)

    def row(self, byte_order: str) -> np.dtype[np.void]:
        """Layout of a row without lists."""
        return np.dtype([(name, byte_order + kind) for name, kind in self.properties])


@dataclass(frozen=True)
class PlyHeader:
    """What the file says of itself."""

    path: Path
    encoding: str  # a key of _BYTE_ORDERS
    comments: tuple[str, ...]
    elements: tuple[PlyElement, ...]
    size: int  # bytes up to the data

    def element(self, name: str) -> PlyElement:
        """The element of that name.

        Raises:
            InputError: there is none.
        """
        for element in self.elements:
            if element.name == name:
                return element
        raise InputError(f'{self.path}: no element "{name}"; a splat file has one row per splat')

    def size_through(self, name: str) -> int:
        """Bytes of a binary file from the beginning to the end of element `name`.

        Raises:
            InputError: there is no such element, or a list makes the size unknowable.
        """
        total = self.size
        for element in self.elements:
            if element.has_lists:
                raise InputError(
                    f'{self.path}: element "{element.name}" has a list property; '
                    "splats are read from plain columns"
                )
            total += element.count * element.row("<").itemsize
            if element.name == name:
                return total
        self.element(name)
        return total

    def check_length(self, name: str) -> None:
        """Checks that the file reaches to the end of element `name`.

        Raises:
            InputError: it is shorter.
        """
        expected, actual = self.size_through(name), self.path.stat().st_size
        if self.encoding != "ascii" and actual < expected:
            raise InputError(
                f"{self.path}: cut short: {expected} bytes are due, but the file has only {actual}"
            )


def read_header(path: Path) -> PlyHeader:
    """The header of a PLY file.

    Raises:
        InputError: there is no such file, it is not PLY, or its header is cut short or malformed.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with path.open("rb") as file:
        head = file.read(_HEADER_LIMIT)
    newline = next((end for end in (b"\r\n", b"\n", b"\r") if head.startswith(b"ply" + end)), None)
    if newline is None:
        raise InputError(f'{path}: not a PLY file: it begins with {head[:8]!r}, not with "ply"')
    marker = newline + b"end_header" + newline
    end = head.find(marker)
    if end < 0:
        raise InputError(f'{path}: the PLY header is cut short: no "end_header"')
    lines = head[:end].decode("utf-8", "replace").split(newline.decode())[1:]
    encoding, comments, elements = _parse(path, lines)
    return PlyHeader(path, encoding, comments, elements, end + len(marker))


def _parse(path: Path, lines: list[str]) -> tuple[str, tuple[str, ...], tuple[PlyElement, ...]]:
    encoding = ""
    comments: list[str] = []
    tables: list[tuple[str, int, list[tuple[str, str]]]] = []
    for number, line in enumerate(lines, start=2):
        match line.split():
            case ["comment", *_]:
                comments.append(line.partition("comment")[2].strip())
            case ["format", kind, *_] if kind in _BYTE_ORDERS:
                encoding = kind
            case ["element", name, count] if count.isdecimal():
                tables.append((name, int(count), []))
            case ["property", "list", _, _, name] if tables:
                tables[-1][2].append((name, "list"))
            case ["property", kind, name] if tables and kind in _TYPES:
                if any(name == known for known, _ in tables[-1][2]):
                    raise InputError(f'{path}:{number}: property "{name}" is there twice')
                tables[-1][2].append((name, _TYPES[kind]))
            case [] | ["obj_info", *_]:
                pass
            case _:
                raise InputError(f'{path}:{number}: not a line of a PLY header: "{line[:60]}"')
    if not encoding:
        raise InputError(f"{path}: the PLY header names no format")
    elements = tuple(PlyElement(name, count, tuple(columns)) for name, count, columns in tables)
    return encoding, tuple(comments), elements


def read_columns(header: PlyHeader, name: str = "vertex") -> dict[str, NDArray[np.generic]]:
    """The columns of an element by name, each [count] and of the type it has in the file.

    Raises:
        InputError: the file is cut short, or has lists up to the end of that element.
    """
    element = header.element(name)
    header.check_length(name)
    if not element.properties:
        return {}
    if header.encoding == "ascii":
        return _ascii_columns(header, element)
    row = element.row(_BYTE_ORDERS[header.encoding])
    start = header.size_through(name) - element.count * row.itemsize
    with header.path.open("rb") as file:
        file.seek(start)
        table = np.fromfile(file, row, element.count)
    return {column: table[column] for column, _ in element.properties}


def _ascii_columns(header: PlyHeader, element: PlyElement) -> dict[str, NDArray[np.generic]]:
    before = header.elements[: header.elements.index(element)]
    start = sum(other.count * len(other.properties) for other in before)
    width = len(element.properties)
    with header.path.open("rb") as file:
        file.seek(header.size)
        tokens = file.read().split()[start : start + element.count * width]
    if len(tokens) < element.count * width:
        raise InputError(
            f"{header.path}: cut short: {element.count * width} values are due, "
            f"but the file has only {len(tokens)}"
        )
    try:
        table = np.array(tokens, np.float64).reshape(element.count, width)
    except ValueError as error:
        raise InputError(f"{header.path}: not a number among the values: {error}") from error
    return {column: table[:, i] for i, (column, _) in enumerate(element.properties)}
