"""The passes on the CPU, in `_native.cpu` (cuda/cpu)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

from .. import _native
from .memory import Memory, Workspace
from .stages import SplatsToBin, Tiles

T = TypeVar("T")


class _DoneAnew(Generic[T]):
    """See `Repeated`."""

    def __init__(self, work: Callable[..., T]) -> None:
        self._work = work

    def __call__(self, *inputs: Tensor) -> T:
        """See `Repeated`."""
        return self._work(*inputs)

    def start(self, *inputs: Tensor) -> T:
        """See `Repeated`."""
        return self._work(*inputs)

    def settle(self) -> bool:
        """See `Repeated`."""
        return True

    def needed(self, pairs: int) -> None:
        """See `Repeated`."""


class CpuBackend:
    """A `Backend` for tensors on the CPU, with threads of its own."""

    max_channels = None
    records = False

    def repeated(
        self, work: Callable[..., T], scratch: Workspace, device: torch.device
    ) -> _DoneAnew[T]:
        """See `Backend`."""
        return _DoneAnew(work)

    def pose_parts(self, splats: int) -> int:
        """See `Backend`."""
        return 1

    def project(self, arguments: _native.ProjectArguments) -> None:
        """See `Backend`."""
        _native.cpu.project(arguments)

    def project_backward(self, arguments: _native.ProjectBackwardArguments) -> None:
        """See `Backend`."""
        _native.cpu.project_backward(arguments)

    def shade(self, arguments: _native.ShadeArguments) -> None:
        """See `Backend`."""
        _native.cpu.shade(arguments)

    def shade_backward(self, arguments: _native.ShadeBackwardArguments) -> None:
        """See `Backend`."""
        _native.cpu.shade_backward(arguments)

    def bin(self, splats: SplatsToBin, memory: Memory) -> Tiles:
        """See `Backend`. The lists are as long as they have to be, in memory of their own."""
        p, (cameras, count), (width, height) = splats.projected, splats.visible.shape, splats.size
        arguments = _native.BinArguments(
            cameras=cameras,
            splats=count,
            width=width,
            height=height,
            exact=splats.exact,
            slots=splats.gradient,
            visible=splats.visible,
            radii=p.radii,
            means2d=p.means2d,
            conics=p.conics,
            cutoffs=p.cutoffs,
            depths=p.depths,
        )
        splat_ids, offsets, slots, first_slot = map(torch.from_numpy, _native.cpu.bin(arguments))
        if not splats.gradient:
            return Tiles(splat_ids, offsets)
        return Tiles(splat_ids, offsets, slots, first_slot[:-1], first_slot[1:])

    def blend(self, arguments: _native.BlendArguments) -> None:
        """See `Backend`."""
        _native.cpu.blend(arguments)

    def blend_backward(self, arguments: _native.BlendBackwardArguments) -> None:
        """See `Backend`."""
        _native.cpu.blend_backward(arguments)

    def photometric_loss(self, arguments: _native.LossArguments) -> None:
        """See `Backend`."""
        _native.cpu.photometric_loss(arguments)

    def begin_step(self, arguments: _native.BeginStepArguments) -> None:
        """See `Backend`."""
        _native.cpu.begin_step(arguments)

    def shade_step(self, arguments: _native.ShadeStepArguments) -> None:
        """See `Backend`."""
        _native.cpu.shade_step(arguments)

    def project_step(self, arguments: _native.ProjectStepArguments) -> None:
        """See `Backend`."""
        _native.cpu.project_step(arguments)

    def finish_step(self, arguments: _native.FinishStepArguments) -> None:
        """See `Backend`."""
        _native.cpu.finish_step(arguments)

    def catch_up(self, arguments: _native.CatchUpArguments) -> None:
        """See `Backend`."""
        _native.cpu.catch_up(arguments)
