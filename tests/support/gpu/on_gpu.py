"""The CUDA backend on a GPU, for tensors on the CPU: every kernel's arrays travel there and back,
so that any test of the CPU backend tests it too."""

from __future__ import annotations

import ctypes
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
from emulated import Relaunched
from torch import Tensor

from gaborsplat.renderer._native import ArgumentBlock, ArrayField
from gaborsplat.renderer.backends.cuda.backend import CudaBackend
from gaborsplat.renderer.backends.cuda.launcher import Launch, Launcher, open_driver
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
        there: dict[int, Tensor] = {}
        moved = [(name, self._moved(arguments, there)) for name, arguments in launches]
        self._launcher.launch(moved)
        for _, arguments in launches:
            for array in arguments.arrays():
                if array.written and array.address in there:
                    on_host(array).copy_(there[array.address])

    def record(self, launches: Sequence[Launch], /) -> Relaunched:
        """See `Launcher`."""
        return Relaunched(self, launches)

    def _moved(self, arguments: ArgumentBlock, there: dict[int, Tensor]) -> ArgumentBlock:
        """The same arguments with copies of arrays; `there` has them by their address here."""
        copies: dict[str, Tensor] = {}
        for array in arguments.arrays():
            if array.address and array.count:
                if array.address not in there:
                    there[array.address] = on_host(array).to(self._device, copy=True)
                copies[array.name] = there[array.address]
        moved = arguments.copy()
        moved.set(**copies)
        return moved


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
