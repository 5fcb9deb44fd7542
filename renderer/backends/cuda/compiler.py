"""Compiles kernels for the GPU at hand, by NVRTC, and keeps what was compiled on disk.

There is no compiler to install: NVRTC is a library. Compiled kernels are kept under a key of
sources, options, NVRTC's version and architecture.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TextIO

from .cubins import CubinCache
from .nvrtc import KernelError, find_nvrtc

CACHE_VARIABLE = "GABORSPLAT_CACHE"
"""Environment variable that names the folder of compiled kernels."""
CACHE_SIZE = 256 << 20
"""The least recently used of more than this [bytes] is dropped."""
EXACT = ("tiles",)
"""Sources whose kernels must round alike, so that no product and sum may become one operation."""
PREFIX = "GABORSPLAT_"
"""Of the macros that specialise kernels."""

Defines = Sequence[tuple[str, str]]
"""Macros without their prefix, and their values."""


def source_folder() -> Path:
    """Where the kernels' sources are: beside the package `renderer`, installed or not."""
    return Path(__file__).resolve().parents[3] / "cuda" / "kernels"


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


def _options(source: str, defines: Defines, architecture: str) -> list[str]:
    return [
        f"--gpu-architecture={architecture}",
        "--std=c++17",
        # Denormal results are zero: they are far under every threshold, and exp2 is faster.
        "--ftz=true",
        f"--fmad={'false' if source in EXACT else 'true'}",
        *(
            f"--define-macro={PREFIX}{name}={value}"
            for name, value in (("ISA", "device"), *defines)
        ),
    ]


def compile_kernel(
    source: str, kernel: str, defines: Defines, architecture: str, log: TextIO | None = None
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
    nvrtc = find_nvrtc()
    if architecture not in nvrtc.architectures:
        oldest, newest = nvrtc.architectures[0], nvrtc.architectures[-1]
        what = f"{nvrtc} knows {oldest} to {newest}: take a build of torch for another CUDA"
        raise KernelError(_explain(kernel, defines, architecture, what))
    options = [*_options(source, defines, architecture), f"--include-path={source_folder()}"]
    if log is not None:
        options.append("--ptxas-options=-v")
    try:
        cubin, said = nvrtc.compile(f"{source}.cu", _text(source), options)
    except KernelError as error:
        raise KernelError(_explain(kernel, defines, architecture, str(error))) from error
    if log is not None:
        log.write(said)
    return cubin


def _explain(kernel: str, defines: Defines, architecture: str, what: str) -> str:
    lines = [line.strip() for line in what.splitlines() if line.strip()]
    first = next((line for line in lines if re.search(r"error\s*:", line)), (lines or [""])[0])
    special = " ".join(f"{name}={value}" for name, value in defines)
    return f"kernel {kernel} ({special}) for {architecture}: {first}"


def find_cubin(source: str, kernel: str, defines: Defines, architecture: str) -> bytes:
    """`compile_kernel`, from the cache where it has it whole. A cache that cannot be read or
    written is done without."""
    try:
        cache = CubinCache(cache_folder(), CACHE_SIZE)
    except RuntimeError:  # no home folder
        return compile_kernel(source, kernel, defines, architecture)
    key = _key(source, defines, architecture)
    cubin = cache.get(key)
    if cubin is None:
        cubin = compile_kernel(source, kernel, defines, architecture)
        cache.put(key, cubin)
    return cubin


def _key(source: str, defines: Defines, architecture: str) -> str:
    """Of all that a cubin depends on."""
    digest = hashlib.sha256(_headers())
    for part in (str(find_nvrtc()), *_options(source, defines, architecture), _text(source)):
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()


def _text(source: str) -> str:
    return (source_folder() / f"{source}.cu").read_text(encoding="utf-8")
