"""PLY files, which plyfile reads, and a guard before it.

The guard takes headers as programs write them (a byte-order mark, blanks at the end of a line, line
ends of any kind or of several), keeps comments, and makes room for nothing that the file has no
bytes for. plyfile is shown a plain header, of the elements up to the one that is wanted, and says
where its rows are. Numbers in text are taken out here: plyfile takes seven times as long.

Specification: http://paulbourke.net/dataformats/ply/.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import plyfile
from numpy.typing import NDArray

from . import limits
from .errors import InputError

Columns = dict[str, NDArray[np.generic]]
"""Columns of an element by name."""

_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}
_MARK = b"\xef\xbb\xbf"  # of text in UTF-8, which some editors put before all else
_BEGIN = re.compile(rb"ply[ \t]*(\r\n|\n|\r)")
_END = re.compile(rb"[\r\n][ \t]*end_header[ \t]*(\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class PlyElement:
    """One table of the file: plyfile's element without its rows, and how many they are."""

    name: str
    count: int
    description: plyfile.PlyElement

    @property
    def properties(self) -> tuple[str, ...]:
        """Names of the columns, in the order of the file."""
        return tuple(each.name for each in self.description.properties)

    @property
    def lists(self) -> tuple[plyfile.PlyListProperty, ...]:
        """Columns whose values are lists."""
        properties = self.description.properties
        return tuple(each for each in properties if isinstance(each, plyfile.PlyListProperty))


@dataclass(frozen=True)
class PlyHeader:
    """What the file says of itself."""

    path: Path
    encoding: str  # a key of _ORDERS
    comments: tuple[str, ...]
    elements: tuple[PlyElement, ...]
    size: int  # bytes up to the data

    def has(self, name: str) -> bool:
        """Whether there is an element of that name."""
        return any(element.name == name for element in self.elements)

    def element(self, name: str) -> PlyElement:
        """The element of that name.

        Raises:
            InputError: there is none.
        """
        for element in self.elements:
            if element.name == name:
                return element
        raise InputError(f'{self.path}: no element "{name}"; a splat file has one row per splat')


