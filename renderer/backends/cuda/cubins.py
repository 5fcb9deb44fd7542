"""Compiled kernels on disk, for all processes at once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from pathlib import Path

FILE = re.compile(r"[0-9a-f]{64}\.cubin(\.[0-9a-f]{8})?")
"""What files are called, also those that a process was writing when it ended."""


class CubinCache:
    """A folder with a file for every key, a digest of what follows first. A folder that cannot be
    read or written is done without, a damaged file too."""

    def __init__(self, folder: Path, limit: int) -> None:
        """`limit` [bytes]: the least recently used of more is dropped."""
        self._folder = folder
        self._limit = limit

    def get(self, key: str) -> bytes | None:
        """What was put under a key of 64 hexadecimal digits, if it is there and whole."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        cubin = content[hashlib.sha256().digest_size :]
        if content != _sealed(cubin):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used now
        return cubin

    def put(self, key: str, cubin: bytes) -> None:
        """Keep it. Nobody ever reads half of it."""
        path = self._path(key)
        draft = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(_sealed(cubin))
            draft.replace(path)
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
            self._trim()

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.cubin"

    def _trim(self) -> None:
        files = [path for path in self._folder.iterdir() if FILE.fullmatch(path.name)]
        used: list[tuple[int, int, Path]] = []
        for path in files:
            with contextlib.suppress(OSError):  # another process drops files too
                status = path.stat()
                used.append((status.st_mtime_ns, status.st_size, path))
        excess = sum(size for _, size, _ in used) - self._limit
        for _, size, path in sorted(used):
            if excess <= 0:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            excess -= size


def _sealed(cubin: bytes) -> bytes:
    return hashlib.sha256(cubin).digest() + cubin
