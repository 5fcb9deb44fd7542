"""Compiles kernels for the GPU at hand when they are first used, by NVRTC, and launches them.

There is no compiler to install: NVRTC is a library that a CUDA build of torch brings along. What
was compiled is kept on disk, under a key of sources, options, NVRTC's version and architecture.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib
import os
import re
import struct
import threading
from functools import cache
from pathlib import Path
from typing import Any

import torch

from .kernels import Defines, Kernel, source_folder

ISA = ("GABORSPLAT_ISA", "device")
CACHE_VARIABLE = "GABORSPLAT_CACHE"
"""Environment variable that names the folder of compiled kernels."""
CACHE_SIZE = 256 << 20
"""The least recently used of more than this [bytes] is dropped."""
EXACT = ("tiles",)
"""Sources whose kernels must round alike, so that no product and sum may become one operation."""
INSTALL = "pip install 'gaborsplat[cuda]'"


class KernelError(RuntimeError):
    """A kernel could not be compiled or launched."""


def _library(name: str) -> Any:
    """A module of NVIDIA's `cuda` packages; they pick their own parts when they are imported."""
    try:
        return importlib.import_module(f"cuda.{name}")
    except ImportError as error:
        raise KernelError(f"the GPU needs cuda.{name} (cuda-core 1.2): {INSTALL}") from error


def cache_folder() -> Path:
    """Where compiled kernels are kept."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return Path(base or Path.home() / ".cache") / "gaborsplat" / "kernels"


@cache
def _headers() -> bytes:
    """A digest of all that a kernel may include."""
    digest = hashlib.sha256()
    root = source_folder().parent
    for path in sorted(root.glob("*/*.h")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.digest()


def _options(kernel: Kernel, defines: Defines, architecture: str, *, verbose: bool = False) -> Any:
    return _library("core").ProgramOptions(
        name=f"{kernel.source}.cu",
        arch=architecture,
        std="c++17",
        # Denormal results are zero: they are far under every threshold, and exp2 is faster.
        ftz=True,
        fma=kernel.source not in EXACT,
        include_path=[str(source_folder())],
        define_macro=[ISA, *defines],
        ptxas_options=["-v"] if verbose else None,
    )


def compile_kernel(kernel: Kernel, defines: Defines, architecture: str, log: Any = None) -> bytes:
    """The cubin for an architecture such as sm_90. Needs no GPU.

    `log`, a text file, gets registers and memory as ptxas reports them.

    Raises:
        KernelError: NVRTC is missing, does not know the architecture, or refuses the source.
    """
    core = _library("core")
    try:
        options = _options(kernel, defines, architecture, verbose=log is not None)
        return bytes(core.Program(_text(kernel), "c++", options).compile("cubin", logs=log).code)
    except Exception as error:  # cuda.core raises its own types and the driver's
        raise KernelError(_explain(kernel, defines, architecture, error)) from error


def _explain(kernel: Kernel, defines: Defines, architecture: str, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = next((line for line in lines if re.search(r"error\s*:", line)), (lines or [""])[0])
    special = " ".join(f"{key.removeprefix('GABORSPLAT_')}={value}" for key, value in defines)
    return f"kernel {kernel.name} ({special}) for {architecture}: {first}"


class NvrtcLauncher:
    """Runs kernels on NVIDIA GPUs, on torch's current stream."""

    def __init__(self) -> None:
        # By index of the GPU, as asking torch for its architecture takes longer than a launch.
        self._loaded: dict[tuple[int, str, str, Defines], tuple[int, Any]] = {}
        self._thread = threading.local()
        self._driver = _library("bindings.driver")

    def launch(
        self,
        kernel: Kernel,
        defines: Defines,
        grid: tuple[int, int],
        arguments: bytes,
        device: torch.device,
    ) -> None:
        """See `Launcher`. Returns when the kernel is queued, not when it is done."""
        index = device.index
        if index == torch.cuda.current_device():
            self._launch(kernel, defines, grid, arguments, index)
        else:
            with torch.cuda.device(index):
                self._launch(kernel, defines, grid, arguments, index)

    def _launch(
        self, kernel: Kernel, defines: Defines, grid: tuple[int, int], arguments: bytes, index: int
    ) -> None:
        """On the current GPU, whose number is `index`."""
        self._enter(index)
        loaded = self._loaded.get((index, kernel.source, kernel.name, defines))
        handle = self._load(kernel, defines, index) if loaded is None else loaded[0]
        packed = ctypes.create_string_buffer(arguments, len(arguments))
        pointers = (ctypes.c_void_p * 1)(ctypes.addressof(packed))
        (status,) = self._driver.cuLaunchKernel(
            handle,
            *(*grid, 1),
            *(kernel.threads, 1, 1),
            0,  # shared memory beyond what the kernel declares
            torch.cuda.current_stream(index).cuda_stream,
            ctypes.addressof(pointers),
            0,
        )
        if status != self._driver.CUresult.CUDA_SUCCESS:
            raise KernelError(
                f"kernel {kernel.name} was not launched on {grid} blocks: {status.name}"
            )

    def _enter(self, index: int) -> None:
        """Make the GPU's context current on this thread: torch leaves that to CUDA's runtime, which
        does it with the thread's first call, and ours may be the first."""
        if getattr(self._thread, "index", None) == index:
            return
        _, context = self._driver.cuCtxGetCurrent()
        if int(context) == 0:
            _library("core").Device(index).set_current()
        self._thread.index = index

    def _load(self, kernel: Kernel, defines: Defines, index: int) -> int:
        architecture = architecture_of(torch.device("cuda", index))
        cubin = find_cubin(kernel, defines, architecture)
        try:
            loaded = _library("core").ObjectCode.from_cubin(cubin).get_kernel(kernel.name)
        except Exception as error:  # a driver that is older than NVRTC, say
            raise KernelError(_explain(kernel, defines, architecture, error)) from error
        self._loaded[index, kernel.source, kernel.name, defines] = (int(loaded.handle), loaded)
        return int(loaded.handle)


