"""The numbers in a glTF: its document, its buffers, and the accessors that say what is where.

Format: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from .... import limits
from ....document import Entry, Fault, parse
from ....errors import InputError

_MAGIC = b"glTF"
HEADER = struct.Struct("<4sII")  # magic, version, bytes in all
CHUNK = struct.Struct("<I4s")  # bytes that follow, and what they are
JSON_CHUNK, BINARY_CHUNK = b"JSON", b"BIN\0"

FLOAT = 5126
_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", FLOAT: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_COMPRESSED = ("EXT_meshopt_compression", "KHR_meshopt_compression")
MOST = 1 << 40
"""A larger number of anything is damage."""


@dataclass
class Gltf:
    """A document, with what it points to.

    Attributes:
        path: the file, .glb or .gltf.
        document: its JSON.
        binary: what follows in the same file.
        size: bytes of all files that were read.
    """

    path: Path
    document: Entry
    binary: bytes
    size: int
    _buffers: dict[int, bytes] = field(default_factory=lambda: dict[int, bytes]())

    def item(self, kind: str, index: int) -> Entry:
        """The entry of that index in a list of the document, such as "accessors"."""
        items = self.document.items(kind) or ()
        if not 0 <= index < len(items):
            raise Fault(f"{kind}[{index}] is named, but there are {len(items)}")
        place = f"{kind}[{index}]"
        return Entry("", {place: items[index]}).entry(place)

    def view(self, index: int) -> memoryview:
        """The bytes of a buffer view."""
        view = self.item("bufferViews", index)
        extensions = extensions_of(view)
        for name in _COMPRESSED:
            if name in extensions:
                raise Fault(f"{view.place} is compressed by {name}, which is not read; unpack it")
        buffer = self._buffer(view.whole("buffer", 0, MOST))
        start, size = _whole(view, "byteOffset"), view.whole("byteLength", 0, MOST)
        if start + size > len(buffer):
            raise Fault(
                f"{view.place} ends at byte {start + size} of a buffer of {len(buffer)}; "
                "the file is cut short"
            )
        return memoryview(buffer)[start : start + size]

    def _buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            entry = self.item("buffers", index)
            size = entry.whole("byteLength", 0, MOST)
            uri = entry.text("uri")
            data = self.binary if uri is None else self._at(uri, entry.at("uri"), size)
            if len(data) < size:
                raise Fault(
                    f"{entry.place} has {len(data)} bytes, not {size}; the file is cut short"
                )
            self._buffers[index] = data
        return self._buffers[index]

    def _at(self, uri: str, place: str, size: int) -> bytes:
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(";base64,")[2], validate=True)
            except (binascii.Error, ValueError) as error:
                raise Fault(f"{place} is no data in base64") from error
        name = unquote(uri)
        file = self.path.parent / name
        if ":" in name or Path(name).is_absolute() or ".." in Path(name).parts:
            raise Fault(f"{place} must be a file beside this one, not {name[:60]}")
        try:
            self.size += min(size, file.stat().st_size)
            with file.open("rb") as opened:
                return opened.read(min(size, file.stat().st_size))
        except (OSError, ValueError) as error:
            raise Fault(f"{place}: {name[:60]} is not there or cannot be read") from error

    def values(self, index: int, *kinds: str) -> NDArray[np.float32]:
        """[count, width] the numbers of an accessor, which is of one of `kinds`."""
        accessor = self.item("accessors", index)
        kind = accessor.text("type")
        if kind not in kinds:
            raise Fault(f"{accessor.at('type')} must be {' or '.join(kinds)}, not {kind}")
        code = accessor.whole("componentType", 0, MOST)
        if code not in _TYPES:
            raise Fault(f"{accessor.at('componentType')} is {code}, which means nothing")
        if "sparse" in accessor.values:
            raise Fault(f"{accessor.place} is sparse, which is not read")
        dtype = np.dtype(_TYPES[code])
        numbers = self._table(accessor, dtype, WIDTHS[kind]).astype(np.float32)
        if accessor.values.get("normalized") is True and code != FLOAT:
            numbers = np.maximum(numbers / np.float32(np.iinfo(dtype).max), np.float32(-1.0))
        return numbers

    def count(self, index: int) -> int:
        """How many values an accessor has, by what it says."""
        return self.item("accessors", index).whole("count", 0, MOST)

    def _table(self, accessor: Entry, dtype: np.dtype[Any], width: int) -> NDArray[Any]:
        """[count, width] the numbers of an accessor as they are in its buffer."""
        index = accessor.whole("bufferView", 0, MOST)
        view, data = self.item("bufferViews", index), self.view(index)
        count, start = accessor.whole("count", 0, MOST), _whole(accessor, "byteOffset")
        size = width * dtype.itemsize
        step = _whole(view, "byteStride") or size
        if step < size:
            raise Fault(f"{view.at('byteStride')} must be {size} or more, not {step}")
        if count and start + (count - 1) * step + size > len(data):
            raise Fault(f"{accessor.place} has {count} values, more than its bufferView holds")
        first = start if count else 0
        return np.ndarray((count, width), dtype, data, first, (step, dtype.itemsize))


def _whole(entry: Entry, key: str) -> int:
    """The whole number at `key`, 0 where there is none."""
    return 0 if entry.values.get(key) is None else entry.whole(key, 0, MOST)


def extensions_of(entry: Entry) -> Mapping[str, Any]:
    """The extensions of an object of the document, by name."""
    found = entry.values.get("extensions")
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def read_gltf(path: Path) -> Gltf:
    """The document of a file, .glb or .gltf.

    Raises:
        InputError: it is none, or damaged.
    """
    data = path.read_bytes()
    text, binary = _chunks(path, data) if data.startswith(_MAGIC) else (data, b"")
    try:
        document = parse(text, kind="a glTF")
        asset = document.entry("asset")
        version = asset.text("version")
    except Fault as fault:
        line = f":{fault.line}" if fault.line else ""
        raise InputError(f"{path}{line}: not a glTF, or damaged: {fault}") from fault
    if version is None or version.partition(".")[0] != "2":
        raise InputError(f"{path}: glTF of version {version}; known is 2")
    return Gltf(path, document, binary, len(data))


def _chunks(path: Path, data: bytes) -> tuple[bytes, bytes]:
    """The document, and what its first buffer has."""
    if len(data) < HEADER.size + CHUNK.size:
        raise InputError(f"{path}: cut short in its header; copy it again")
    _, version, total = HEADER.unpack_from(data)
    if version != 2:
        raise InputError(f"{path}: GLB of version {version}; known is 2")
    if total > len(data):
        raise InputError(f"{path}: cut short: {len(data)} of {total} bytes; copy it again")
    chunks: dict[bytes, bytes] = {}
    place = HEADER.size
    while place + CHUNK.size <= len(data) and len(chunks) < len((JSON_CHUNK, BINARY_CHUNK)):
        size, kind = CHUNK.unpack_from(data, place)
        place += CHUNK.size
        if place + size > len(data) or (kind == JSON_CHUNK and size > limits.JSON):
            raise InputError(f"{path}: a part of {size} bytes goes beyond the file; copy it again")
        chunks.setdefault(kind, data[place : place + size])
        place += size
    if JSON_CHUNK not in chunks:
        raise InputError(f"{path}: a GLB without a document; copy it again")
    return chunks[JSON_CHUNK], chunks.get(BINARY_CHUNK, b"")
