"""The PLY container: its header, and the columns of its `vertex` element.

Reads binary of either byte order and ASCII, any line ends, any scalar types, and skips elements
that lie before the vertices. Specification: http://paulbourke.net/dataformats/ply/.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from . import limits
from .errors import InputError

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
        head = file.read(limits.PLY_HEADER)
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
    counts: dict[str, int] = {}
    columns: dict[str, dict[str, str]] = {}  # by element, in the order of the file
    last: dict[str, str] = {}
    for number, line in enumerate(lines, start=2):
        place = f"{path}:{number}"
        match line.split():
            case ["comment", *_]:
                comments.append(line.partition("comment")[2].strip())
            case ["format", kind, *_] if kind in _BYTE_ORDERS:
                encoding = kind
            case ["element", name, count] if count.isdecimal():
                if name in counts:
                    raise InputError(f'{place}: element "{name}" is there twice')
                if len(count) > limits.COUNT_DIGITS:
                    raise InputError(
                        f'{place}: element "{name}" has a count of {len(count)} digits; no file '
                        f"has more than {limits.COUNT_DIGITS}"
                    )
                counts[name], columns[name] = int(count), {}
                last = columns[name]
            case ["property", "list", _, _, name] if counts:
                _add(place, last, name, "list")
            case ["property", kind, name] if counts and kind in _TYPES:
                _add(place, last, name, _TYPES[kind])
            case [] | ["obj_info", *_]:
                pass
            case _:
                raise InputError(f'{place}: not a line of a PLY header: "{line[:60]}"')
    if not encoding:
        raise InputError(f"{path}: the PLY header names no format")
    elements = tuple(
        PlyElement(name, counts[name], tuple(columns[name].items())) for name in counts
    )
    return encoding, tuple(comments), elements


def _add(place: str, columns: dict[str, str], name: str, kind: str) -> None:
    if name in columns:
        raise InputError(f'{place}: property "{name}" is there twice')
    if len(columns) == limits.PLY_PROPERTIES:
        raise InputError(f"{place}: an element has more than {limits.PLY_PROPERTIES} properties")
    columns[name] = kind


def read_columns(header: PlyHeader, name: str = "vertex") -> dict[str, NDArray[np.generic]]:
    """The columns of an element by name, each [count] and of the type it has in the file.

    Raises:
        InputError: the file is cut short, or has lists up to the end of that element.
    """
    element = header.element(name)
    header.check_length(name)
    if not element.properties:
        if element.count:
            raise InputError(
                f'{header.path}: element "{name}" has {element.count} rows without a property'
            )
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
    skipped = sum(other.count * len(other.properties) for other in before)
    width = len(element.properties)
    due, found = skipped + element.count * width, 0
    possible = (header.path.stat().st_size - header.size + 1) // 2  # a digit and a space each
    if due > possible:
        raise _too_few(header, due, f"at most {possible}")
    values = np.empty(element.count * width)
    with header.path.open("rb") as file:
        file.seek(header.size)
        for words in _blocks_of_words(file):
            wanted = words[max(0, skipped - found) : max(0, due - found)]
            start = max(0, found - skipped)
            values[start : start + len(wanted)] = _numbers(header.path, wanted)
            found += len(words)
            if found >= due:
                break
    if found < due:
        raise _too_few(header, due, f"only {found}")
    table = values.reshape(element.count, width)
    return {column: table[:, i] for i, (column, _) in enumerate(element.properties)}


def _too_few(header: PlyHeader, due: int, found: str) -> InputError:
    return InputError(
        f"{header.path}: cut short: {due} values are due, but the file has {found}; copy it again"
    )


def _blocks_of_words(file: BinaryIO) -> Iterator[list[bytes]]:
    """All words of a text, some at a time, as they take far more memory than the text."""
    rest = b""
    while block := file.read(limits.TEXT_BLOCK):
        text = rest + block
        words = text.split()
        rest = words.pop() if words and not text[-1:].isspace() else b""
        if len(rest) > limits.TEXT_BLOCK:
            break  # no number has so many digits
        yield words
    if rest:
        yield [rest]


def _numbers(path: Path, words: list[bytes]) -> NDArray[np.float64]:
    try:
        return np.array(words, np.float64)
    except ValueError as error:
        raise InputError(f"{path}: not a number among the values: {error}") from error
