"""The CUDA backend on a GPU, for tensors on the CPU: every kernel's arrays travel there and back,
so that any test of the CPU backend tests it too."""

from __future__ import annotations

import ctypes
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from gaborsplat.renderer._native import ArgumentBlock, ArrayField
from gaborsplat.renderer.backends.cuda.backend import CudaBackend
from gaborsplat.renderer.backends.cuda.launcher import (
    Launch,
    Launcher,
    Relaunched,
    open_driver,
)
from gaborsplat.renderer.backends.registry import use_backend


def on_host(array: ArrayField) -> Tensor:
    """An array on the CPU as a tensor that shares its memory."""
    dtype = getattr(torch, array.number)
    buffer = (ctypes.c_char * (array.count * dtype.itemsize)).from_address(array.address)
    return torch.frombuffer(buffer, dtype=dtype, count=array.count)


class Bridge:
    """A `Launcher` for tensors on the CPU: another one runs the kernels, on copies of the arrays
    that lie on its device. All that a kernel writes is copied back, whatever was there before."""

    def __init__(self, launcher: Launcher, device: torch.device) -> None:
        self._launcher = launcher
        self._device = device

    def launch(self, launches: Sequence[Launch], /) -> None:
        """See `Launcher`."""
        there = self._copies([array for _, block in launches for array in block.arrays()])
        self._launcher.launch([(name, moved(block, there)) for name, block in launches])
        for _, block in launches:
            for array in block.arrays():
                if array.written and array.address in there:
                    on_host(array).copy_(as_array(there[array.address], array))

    def record(self, launches: Sequence[Launch], /) -> Relaunched:
        """See `Launcher`."""
        return Relaunched(self, launches)

    def _copies(self, arrays: list[ArrayField]) -> dict[int, Tensor]:
        """Bytes of arrays by their address. Kernels may see one as numbers of several types."""
        longest: dict[int, Tensor] = {}
        for array in arrays:
            if array.address and array.count:
                found = on_host(array).view(torch.uint8)
                if len(found) > len(longest.get(array.address, ())):
                    longest[array.address] = found
        return {at: found.to(self._device, copy=True) for at, found in longest.items()}


def as_array(found: Tensor, array: ArrayField) -> Tensor:
    """The numbers of an array, of its bytes and maybe more."""
    dtype = getattr(torch, array.number)
    return found[: array.count * dtype.itemsize].view(dtype)


def moved(block: ArgumentBlock, there: dict[int, Tensor]) -> ArgumentBlock:
    """The same arguments with copies of arrays; `there` has their bytes by their address here."""
    copies = {
        array.name: as_array(there[array.address], array)
        for array in block.arrays()
        if array.address in there and array.count
    }
    out = block.copy()
    out.set(**copies)
    return out


@contextmanager
def bridged_cuda() -> Generator[CudaBackend]:
    """While this is entered, tensors on the CPU are rendered and fitted by the GPU. Sums are added
    in a fixed order, for tests compare bits."""
    gpu = torch.device("cuda", torch.cuda.current_device())
    backend = CudaBackend(Bridge(open_driver(), gpu))
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with use_backend("cpu", backend):
            yield backend
    finally:
        torch.use_deterministic_algorithms(False)
