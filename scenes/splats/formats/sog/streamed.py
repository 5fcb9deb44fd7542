"""Reading streamed SOG: a tree whose leaves have their splats in several levels of detail.

Format: https://developer.playcanvas.com/user-manual/gaussian-splatting/formats/streamed-sog/.
lod-meta.json has the tree; splats lie in SOGs that it names, a leaf's in a row. A viewer shows what
of it fits; here every leaf is taken at its finest level, and the surroundings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np

from .... import limits
from ....document import Entry, Fault, read_document
from ....errors import InputError
from ...format import RawFile
from ...merged import merged
from ...metadata import DEFAULT_METADATA, SplatMetadata
from ...raw_splats import RawSplats
from .layout import META, STREAMED_META
from .reading import read_sog

_VERSION = 1
_NODE = "a node of tree"  # where it is takes more memory than the node

Rows = list[tuple[int, int]]
"""First and end of each row of splats."""


def read_streamed_sog(path: Path) -> RawFile:
    """Splats of a lod-meta.json, or of the folder that it is in.

    Raises:
        InputError: it is damaged, or a SOG that it names is, or is not there.
    """
    place = path / STREAMED_META if path.is_dir() else path
    document = read_document(place)
    try:
        version = document.number("version")
        if version not in (None, _VERSION):
            raise InputError(f"{place}: streamed SOG version {version:g}; known is {_VERSION}")
        wanted = _wanted(document)
        files = [(place.parent / name, rows) for name, rows in wanted.items()]
        # Each might unpack to as much as any file may, and there may be very many.
        left = limits.most_unpacked(sum(_size(each) for each, _ in files)) // limits.SPLAT_PIXEL
        parts: list[RawFile] = []
        for each, rows in files:
            part = read_sog(each, left)
            left -= len(part.raw.means)
            parts.append(RawFile(_rows_of(part.raw, rows, each), part.metadata))
    except Fault as fault:
        raise InputError(f"{place}: not a valid streamed SOG: {fault}") from fault
    except OSError as error:
        raise InputError(f"{error.filename or place}: cannot be read: {error.strerror}") from error
    return RawFile(merged([part.raw for part in parts]), _common([p.metadata for p in parts]))


def _wanted(document: Entry) -> dict[str, Rows | None]:
    """The SOGs that are needed, by their names, and which rows of them; None is all."""
    names = [_name(each) for each in document.items("filenames") or ()]
    wanted: dict[str, Rows | None] = {}
    for leaf in _leaves(document.entry("tree")):
        taken = _finest(leaf)
        if taken is not None:
            name = names[taken.whole("file", 0, len(names) - 1)]
            first = taken.whole("offset", 0, 10**limits.COUNT_DIGITS)
            rows = wanted.setdefault(name, [])
            assert rows is not None, "the surroundings come later"
            rows.append((first, first + _count(taken)))
    surroundings = document.text("environment")
    if surroundings is not None:
        wanted[_name(surroundings)] = None
    return wanted


def _name(value: object) -> str:
    """A name relative to the folder, spelled in one way: nothing is read twice, or elsewhere."""
    path = PurePosixPath(value if isinstance(value, str) and "\0" not in value else "")
    inside = not path.is_absolute() and ".." not in path.parts and "\\" not in path.name
    if not inside or not (path.name.lower() == META or path.suffix.lower() == ".sog"):
        shown = f'"{value}"'[:60] if isinstance(value, str) else "something else"
        raise Fault(f"filenames must be of a {META} or .sog below the folder, not {shown}")
    return str(path)


def _leaves(tree: Entry) -> Iterator[Entry]:
    """The nodes that have no children."""
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        children = node.items("children")
        if not children:
            yield node
            continue
        for each in reversed(children):
            if not isinstance(each, dict):
                raise Fault(f"{_NODE} must be an object")
            nodes.append(Entry(_NODE, cast("dict[str, Any]", each)))


def _finest(leaf: Entry) -> Entry | None:
    """Of the levels of a leaf that have any splats the one with the lowest number."""
    if leaf.values.get("lods") is None:
        return None
    levels = leaf.entry("lods")
    digits = limits.COUNT_DIGITS
    for key in levels.values:
        if not (key.isascii() and key.isdigit() and len(key) <= digits):
            raise Fault(f"{levels.place} must have numbers of levels, not {key[:digits]!r}")
    found = (levels.entry(key) for key in sorted(levels.values, key=int))
    return next((level for level in found if _count(level)), None)


def _count(level: Entry) -> int:
    return level.whole("count", 0, 10**limits.COUNT_DIGITS)


def _size(path: Path) -> int:
    """Bytes of a SOG, which may be a folder."""
    parts = path.parent.iterdir() if path.name.lower() == META else (path,)
    return sum(part.stat().st_size for part in parts if part.is_file())


def _rows_of(raw: RawSplats, rows: Rows | None, path: Path) -> RawSplats:
    """The splats of some rows, each once."""
    if rows is None:
        return raw
    count = len(raw.means)
    firsts, ends = np.array(rows, np.int64).T
    if ends.max() > count:
        raise InputError(
            f"{path}: has {count} splats; a leaf of the tree has some up to {ends.max()}"
        )
    covered = np.zeros(count + 1, np.int64)
    np.add.at(covered, firsts, 1)
    np.add.at(covered, ends, -1)
    taken = covered.cumsum()[:-1] > 0
    return raw.taken(taken)


def _common(found: Sequence[SplatMetadata]) -> SplatMetadata:
    """What all of them say."""
    return found[0] if found and all(each == found[0] for each in found) else DEFAULT_METADATA
