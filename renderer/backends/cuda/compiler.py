"""Compiles kernels for the GPU at hand, by NVRTC, and keeps what was compiled on disk.

There is no compiler to install: NVRTC is a library. Compiled kernels are kept under a key of
sources, options, NVRTC's version and architecture.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import re
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

CACHE_VARIABLE = "GABORSPLAT_CACHE"
"""Environment variable that names the folder of compiled kernels."""
CACHE_SIZE = 256 << 20
"""The least recently used of more than this [bytes] is dropped."""
EXACT = ("tiles",)
"""Sources whose kernels must round alike, so that no product and sum may become one operation."""
INSTALL = "pip install 'gaborsplat[cuda]'"
PREFIX = "GABORSPLAT_"
"""Of the macros that specialise kernels."""

Defines = Sequence[tuple[str, str]]
"""Macros without their prefix, and their values."""


class KernelError(RuntimeError):
    """A kernel could not be compiled or loaded."""


def source_folder() -> Path:
    """Where the kernels' sources are: beside the package `renderer`, installed or not."""
    return Path(__file__).resolve().parents[3] / "cuda" / "kernels"


def library(name: str) -> Any:
    """A module of NVIDIA's `cuda` packages; they pick their own parts when they are imported.

    Raises:
        KernelError: it is not installed.
    """
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
    """A digest of the headers of kernels, formulas and argument structs."""
    digest = hashlib.sha256()
    root = source_folder().parent
    folders = (source_folder(), *(root / name for name in ("math", "passes", "primitives")))
    for path in sorted(path for folder in folders for path in folder.glob("*.h")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.digest()


def _options(source: str, defines: Defines, architecture: str, *, verbose: bool = False) -> Any:
    return library("core").ProgramOptions(
        name=f"{source}.cu",
        arch=architecture,
        std="c++17",
        # Denormal results are zero: they are far under every threshold, and exp2 is faster.
        ftz=True,
        fma=source not in EXACT,
        include_path=[str(source_folder())],
        define_macro=[(PREFIX + name, value) for name, value in (("ISA", "device"), *defines)],
        ptxas_options=["-v"] if verbose else None,
    )


def compile_kernel(
    source: str, kernel: str, defines: Defines, architecture: str, log: Any = None
) -> bytes:
    """The cubin of cuda/kernels/`source`.cu for an architecture such as sm_90. Needs no GPU.

    Args:
        source: the file, without its ending.
        kernel: which of its kernels is wanted; named in errors.
        defines: what specialises it.
        architecture: such as sm_90.
        log: a text file that gets registers and memory as ptxas reports them.

    Raises:
        KernelError: NVRTC is missing, does not know the architecture, or refuses the source.
    """
    core = library("core")
    try:
        options = _options(source, defines, architecture, verbose=log is not None)
        return bytes(core.Program(_text(source), "c++", options).compile("cubin", logs=log).code)
    except Exception as error:  # cuda.core raises its own types and the driver's
        raise KernelError(_explain(kernel, defines, architecture, error)) from error


def _explain(kernel: str, defines: Defines, architecture: str, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = next((line for line in lines if re.search(r"error\s*:", line)), (lines or [""])[0])
    special = " ".join(f"{name}={value}" for name, value in defines)
    return f"kernel {kernel} ({special}) for {architecture}: {first}"


def find_cubin(source: str, kernel: str, defines: Defines, architecture: str) -> bytes:
    """`compile_kernel`, from the cache where it has it whole. A cache that cannot be read or
    written is done without."""
    cache = _open_cache()
    key = library("core.utils").make_program_cache_key(
        code=_text(source),
        code_type="c++",
        options=_options(source, defines, architecture),
        target_type="cubin",
        extra_digest=_headers(),
    )
    stored = None
    with contextlib.suppress(OSError):
        stored = None if cache is None else cache.get(key)
    if stored is not None and _is_whole(stored):
        return stored
    cubin = compile_kernel(source, kernel, defines, architecture)
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
        return library("core.utils").FileStreamProgramCache(
            cache_folder(), max_size_bytes=CACHE_SIZE
        )
    except (OSError, RuntimeError):  # no home folder
        return None


def _text(source: str) -> str:
    return (source_folder() / f"{source}.cu").read_text(encoding="utf-8")
