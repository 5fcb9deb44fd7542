"""A library that stands for NVIDIA's driver, compiled from fake_driver.cpp beside this."""

from __future__ import annotations

import ctypes
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from emulated import COMPILER


@cache
def build() -> Path:
    """The library."""
    source = Path(__file__).with_suffix(".cpp")
    library = Path(mkdtemp(prefix="gaborsplat-driver-")) / "libcuda.so"
    command = [COMPILER, "-std=c++17", "-shared", "-fPIC", str(source), "-o", str(library)]
    subprocess.run(command, check=True)
    return library


class FakeDriver:
    """What the library has noted, and what it is to answer."""

    def __init__(self) -> None:
        self.path = str(build())
        self._library = ctypes.CDLL(self.path)
        self._library.fake_notes.restype = ctypes.c_char_p
        self._library.fake_context.argtypes = [ctypes.c_ssize_t]
        self.notes()
        self.fail(0)
        self.set_context(0)
        self.set_version(13, 5)

    def notes(self) -> list[str]:
        """What was asked since the last time."""
        lines = self._library.fake_notes().decode().splitlines()
        self._library.fake_forget()
        return lines

    def set_context(self, context: int) -> None:
        """Make a context the current one: 100 for GPU 0, 101 for GPU 1, 0 for none."""
        self._library.fake_context(context)

    def set_version(self, major: int, minor: int) -> None:
        """Which CUDA the driver says it serves."""
        self._library.fake_version(1000 * major + 10 * minor)

    def fail(self, status: int) -> None:
        """What launches answer from now on."""
        self._library.fake_failure(status)
