"""What a backend does: the passes of the rasterizer and of a fit, each over a struct of arguments.

The structs are declared in cuda/passes, where every field has its shape; `_native` has them by the
same names. Tensors are contiguous, on one device and of one floating-point type; a struct keeps
them alive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from .._native import (
    BeginStepArguments,
    BlendArguments,
    BlendBackwardArguments,
    CatchUpArguments,
    FinishStepArguments,
    LossArguments,
    ProjectArguments,
    ProjectBackwardArguments,
    ProjectStepArguments,
    ShadeArguments,
    ShadeBackwardArguments,
    ShadeStepArguments,
)
from .memory import Memory, Workspace
from .stages import SplatsToBin, Tiles

T = TypeVar("T")
Result = TypeVar("Result", covariant=True)


class Repeated(Protocol[Result]):
    """Work of a backend's passes that is done again and again, on other inputs each time. What it
    gives lies where it lay the last time."""

    def __call__(self, *inputs: Tensor) -> Result:
        """What the work gives, on inputs of the same shapes and types each time. May wait for a
        GPU."""
        ...

    def start(self, *inputs: Tensor) -> Result:
        """The same without waiting for a GPU, to be settled before it is relied on, or told how
        many pairs were needed."""
        ...

    def settle(self) -> bool:
        """Waits for a GPU; whether what was started last is right. It is not if lists were too
        short: then it has to be started again."""
        ...

    def needed(self, pairs: int) -> None:
        """Something that was started has needed so many pairs of splat and tile: what is started
        next has room for them."""
        ...


class Backend(Protocol):
    """The passes, for tensors that lie where this backend can reach them."""

    @property
    def max_channels(self) -> int | None:
        """Most numbers of a pixel that can be blended at once; None for any."""
        ...

    @property
    def records(self) -> bool:
        """Whether `repeated` work takes less time than the same work done anew."""
        ...

    def repeated(
        self, work: Callable[..., T], scratch: Workspace, device: torch.device
    ) -> Repeated[T]:
        """Work that is done again and again.

        Args:
            work: takes tensors on `device`; does nothing but passes of this backend, and views of
                tensors.
            scratch: where what passes need beyond their arguments lies.
            device: where the passes run.
        """
        ...

    def pose_parts(self, splats: int) -> int:
        """Parts in which gradients that are summed over splats arrive."""
        ...

    def project(self, arguments: ProjectArguments) -> None:
        """Project splats to the image."""
        ...

    def project_backward(self, arguments: ProjectBackwardArguments) -> None:
        """Gradient of the projection."""
        ...

    def shade(self, arguments: ShadeArguments) -> None:
        """Evaluate spherical harmonics to colours."""
        ...

    def shade_backward(self, arguments: ShadeBackwardArguments) -> None:
        """Gradient of the colours."""
        ...

    def bin(self, splats: SplatsToBin, memory: Memory) -> Tiles:
        """The splats of every tile, front to back, in lists from `memory`."""
        ...

    def blend(self, arguments: BlendArguments) -> None:
        """Blend splats front to back, to an image, or to bytes."""
        ...

    def blend_backward(self, arguments: BlendBackwardArguments) -> None:
        """Gradient of the blending."""
        ...

    def photometric_loss(self, arguments: LossArguments) -> None:
        """Loss of a picture against a photo, and its gradient."""
        ...

    def begin_step(self, arguments: BeginStepArguments) -> None:
        """Decide whether a step of a fit changes anything, and find its rates."""
        ...

    def shade_step(self, arguments: ShadeStepArguments) -> None:
        """Gradient of the colours, and the step of the harmonics along it."""
        ...

    def project_step(self, arguments: ProjectStepArguments) -> None:
        """Gradient of the projection, and the step of everything else along it."""
        ...

    def finish_step(self, arguments: FinishStepArguments) -> None:
        """Tell what a step did."""
        ...

    def catch_up(self, arguments: CatchUpArguments) -> None:
        """Steps that harmonics have missed while no photo showed them."""
        ...
