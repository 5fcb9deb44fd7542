"""Runs kernels on NVIDIA GPUs: by the driver, with machine code from NVRTC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from ..._native import ArgumentBlock, Driver
from ..memory import gpu_index, stream_of
from .compiler import find_cubin

Launch = tuple[str, ArgumentBlock]
"""A kernel of cuda/kernels by name, and its arguments."""


class Launcher(Protocol):
    """Runs kernels: a GPU, or what stands in for one."""

    def launch(self, launches: Sequence[Launch], device: torch.device) -> None:
        """Run kernels in order, all of whose arrays are on `device`."""
        ...


class DriverLauncher:
    """A `Launcher` that queues kernels on torch's current stream.

    Raises:
        DriverError: NVIDIA's driver is missing or refuses.
        KernelError: a kernel cannot be compiled.
    """

    def __init__(self) -> None:
        self._driver = Driver(find_cubin)

    def launch(self, launches: Sequence[Launch], device: torch.device) -> None:
        """See `Launcher`. Returns when the kernels are queued, not when they are done."""
        self._driver.launch(list(launches), gpu_index(device), stream_of(device))