def architecture_of(device: torch.device) -> str:
    """Such as sm_90."""
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"


def find_cubin(kernel: Kernel, defines: Defines, architecture: str) -> bytes:
    """`compile_kernel`, from the cache where it has it whole. A cache that cannot be read or
    written is done without."""
    cache = _open_cache()
    key = _library("core.utils").make_program_cache_key(
        code=_text(kernel),
        code_type="c++",
        options=_options(kernel, defines, architecture),
        target_type="cubin",
        extra_digest=_headers(),
    )
    stored = None
    with contextlib.suppress(OSError):
        stored = None if cache is None else cache.get(key)
    if stored is not None and _is_whole(stored):
        return stored
    cubin = compile_kernel(kernel, defines, architecture)
    if cache is not None:
        with contextlib.suppress(OSError):
            cache[key] = cubin
    return cubin


def _is_whole(cubin: bytes) -> bool:
    """Whether an ELF file reaches to the end of its table of sections, which comes last."""
    if len(cubin) < 64 or not cubin.startswith(b"\x7fELF"):
        return False
    (table,) = struct.unpack_from("<Q", cubin, 40)
    (program_table,) = struct.unpack_from("<Q", cubin, 32)
    program_size, programs, section_size, sections = struct.unpack_from("<4H", cubin, 54)
    ends = (table + section_size * sections, program_table + program_size * programs)
    return max(ends) <= len(cubin)


def _open_cache() -> Any:
    try:
        return _library("core.utils").FileStreamProgramCache(
            cache_folder(), max_size_bytes=CACHE_SIZE
        )
    except (OSError, RuntimeError):  # no home folder
        return None


def _text(kernel: Kernel) -> str:
    return (source_folder() / f"{kernel.source}.cu").read_text(encoding="utf-8")


@cache
def why_unusable(device: torch.device) -> str | None:
    """What keeps the kernels from running on a GPU, in one sentence; None when nothing does."""
    if not torch.cuda.is_available():
        built = "finds no GPU" if torch.version.cuda else "is built for the CPU alone"
        return f"torch {torch.__version__} {built}"
    try:
        from .backend import shake

        means, ones = torch.zeros(1, 3, device=device), torch.ones(1, 4, device=device)
        shake(means, (ones, ones[:, :3].contiguous(), ones[0, :1]), 0.0, (1.0, 0.0, 0.0), 0)
        torch.cuda.synchronize(device)
    except Exception as error:  # whatever torch, cuda.core or the driver raise
        return (str(error).splitlines() or [type(error).__name__])[0]
    return None
