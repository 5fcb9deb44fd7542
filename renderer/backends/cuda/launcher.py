"""What runs kernels: a GPU by NVIDIA's driver (`_native.Driver`), or what stands in for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..._native import ArgumentBlock, Driver
from .compiler import find_cubin
from .nvrtc import INSTALL, MAJORS, KernelError, find_nvrtc

Launch = tuple[str, ArgumentBlock]
"""A kernel of cuda/kernels by name, and its arguments."""


class Program(Protocol):
    """Kernels with their arguments, to be run again and again."""

    def launch(self, inputs: Sequence[tuple[Tensor, Tensor]], /) -> None:
        """Copy inputs, each a tensor that kernels read and what it becomes, then run the kernels.
        May return before they are done; what is copied may change by then, unless it is on the GPU
        or in pinned memory."""
        ...


class Launcher(Protocol):
    """Runs kernels."""

    def launch(self, launches: Sequence[Launch], /) -> None:
        """Run kernels in order, whose arrays all are where the first one's are. May return before
        they are done."""
        ...

    def record(self, launches: Sequence[Launch], /) -> Program:
        """What `launch` would run, to be run again and again."""
        ...


class Relaunched:
    """A `Program` of a launcher that records nothing: kernel by kernel."""

    def __init__(self, launcher: Launcher, launches: Sequence[Launch]) -> None:
        self._launcher, self._launches = launcher, list(launches)

    @torch.no_grad()
    def launch(self, inputs: Sequence[tuple[Tensor, Tensor]], /) -> None:
        """See `Program`."""
        for to, given in inputs:
            to.copy_(given)
        self._launcher.launch(self._launches)


def open_driver(library: str = "") -> Driver:
    """NVIDIA's driver, for kernels that NVRTC compiles. It loads those of its own CUDA version,
    whatever the minor one, and of all before.

    Args:
        library: the driver's path; empty for the one that the system knows.

    Raises:
        DriverError: there is no driver that works.
        KernelError: there is no NVRTC, or the driver is too old for it.
    """
    driver, nvrtc = Driver(find_cubin, library), find_nvrtc()
    if driver.version[0] < nvrtc.version[0]:
        other = f", or {INSTALL}" if driver.version[0] >= min(MAJORS) else ""
        raise KernelError(
            f"NVIDIA's driver is for CUDA {'{}.{}'.format(*driver.version)}, too old for {nvrtc} "
            f"({nvrtc.path}): update the driver to one for CUDA {nvrtc.version[0]}{other}"
        )
    return driver
