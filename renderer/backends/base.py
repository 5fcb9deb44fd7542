"""What a backend does: the passes of the rasterizer and of a fit, each over a struct of arguments.

The structs are declared in cuda/passes, where every field has its shape; `_native` has them by the
same names. Tensors are contiguous, on one device and of one floating-point type; whoever makes a
struct owns them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .._native import (
    AdamArguments,
    BlendArguments,
    BlendBackwardArguments,
    LossArguments,
    NoiseArguments,
    ProjectArguments,
    ProjectBackwardArguments,
    ShadeArguments,
    ShadeBackwardArguments,
)
from .memory import Memory
from .stages import SplatsToBin, Tiles


class Backend(Protocol):
    """The passes, for tensors that lie where this backend can reach them."""

    @property
    def max_channels(self) -> int | None:
        """Most numbers of a pixel that can be blended at once; None for any."""
        ...

    def pose_parts(self, splats: int) -> int:
        """Parts in which gradients that are summed over splats arrive."""
        ...

    def project(self, arguments: ProjectArguments) -> None:
        """Splats onto the image."""
        ...

    def project_backward(self, arguments: ProjectBackwardArguments) -> None:
        """Its gradient."""
        ...

    def shade(self, arguments: ShadeArguments) -> None:
        """Spherical harmonics to colours."""
        ...

    def shade_backward(self, arguments: ShadeBackwardArguments) -> None:
        """Its gradient."""
        ...

    def bin(self, splats: SplatsToBin, memory: Memory) -> Tiles:
        """The splats of every tile, front to back, in lists from `memory`."""
        ...

    def blend(self, arguments: BlendArguments) -> None:
        """Splats front to back, to an image, or to bytes."""
        ...

    def blend_backward(self, arguments: BlendBackwardArguments) -> None:
        """Its gradient."""
        ...

    def photometric_loss(self, arguments: LossArguments) -> None:
        """A picture against a photo, and the gradient of that."""
        ...

    def adam_step(self, arguments: Sequence[AdamArguments]) -> None:
        """One step of Adam for each of some parameters."""
        ...

    def inject_noise(self, arguments: NoiseArguments) -> None:
        """The noise of 3DGS-MCMC."""
        ...
