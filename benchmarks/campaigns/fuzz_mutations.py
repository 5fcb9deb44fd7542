"""Damage to files: bytes, words, JSON, and what lies behind gzip, zstandard and ZIP.

A mutation takes a random generator and the bytes of a file, and gives other bytes. It is the same
for the same state of the generator, so that a case is known by its number.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import zstandard

Mutation = Callable[[random.Random, bytes], bytes]

INTEGERS = (0, 1, 2, 255, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)
FLOATS = (0.0, -0.0, 1e-320, 1e-30, -1.0, 1e10, 3e38, 1e300, float("nan"), float("inf"), -1e30)
WORDS = (
    *(
        b"nan",
        b"-inf",
        b"inf",
        b"1e400",
        b"1e39",
        b"1e-400",
        b"-1",
        b"0",
        b"1",
        b"1.5",
        b"2147483648",
    ),
    *(b"18446744073709551615", b"9" * 400, b"9" * 6000, b"0" * 5000 + b"7", b"", b"x", b'"', b"\0"),
    *("\u00b2".encode(), b"\xff", b"1_0", b"0x10", b"1.#IND", b"true", b"null", b"[]", b"{}"),
)
NUMBER = re.compile(rb"[+-]?\d[\d.eE+-]*")
WORD = re.compile(rb"[^\s\"',:;{}\[\]]+")
DEEP = "@deep@"
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 1e-320, 1e300, 2**63, 10**400, 0.5, 3, 1e30, 255, 65536),
    *(
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        "x",
        "../../etc/passwd",
        "a\nb",
        "\ud800",
        "\0",
    ),
    *([], {}, [[]], [1], [1, 2, 3], {"a": 1}, ["a"], [None] * 300, [0.5] * 16, DEEP, "x" * 3000),
)
"""What a value in JSON becomes."""
UNPACKED = 1 << 17
"""Bytes of what is packed that are damaged; the corpus has bombs."""
METHODS = (0, 8, 8, 12, 14, 93, 99)


def _place(rng: random.Random, data: bytes) -> int:
    """A place in the data; every other time in its first bytes, where counts are."""
    end = min(len(data), 512) if rng.random() < 0.5 else len(data)
    return rng.randrange(max(1, end))


def flip(rng: random.Random, data: bytes) -> bytes:
    """One to four bits are other bits."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4) if data else 0):
        changed[_place(rng, data)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def zero(rng: random.Random, data: bytes) -> bytes:
    """A block is all zeros, or all ones."""
    at, length = _place(rng, data), rng.choice((1, 4, 8, 64, 4096))
    length = min(length, len(data) - at)
    return data[:at] + rng.choice((b"\0", b"\xff")) * length + data[at + length :]


def repeat(rng: random.Random, data: bytes) -> bytes:
    """A block is there several times."""
    at, length = _place(rng, data), rng.choice((1, 4, 16, 100, 1000))
    return data[:at] + data[at : at + length] * rng.choice((2, 3, 50)) + data[at + length :]


def remove(rng: random.Random, data: bytes) -> bytes:
    """A block is missing."""
    at = _place(rng, data)
    return data[:at] + data[at + rng.choice((1, 2, 8, 40, 1000)) :]


def cut(rng: random.Random, data: bytes) -> bytes:
    """The end is missing."""
    return data[: _place(rng, data)]


def insert(rng: random.Random, data: bytes) -> bytes:
    """Random bytes are put in."""
    at = _place(rng, data)
    return data[:at] + rng.randbytes(rng.choice((1, 2, 8, 30))) + data[at:]


def integer(rng: random.Random, data: bytes) -> bytes:
    """A length field is extreme."""
    at, code = _place(rng, data), rng.choice(("<H", "<I", "<Q", ">I", ">Q", "<B"))
    size = struct.calcsize(code)
    value = rng.choice(INTEGERS) + rng.choice((0, 0, 1, -1))
    return data[:at] + struct.pack(code, value % 256**size) + data[at + size :]


def number(rng: random.Random, data: bytes) -> bytes:
    """A float is extreme."""
    at, code = _place(rng, data), rng.choice(("<f", "<d", ">f"))
    if rng.random() < 0.5:
        at -= at % 4
    value = rng.choice(FLOATS)
    if code.endswith("f") and abs(value) > 3.4e38:
        value = float("inf")
    return data[:at] + struct.pack(code, value) + data[at + struct.calcsize(code) :]


def word(rng: random.Random, data: bytes) -> bytes:
    """A word or number of a text is another one."""
    found = (NUMBER if rng.random() < 0.7 else WORD).search(data, _place(rng, data))
    return (
        data if found is None else data[: found.start()] + rng.choice(WORDS) + data[found.end() :]
    )


def line(rng: random.Random, data: bytes) -> bytes:
    """A line of a text is missing, there again, or elsewhere."""
    lines = data.split(b"\n", 200)
    taken = lines.pop(rng.randrange(len(lines)))
    if rng.random() < 0.7:
        for _ in range(rng.choice((1, 1, 2, 300))):
            lines.insert(rng.randrange(len(lines) + 1), taken)
    return b"\n".join(lines)


BINARY: tuple[Mutation, ...] = (flip, zero, repeat, remove, cut, insert, integer, integer, number)
TEXT: tuple[Mutation, ...] = (word, word, word, line, flip, remove, cut, repeat)


def bytes_of(rng: random.Random, data: bytes) -> bytes:
    """One to three of the mutations of binary files."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = rng.choice(BINARY)(rng, data)
    return data


def text_of(rng: random.Random, data: bytes) -> bytes:
    """One to three of the mutations of texts."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = rng.choice(TEXT)(rng, data)
    return data


def ply_of(rng: random.Random, data: bytes) -> bytes:
    """The header as a text, or all of it as bytes."""
    if rng.random() < 0.4:
        return bytes_of(rng, data)
    head, mark, rest = data.partition(b"end_header")
    if rng.random() < 0.3:
        rest = bytes_of(rng, rest)
    return text_of(rng, head) + mark + rest


def json_of(rng: random.Random, data: bytes) -> bytes:
    """A value anywhere is another value, is missing, or is there again; or the text is damaged."""
    if rng.random() < 0.25:
        return text_of(rng, data)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return text_of(rng, data)
    for _ in range(rng.choice((1, 1, 2))):
        _change(rng, document)
    text = json.dumps(document)
    return text.replace(
        f'"{DEEP}"', rng.choice(("[" * 5000 + "]" * 5000, '{"a":' * 900 + "1" + "}" * 900))
    ).encode()


def _change(rng: random.Random, document: Any) -> None:
    while isinstance(document, dict | list) and document:
        keys = list(document) if isinstance(document, dict) else range(len(document))
        key = rng.choice(keys)
        inner = document[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
            document = inner
            continue
        match rng.randrange(10):
            case 0:
                del document[key]
            case 1 if isinstance(document, list):
                document.extend([inner] * rng.choice((1, 5, 200)))
            case 2:
                document[key] = [inner]
            case _:
                document[key] = deepcopy(rng.choice(VALUES))  # the next change may be in it
        return


def gzip_of(rng: random.Random, data: bytes) -> bytes:
    """What lies behind gzip is damaged and packed again; or the packed bytes are."""
    if rng.random() < 0.3:
        return bytes_of(rng, data)
    try:
        inner = zlib.decompressobj(wbits=31).decompress(data, UNPACKED)
    except zlib.error:
        return bytes_of(rng, data)
    packed = gzip.compress(bytes_of(rng, inner), 1, mtime=0)
    return packed + packed if rng.random() < 0.03 else packed


def zstd_of(rng: random.Random, data: bytes) -> bytes:
    """A stream of SPZ version 4 is damaged and packed again, with its table; or all bytes are."""
    if rng.random() < 0.4 or len(data) < 48:
        return bytes_of(rng, data)
    streams, table = data[15], int.from_bytes(data[16:20], "little")
    place, parts, entries = table + 16 * streams, [], b""
    for index in range(streams):
        entry = data[table + 16 * index : table + 16 * index + 16]
        packed, unpacked = struct.unpack("<QQ", entry.ljust(16, b"\0"))
        stream = data[place : place + packed]
        place += packed
        if rng.random() < 1 / streams:
            inner = _unpacked(stream)
            inner = bytes_of(rng, inner) if rng.random() < 0.8 else bytes(1 << 19)
            sized = rng.random() < 0.7
            stream = zstandard.ZstdCompressor(level=1, write_content_size=sized).compress(inner)
            unpacked = len(inner) if rng.random() < 0.5 else unpacked
        entries += struct.pack("<QQ", len(stream), unpacked)
        parts.append(stream)
    head = bytes_of(rng, data[:table]) if rng.random() < 0.2 else data[:table]
    return head + entries + b"".join(parts)


def glb_of(rng: random.Random, data: bytes) -> bytes:
    """The document of a GLB is damaged, and its lengths mended; or all bytes are."""
    size = int.from_bytes(data[12:16], "little")
    if rng.random() < 0.3 or len(data) < 20 + size:
        return bytes_of(rng, data)
    text, rest = json_of(rng, data[20 : 20 + size]), data[20 + size :]
    if rng.random() < 0.3:
        rest = bytes_of(rng, rest)
    total = 20 + len(text) + len(rest)
    return struct.pack("<4sIII4s", b"glTF", 2, total, len(text), b"JSON") + text + rest


def _unpacked(stream: bytes) -> bytes:
    try:
        with zstandard.ZstdDecompressor().stream_reader(stream) as reader:
            return reader.read(UNPACKED)
    except zstandard.ZstdError:
        return stream


def sog_of(rng: random.Random, data: bytes) -> bytes:
    """A member of an archive is damaged, missing, or says something else of itself."""
    if rng.random() < 0.25:
        return bytes_of(rng, data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {
                each.filename: archive.read(each) if each.file_size < UNPACKED else b""
                for each in archive.infolist()
            }
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError):
        return bytes_of(rng, data)
    members = members or {"meta.json": b"{}"}
    name = "meta.json" if rng.random() < 0.6 else rng.choice(list(members))
    match rng.randrange(12):
        case 0:
            members.pop(name, None)
        case 1:
            members["unneeded.bin"] = bytes(1 << 16)
        case 2:
            members[name] = members[rng.choice(list(members))]
        case _:
            mutation = json_of if name == "meta.json" else bytes_of
            members[name] = mutation(rng, members.get(name, b""))
    return _packed(rng, members)


def _packed(rng: random.Random, members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    data = bytearray(file.getvalue())
    if rng.random() < 0.3:  # a field of an entry of the table of contents
        at = data.rfind(b"PK\1\2") if rng.random() < 0.3 else data.find(b"PK\1\2")
        field, code = rng.choice(
            ((8, "<H"), (10, "<H"), (16, "<I"), (20, "<I"), (24, "<I"), (42, "<I"))
        )
        value = rng.choice(METHODS) if field == 10 else rng.choice(INTEGERS) % 2**16
        struct.pack_into(code, data, at + field, value)
    return bytes(data)
