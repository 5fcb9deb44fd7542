"""Every reader on files that once were trouble, on bombs, and on a short campaign of damage."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import zstandard

from benchmarks.campaigns.fuzz_cases import CORPUS, Files, sog_members, zipped

REPOSITORY = Path(__file__).resolve().parents[2]
CORPUS_LIMIT = 200_000
"""Bytes of the corpus: everybody who clones the repository has it."""


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


def ply(body: str) -> Callable[[], Files]:
    """A PLY with these lines in its header, and 100 bytes."""
    text = f"ply\nformat binary_little_endian 1.0\n{body}\nend_header\n"
    return lambda: {"a.ply": text.encode() + bytes(100)}


def sog(change: Callable[[dict[str, object]], object], **others: bytes) -> Callable[[], Files]:
    """A SOG with a change of its meta.json, and other members."""

    def made() -> Files:
        members = sog_members()
        meta = json.loads(members["meta.json"])
        change(meta)
        return {"a.sog": zipped({**members, "meta.json": json.dumps(meta).encode(), **others}, 8)}

    return made


def packed_sog(change: Callable[[bytearray], object]) -> Callable[[], Files]:
    """A SOG with a change of the archive's bytes."""

    def made() -> Files:
        data = bytearray(zipped(sog_members()))
        change(data)
        return {"a.sog": bytes(data)}

    return made


def encrypt(data: bytearray) -> None:
    """Says of the first member that it is encrypted."""
    data[data.find(b"PK\3\4") + 6] |= 1
    data[data.find(b"PK\1\2") + 8] |= 1


def pack_strangely(data: bytearray) -> None:
    """Says of the first member that it is packed by a method that nobody knows."""
    data[data.find(b"PK\1\2") + 10] = 99


def spz(splats: int, unpacked: int, times: int = 1) -> Callable[[], Files]:
    """An SPZ that says it has so many splats, and zeros in so many streams, one after another."""

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


def wide() -> Files:
    """A PLY with very many columns."""
    columns = "\n".join(f"property char c{i}" for i in range(40_000))
    return ply(f"element vertex 1\n{columns}")()


def crowded() -> Files:
    """An archive of very many members."""
    return {"a.sog": zipped({f"member-{i}": b"" for i in range(20_000)})}


BAD = {
    "a PLY without properties": Bad("ply", ply(f"element vertex {10**12}"), "without a property"),
    "points without properties": Bad(
        "points",
        lambda: {"p.ply": ply(f"element vertex {10**12}")()["a.ply"]},
        "without a property",
    ),
    "a count of 6000 digits": Bad(
        "ply", ply(f"element vertex {'9' * 6000}\nproperty float x"), "has a count of 6000 digits"
    ),
    "a count of 18 digits": Bad(
        "ply", ply(f"element vertex {'9' * 18}\nproperty float x"), "cut short"
    ),
    "40 000 properties": Bad("ply", wide, "more than 4096 properties"),
    "3.2 GB behind gzip": Bad("spz", spz(10, 1 << 26, 48), "unpacks to "),
    "3.2 GB in one stream": Bad("spz", spz(160_000_000, 1 << 26, 48), "unpacks to "),
    "a count of splats": Bad("spz", spz(2**32 - 1, 100), "cut short: 4294967295 splats"),
    "3.2 GB behind zstandard": Bad("spz", lambda: spz_4(1 << 23), "unpacks to "),
    "a list for an object": Bad(
        "sog",
        lambda: {"a.sog": zipped({"meta.json": b"[1]"})},
        "must be an object, not a list of 1",
    ),
    "a list for a part": Bad(
        "sog", sog(lambda meta: meta.update(means=[1])), "means must be an object"
    ),
    "an infinite count": Bad(
        "sog", sog(lambda meta: meta.update(count=float("inf"))), "count must be a number below"
    ),
    "a count that is no number": Bad(
        "sog", sog(lambda meta: meta.update(count="4")), 'count must be a number, not "4"'
    ),
    "deep JSON": Bad(
        "sog", lambda: {"a.sog": zipped({"meta.json": b"[" * 100_000})}, "nested too deep"
    ),
    "a zip bomb": Bad(
        "sog", lambda: {"a.sog": zipped({"meta.json": b" " * (1 << 28)}, 8)}, "268,435,456 bytes"
    ),
    "a huge texture": Bad(
        "sog",
        sog(lambda meta: None, **{"sh0.webp": (CORPUS / "huge.webp").read_bytes()}),
        "unpacks to 1,073",
    )
    if (CORPUS / "huge.webp").exists()
    else Bad(
        "sog",
        sog(
            lambda meta: None,
            **{
                "sh0.webp": b"RIFF"
                + struct.pack("<I", 100)
                + b"WEBPVP8L"
                + struct.pack("<I", 80)
                + b"\x2f"
                + struct.pack("<I", 16383 | 16383 << 14)
                + bytes(75)
            },
        ),
        "unpacks to 1,073",
    ),
    "an encrypted member": Bad("sog", packed_sog(encrypt), "is encrypted"),
    "an unknown compression": Bad("sog", packed_sog(pack_strangely), "is packed by method 99"),
    "20 000 members": Bad("sog", crowded, "has more members than anyone needs"),
}
