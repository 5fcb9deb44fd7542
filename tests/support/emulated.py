"""The CUDA backend without a GPU: its kernels compiled by the host compiler against
tests/support/emulator/emulator.h, for tensors on the CPU."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch

from gaborsplat.renderer.backends import cpu
from gaborsplat.renderer.backends.cuda import backend as cuda
from gaborsplat.renderer.backends.cuda import kernels
from gaborsplat.renderer.backends.cuda.kernels import Defines, Kernel, source_folder
from gaborsplat.renderer.raster import autograd

EMULATOR = Path(__file__).parent / "emulator"
COMPILER = os.environ.get("CXX", "g++")
OPTIONS = ("-std=c++17", "-g", "-shared", "-fPIC", "-ffp-contract=off", "-include")
SANITIZE = os.environ.get("GABORSPLAT_SANITIZE", "")
"""Flags of the sanitizers, when the tests run under them."""


class EmulatorError(RuntimeError):
    """A kernel did something that a GPU does not allow."""


def available() -> bool:
    """Whether there is a compiler."""
    return shutil.which(COMPILER) is not None


@cache
def _digest() -> str:
    digest = hashlib.sha256()
    for root in (source_folder().parent, EMULATOR):
        for path in sorted(root.rglob("*")):
            if path.suffix in (".h", ".cu"):
                digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _folder() -> Path:
    """Compiled kernels, kept from one run of the tests to the next."""
    folder = Path(tempfile.gettempdir()) / f"gaborsplat-emulator-{os.getuid()}" / _digest()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@cache
def load(source: Path, defines: Defines) -> ctypes.CDLL:
    """The kernels of a source, specialised."""
    flags = [f"-D{name}={value}" for name, value in defines]
    optimize = ["-O1", *SANITIZE.split()] if SANITIZE else ["-O2"]
    named = hashlib.sha256(" ".join([str(source), *flags, *optimize]).encode()).hexdigest()[:16]
    library = _folder() / f"{source.stem}-{named}.so"
    if not library.exists():
        building = library.with_suffix(f".{os.getpid()}")
        header = str(EMULATOR / "emulator.h")
        command = [COMPILER, *OPTIONS, header, *optimize, *flags, "-x", "c++", str(source)]
        include = ["-I", str(source_folder()), "-o", str(building)]
        result = subprocess.run([*command, *include], capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise EmulatorError(result.stderr)
        building.replace(library)
    return ctypes.CDLL(str(library))


class Emulator:
    """A `Launcher`."""

    def __init__(self) -> None:
        self.launched: set[str] = set()
        self._loading = threading.Lock()

    def launch(
        self,
        kernel: Kernel,
        defines: Defines,
        grid: tuple[int, int],
        arguments: bytes,
        device: torch.device,
    ) -> None:
        assert device.type == "cpu"
        with self._loading:
            library = load(source_folder() / f"{kernel.source}.cu", defines)
        size = getattr(library, f"size_of_{kernel.name}")
        size.restype = ctypes.c_size_t
        assert size() == len(arguments), f"{kernel.name}: {size()} bytes, not {len(arguments)}"
        run = getattr(library, f"launch_{kernel.name}")
        run.restype = ctypes.c_char_p
        run.argtypes = [ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint]
        error = run(arguments, *grid)
        if error:
            raise EmulatorError(f"{kernel.source}.cu, {kernel.name}: {error.decode()}")
        self.launched.add(kernel.name)


@contextlib.contextmanager
def emulated_cuda() -> Iterator[Emulator]:
    """While this is entered, tensors on the CPU are rendered and fitted by the CUDA backend."""
    emulator = Emulator()
    backends, launchers = autograd._backends, kernels._launchers
    backends["cpu"] = cuda
    launchers["cpu"] = emulator
    try:
        yield emulator
    finally:
        backends["cpu"] = cpu
        del launchers["cpu"]
