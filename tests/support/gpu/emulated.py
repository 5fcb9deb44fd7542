"""The CUDA backend without a GPU: its kernels compiled by the host compiler against the header in
`emulator`, for tensors on the CPU."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from gaborsplat.renderer._native import plan
from gaborsplat.renderer.backends.cuda.backend import CudaBackend
from gaborsplat.renderer.backends.cuda.compiler import PREFIX, source_folder
from gaborsplat.renderer.backends.cuda.launcher import Launch, Relaunched
from gaborsplat.renderer.backends.registry import use_backend

EMULATOR = Path(__file__).parent / "emulator"
SOURCES = ("kernels", "math", "passes", "primitives")
COMPILER = os.environ.get("CXX", "g++")
SANITIZE = os.environ.get("GABORSPLAT_SANITIZE", "").split()
"""Flags of the sanitizers, when the tests run under them."""

OPTIONS = ["-std=c++17", "-O1", "-fPIC", "-ffp-contract=off", *SANITIZE]
"""Of all that is compiled. More optimisation takes longer than it saves."""

Defines = tuple[tuple[str, str], ...]


class EmulatorError(RuntimeError):
    """A kernel did something that a GPU does not allow."""


def available() -> bool:
    """Whether there is a compiler."""
    return shutil.which(COMPILER) is not None


@cache
def _digest() -> str:
    digest = hashlib.sha256(" ".join([COMPILER, *OPTIONS]).encode())
    for root in (*(source_folder().parent / folder for folder in SOURCES), EMULATOR):
        for path in sorted(root.rglob("*")):
            if path.is_file():
                digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _folder() -> Path:
    """Compiled kernels, kept from one run of the tests to the next."""
    folder = Path(tempfile.gettempdir()) / f"gaborsplat-emulator-{os.getuid()}" / _digest()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _compile(target: Path, *command: str) -> None:
    """Make `target`, unless it is there or another process is making it."""
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return
        building = target.with_suffix(".building")
        words = [COMPILER, *OPTIONS, *command, "-o", str(building)]
        result = subprocess.run(words, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise EmulatorError(result.stderr)
        building.replace(target)


def compile_library(source: Path, library: Path, defines: Defines = ()) -> None:
    """Compile kernels against the emulator; its header, half of the time, only once for all."""
    header = "emulator.h"
    precompiled = _folder() / f"{header}.gch"  # found by the name of the header, if that is first
    _compile(precompiled, "-w", "-x", "c++-header", str(EMULATOR / header))
    folders = [f"-I{folder}" for folder in (precompiled.parent, EMULATOR, source_folder())]
    flags = [f"-D{PREFIX}{name}={value}" for name, value in defines]
    _compile(library, "-shared", *folders, "-include", header, *flags, "-x", "c++", str(source))


@cache
def load(source: Path, defines: Defines) -> ctypes.CDLL:
    """The kernels of a source, specialised."""
    named = hashlib.sha256(f"{source} {defines}".encode()).hexdigest()[:16]
    library = _folder() / f"{source.stem}-{named}.so"
    compile_library(source, library, defines)
    return ctypes.CDLL(str(library))


class Emulator:
    """A `Launcher`."""

    def __init__(self) -> None:
        self.launched: list[str] = []
        self._loading = threading.Lock()

    def launch(self, launches: Sequence[Launch], /) -> None:
        """See `Launcher`."""
        for name, arguments in launches:
            assert arguments.device < 0, f"{name}: tensors on a GPU"
            planned = plan(name, arguments)
            kernel, struct = planned.kernel, planned.arguments
            with self._loading:
                library = load(
                    source_folder() / f"{kernel.source}.cu", tuple(sorted(planned.defines))
                )
            size = getattr(library, f"size_of_{name}")
            size.restype = ctypes.c_size_t
            assert size() == len(struct), f"{name}: {size()} bytes, not {len(struct)}"
            threads = getattr(library, f"threads_of_{name}")()
            assert threads == kernel.threads, f"{name}: {threads} threads, not {kernel.threads}"
            run = getattr(library, f"launch_{name}")
            run.restype = ctypes.c_char_p
            run.argtypes = [ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint]
            error = run(struct, *planned.grid)
            if error:
                raise EmulatorError(f"{kernel.source}.cu, {name}: {error.decode()}")
            self.launched.append(name)

    def record(self, launches: Sequence[Launch], /) -> Relaunched:
        """See `Launcher`."""
        return Relaunched(self, launches)


@contextmanager
def emulated_cuda(emulator: Emulator | None = None) -> Generator[CudaBackend]:
    """While this is entered, tensors on the CPU are rendered and fitted by the CUDA backend."""
    backend = CudaBackend(emulator or Emulator())
    with use_backend("cpu", backend):
        yield backend
