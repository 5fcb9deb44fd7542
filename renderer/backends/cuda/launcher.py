"""What runs kernels: a GPU by NVIDIA's driver (`_native.Driver`), or what stands in for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from ..._native import ArgumentBlock

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