def read_header(path: Path) -> PlyHeader:
    """The header of a PLY file.

    Raises:
        InputError: there is no such file, it is not PLY, or its header is cut short or malformed.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with path.open("rb") as file:
        head = file.read(limits.PLY_HEADER)
    begin = _BEGIN.match(head, len(_MARK) if head.startswith(_MARK) else 0)
    if begin is None:
        raise InputError(f'{path}: not a PLY file: it begins with {head[:8]!r}, not with "ply"')
    end = _END.search(head, begin.end() - 1)
    if end is None:
        raise InputError(f'{path}: the PLY header is cut short: no "end_header"')
    text = head[begin.end() : end.start()]
    size = end.end()
    if end[1] == b"\r\n" and begin[1] == b"\r" and b"\n" not in text:
        size -= 1  # lines end with \r alone, and the data begin with a byte that is a \n
    lines = [line.decode("utf-8", "replace") for line in _LINE_END.split(text)]
    encoding, comments, elements = _parse(path, lines)
    return PlyHeader(path, encoding, comments, elements, size)


def _parse(path: Path, lines: list[str]) -> tuple[str, tuple[str, ...], tuple[PlyElement, ...]]:
    """What the lines between the first and the last one say, as plyfile understands them."""
    encoding = ""
    comments: list[str] = []
    counts: list[int] = []
    plain: list[tuple[int, str]] = []  # (number, line) for plyfile: all elements without rows
    for number, line in enumerate(lines, start=2):
        place = f"{path}:{number}"
        match line.split():
            case ["comment", *_]:
                comments.append(line.partition("comment")[2].strip())
            case [] | ["obj_info", *_]:
                pass
            case ["format", kind, *_] if kind in _ORDERS and not plain:
                encoding = kind
            case ["element", name, count] if count.isascii() and count.isdecimal():
                if len(count) > limits.COUNT_DIGITS:
                    raise InputError(
                        f'{place}: element "{name}" has a count of {len(count)} digits; no file '
                        f"has more than {limits.COUNT_DIGITS}"
                    )
                counts.append(int(count))
                plain.append((number, f"element {name[: limits.PLY_LINE]} 0"))
            case ["property", *words] if counts and len(line) <= limits.PLY_LINE:
                plain.append((number, f"property {' '.join(words)}"))
            case _:
                raise InputError(f'{place}: not a line of a PLY header: "{line[:60]}"')
        if len(plain) > limits.PLY_PROPERTIES:
            raise InputError(f"{place}: more than {limits.PLY_PROPERTIES} properties and elements")
    if not encoding:
        raise InputError(f"{path}: the PLY header names no format")
    described = _described(path, encoding, plain)
    elements = (PlyElement(e.name, n, e) for e, n in zip(described, counts, strict=True))
    return encoding, tuple(comments), tuple(elements)


def _described(
    path: Path, encoding: str, lines: Sequence[tuple[int, str]]
) -> tuple[plyfile.PlyElement, ...]:
    """The elements in lines of a header, by plyfile."""
    header = _plain_header(encoding, [line for _, line in lines])
    try:
        return plyfile.PlyData.read(io.BytesIO(header)).elements
    except plyfile.PlyHeaderParseError as error:
        at = min(max(0, (error.line or 0) - 3), len(lines) - 1)  # "ply" and "format" are before
        number, line = lines[at]
        raise InputError(f'{path}:{number}: {error.message}: "{line[:60]}"') from error
    except ValueError as error:  # of two elements or properties of one name, or odd letters
        raise InputError(f"{path}: the PLY header cannot be read: {error}") from error


def _plain_header(encoding: str, lines: Sequence[str]) -> bytes:
    text = "\n".join(["ply", f"format {encoding} 1.0", *lines, "end_header", ""])
    return text.encode("utf-8", "surrogatepass")


def read_columns(header: PlyHeader, name: str = "vertex") -> Columns:
    """The columns of an element by name, each [count] and of the type it has in the file, or
    float64 where that is text; views of the rows as they are in the file.

    Raises:
        InputError: the file is cut short, or has lists up to the end of that element that differ
            in length from row to row.
    """
    element = header.element(name)
    if not element.count:
        return {column: np.zeros(0, np.float32) for column in element.properties}
    if not element.properties:
        raise InputError(
            f'{header.path}: element "{name}" has {element.count} rows without a property'
        )
    upto = header.elements[: header.elements.index(element) + 1]
    wanted = [each for each in upto if each.count and each.properties]
    if header.encoding == "ascii":
        return _columns_of_text(header, wanted)
    return _columns_of_bytes(header, wanted)


def _columns_of_bytes(header: PlyHeader, elements: Sequence[PlyElement]) -> Columns:
    """Of the last of some elements, the first of which begins where the data begin."""
    lengths = _lengths_of_lists(header, elements)
    lines = (
        line
        for each in elements
        for line in (f"element {each.name} {each.count}", *map(str, each.description.properties))
    )
    plain = _plain_header(header.encoding, list(lines))
    try:
        with header.path.open("rb") as file:
            file.seek(header.size)
            stream: Any = _Stream(plain, file)
            mapped: Any = plyfile.PlyData.read(stream, known_list_len=lengths).elements[-1].data
            # A file that is cut short while it is mapped ends the process of who looks at it.
            file.seek(file.tell() - mapped.nbytes)
            data: NDArray[np.void] = np.fromfile(file, mapped.dtype, len(mapped))
    except (plyfile.PlyParseError, ValueError) as error:
        raise InputError(f"{header.path}: cannot be read: {error}") from error
    if len(data) < elements[-1].count:
        raise InputError(f"{header.path}: was cut short while it was read; read it again")
    plain_columns = set(elements[-1].properties) - {each.name for each in elements[-1].lists}
    return {name: data[name] for name in elements[-1].properties if name in plain_columns}


def _lengths_of_lists(
    header: PlyHeader, elements: Sequence[PlyElement]
) -> dict[str, dict[str, int]]:
    """How long lists are in the first row of each element, by the names of both. plyfile looks
    whether all rows are alike.

    Raises:
        InputError: the file is too short for that many rows of that size.
    """
    order, due = _ORDERS[header.encoding], header.size
    actual = header.path.stat().st_size
    found: dict[str, dict[str, int]] = {}
    with header.path.open("rb") as file:
        for element in elements:
            lists = {each.name: each for each in element.lists}
            row, lengths = 0, dict[str, int]()
            for each in element.description.properties:
                kind = lists.get(each.name)
                if kind is None:
                    row += np.dtype(each.dtype(order)).itemsize
                    continue
                length, value = map(np.dtype, kind.list_dtype(order))
                file.seek(due + row)
                start = file.read(length.itemsize).ljust(length.itemsize, b"\0")
                lengths[each.name] = max(0, int(np.frombuffer(start, length)[0]))
                row += length.itemsize + lengths[each.name] * value.itemsize
                if row > actual:
                    break
            due += element.count * row
            if due > actual:
                raise InputError(
                    f"{header.path}: cut short: {due} bytes are due, but the file has only {actual}"
                )
            found[element.name] = lengths
    return found


class _Stream:
    """A header, and behind it the rest of a file, which plyfile maps into memory."""

    def __init__(self, header: bytes, file: BinaryIO) -> None:
        self._header = io.BytesIO(header)
        self._file = file
        self.seek, self.tell, self.fileno = file.seek, file.tell, file.fileno

    def read(self, size: int) -> bytes:
        """At most `size` bytes."""
        return self._header.read(size) or self._file.read(size)


def _columns_of_text(header: PlyHeader, elements: Sequence[PlyElement]) -> Columns:
    """Of the last of some elements, the first of which begins where the data begin."""
    for each in elements:
        if each.lists:
            raise InputError(
                f'{header.path}: element "{each.name}" has a list property; in text only plain '
                "columns are read; save the file as binary"
            )
    *before, element = elements
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
    return {column: table[:, i] for i, column in enumerate(element.properties)}


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
