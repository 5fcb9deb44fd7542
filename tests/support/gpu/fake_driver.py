"""A library that stands for NVIDIA's driver, compiled from fake_driver.cpp beside this."""

from __future__ import annotations

import ctypes
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import torch
from emulated import COMPILER

from gaborsplat.renderer._native import CatchUpArguments, constants


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
        self.fail_graphs(0)
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

    def fail_graphs(self, status: int) -> None:
        """What making a graph answers from now on."""
        self._library.fake_graph_failure(status)


class OnGpu:
    """A tensor that says it is on a GPU, by its attributes: what arguments need of one."""

    def __init__(self, tensor: torch.Tensor, index: int) -> None:
        self._tensor, self._index = tensor, index
        self.device = SimpleNamespace(type="cuda")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._tensor, name)

    def get_device(self) -> int:
        return self._index


def catch_up(splats: int, gpu: int = 0, dtype: torch.dtype = torch.float32) -> CatchUpArguments:
    zeros = {
        "missed": torch.zeros(1, dtype=dtype),
        "counters": torch.zeros(constants.STEP_COUNTERS, dtype=torch.int64),
        "last_steps": torch.zeros(splats, dtype=torch.int32),
        "values": torch.zeros(splats, dtype=dtype),
        "quotients": torch.zeros(splats, dtype=torch.uint8),
    }
    tensors: dict[str, Any] = {name: OnGpu(tensor, gpu) for name, tensor in zeros.items()}
    return CatchUpArguments(splats=splats, size=1, steps=1, beta1=0.5, beta2=0.5, **tensors)
