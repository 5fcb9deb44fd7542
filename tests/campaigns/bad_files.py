"""Files that are made to take memory or time, or to break what reads them."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass

import zstandard

from benchmarks.campaigns.fuzz_splats import Files, sog_members, zipped


@dataclass(frozen=True)
class Bad:
    """A file that must be refused at once.

    Attributes:
        reader: which reader it is for.
        files: makes the files; the first one is read.
        told: part of the line that refuses it.
    """

    reader: str
    files: Callable[[], Files]
    told: str


def ply(body: str, name: str = "a.ply") -> Callable[[], Files]:
    """A PLY with these lines in its header, and 100 bytes."""
    text = f"ply\nformat binary_little_endian 1.0\n{body}\nend_header\n"
    return lambda: {name: text.encode() + bytes(100)}


def sog(
    change: Callable[[dict[str, object]], object] = len, **textures: bytes
) -> Callable[[], Files]:
    """A SOG with a change of its meta.json, and other textures."""

    def made() -> Files:
        members = sog_members()
        meta = json.loads(members["meta.json"])
        change(meta)
        members["meta.json"] = json.dumps(meta).encode()
        members |= {f"{name}.webp": data for name, data in textures.items()}
        return {"a.sog": zipped(members, 8)}

    return made


def sog_of(meta: bytes) -> Callable[[], Files]:
    """A SOG with this meta.json, and nothing else."""
    return lambda: {"a.sog": zipped({"meta.json": meta}, 8)}


def with_field(at: int, at_entry: int, value: int) -> Callable[[], Files]:
    """A SOG with another byte in the header of its first member, and in its entry in the table of
    contents."""

    def made() -> Files:
        data = bytearray(zipped(sog_members()))
        data[data.find(b"PK\3\4") + at] = value
        data[data.find(b"PK\1\2") + at_entry] = value
        return {"a.sog": bytes(data)}

    return made


def crowded() -> Files:
    """An archive of very many members."""
    return {"a.sog": zipped({f"member-{i}": b"" for i in range(20_000)})}


def huge_webp() -> bytes:
    """The header of a texture of 16384 x 16384 pixels."""
    size = struct.pack("<I", 16383 | 16383 << 14)
    chunk = b"VP8L" + struct.pack("<I", 80) + b"\x2f" + size + bytes(75)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def spz(splats: int, unpacked: int, times: int = 1) -> Callable[[], Files]:
    """An SPZ that says it has so many splats, and as many streams of zeros, one after another."""

    def made() -> Files:
        head = struct.pack("<4sIIBBBB", b"NGSP", 3, splats, 0, 12, 0, 0)
        zeros = gzip.compress(bytes(unpacked), 9)
        return {"a.spz": gzip.compress(head + bytes(unpacked), 9) + zeros * (times - 1)}

    return made


def spz_4(splats: int) -> Files:
    """An SPZ of version 4 that has what it says, all zeros."""
    due = [splats * each for each in (9, 1, 3, 3, 4)]
    parts = [zstandard.ZstdCompressor().compress(bytes(each)) for each in due]
    table = b"".join(struct.pack("<QQ", len(p), each) for p, each in zip(parts, due, strict=True))
    head = struct.pack("<4sIIBBBBI", b"NGSP", 4, splats, 0, 12, 0, len(parts), 32) + bytes(12)
    return {"a.spz": head + table + b"".join(parts)}


def columns(count: int) -> str:
    """Lines of a PLY's header."""
    return "\n".join(f"property char c{i}" for i in range(count))


AT_LIMIT = 200_000
"""Splats of 20 bytes that a small file may have, packed a thousand times smaller."""
MANY = f"element vertex {10**12}"
GOOD: dict[str, tuple[str, Callable[[], Files]]] = {
    "unneeded members": (
        "sog",
        lambda: {"a.sog": zipped({**sog_members(), "unneeded.bin": bytes(1 << 26)}, 8)},
    ),
    "zeros behind gzip": ("spz", spz(AT_LIMIT, 20 * AT_LIMIT)),
    "zeros behind zstandard": ("spz", lambda: spz_4(AT_LIMIT)),
}
"""Reader and files, by what is special about them: they must be read, in little memory."""
BAD = {
    "a PLY without properties": Bad("ply", ply(MANY), "without a property"),
    "points without properties": Bad("points", ply(MANY, "p.ply"), "without a property"),
    "a count of 6000 digits": Bad(
        "ply", ply(f"element vertex {'9' * 6000}\nproperty float x"), "has a count of 6000 digits"
    ),
    "a count of 18 digits": Bad(
        "ply", ply(f"element vertex {'9' * 18}\nproperty float x"), "cut short: "
    ),
    "40 000 properties": Bad(
        "ply", ply(f"element vertex 1\n{columns(40_000)}"), "more than 4096 properties"
    ),
    "3.2 GB behind gzip": Bad("spz", spz(10, 1 << 26, 48), "unpacks to "),
    "3.2 GB of splats": Bad("spz", spz(160_000_000, 1 << 26, 48), "unpacks to "),
    "a count of splats": Bad("spz", spz(2**32 - 1, 100), "unpacks to "),
    "splats that are not there": Bad("spz", spz(9, 100), "cut short: 9 splats take 196 bytes"),
    "splats behind zstandard": Bad("spz", lambda: spz_4(1 << 23), "unpacks to "),
    "a list for an object": Bad("sog", sog_of(b"[1]"), "must be an object, not a list of 1"),
    "a list for a part": Bad(
        "sog", sog(lambda meta: meta.update(means=[1])), "means must be an object"
    ),
    "an infinite count": Bad(
        "sog", sog(lambda meta: meta.update(count=float("inf"))), "count must be a number below"
    ),
    "a count in quotes": Bad(
        "sog", sog(lambda meta: meta.update(count="4")), 'count must be a number, not "4"'
    ),
    "a count of many splats": Bad(
        "sog", sog(lambda meta: meta.update(count=10**15)), "count must be a whole number from 0 to"
    ),
    "deep JSON": Bad("sog", sog_of(b"[" * 100_000), "nested too deep"),
    "a zip bomb": Bad("sog", sog_of(b" " * (1 << 26)), "meta.json has 67,108,864 bytes"),
    "a huge texture": Bad("sog", sog(sh0=huge_webp()), "unpacks to 1,073,741,824 bytes"),
    "an encrypted member": Bad("sog", with_field(6, 8, 1), "meta.json is encrypted"),
    "an unknown compression": Bad("sog", with_field(8, 10, 99), "is packed by method 99"),
    "20 000 members": Bad("sog", crowded, "has more members than anyone needs"),
    "deep transforms": Bad(
        "transforms", lambda: {"transforms.json": b'{"frames":' + b"[" * 100_000}, "nested too deep"
    ),
    "a deep path": Bad("camera-path", lambda: {"a.json": b"[" * 100_000}, "nested too deep"),
}
"""By what is wrong."""
