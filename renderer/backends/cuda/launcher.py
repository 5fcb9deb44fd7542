"""What runs kernels: a GPU by NVIDIA's driver (`_native.Driver`), or what stands in for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..._native import ArgumentBlock

Launch = tuple[str, ArgumentBlock]
"""A kernel of cuda/kernels by name, and its arguments."""


class Launcher(Protocol):
    """Runs kernels."""

    def launch(self, launches: Sequence[Launch], /) -> None:
        """Run kernels in order, whose arrays all are where the first one's are. May return before
        they are done."""
        ...
