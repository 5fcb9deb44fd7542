"""The passes on NVIDIA GPUs: the kernels of cuda/kernels, in the order in which a launcher runs
them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from ... import _native
from ..memory import Memory, Workspace, stream_of
from ..stages import SplatsToBin, Tiles
from .driver import Launcher
from .tiles import TileLister


class CudaBackend:
    """A `Backend` whose kernels a `Launcher` runs. What a pass needs beyond its arguments lies in
    workspaces, one for every thread and stream.

    Attributes:
        lister: lists the splats of every tile.
    """

    max_channels = 128  # what one thread holds of a pixel while it blends

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self.lister = TileLister(launcher)
        self._thread = threading.local()

    def pose_parts(self, splats: int) -> int:
        """See `Backend`."""
        return _native.pose_parts(splats)

    def project(self, arguments: _native.ProjectArguments) -> None:
        """See `Backend`."""
        self._run("project", arguments)

    def project_backward(self, arguments: _native.ProjectBackwardArguments) -> None:
        """See `Backend`."""
        self._run("project_backward", arguments)

    def shade(self, arguments: _native.ShadeArguments) -> None:
        """See `Backend`."""
        self._run("shade", arguments)

    def shade_backward(self, arguments: _native.ShadeBackwardArguments) -> None:
        """See `Backend`."""
        self._run("shade_backward", arguments)

    def bin(self, splats: SplatsToBin, memory: Memory) -> Tiles:
        """See `Backend`. The lists may be too short, which `Tiles.overflowed` finds out; places for
        the gradient are listed only if `torch.use_deterministic_algorithms` is on. Waits for the
        GPU when there was no picture of this size before."""
        return self.lister.list(splats, memory, self._workspace(splats.visible.device))

    def blend(self, arguments: _native.BlendArguments) -> None:
        """See `Backend`."""
        self._run("blend", arguments)

    def blend_backward(self, arguments: _native.BlendBackwardArguments) -> None:
        """See `Backend`. Sums are added in a fixed order where the lists of tiles have slots, which
        takes memory for every pair of splat and tile; otherwise in the order that tiles finish."""
        size = _native.blend_sum_size(
            arguments["waves"], arguments["channels"], arguments["v_means2d_abs"] != 0
        )
        rows = arguments["pairs"] if arguments["slots"] else arguments["splats"]
        sums = self._scratch("sums", (rows, size), arguments)
        sums.zero_()
        arguments.set(sums=sums, sum_rows=rows, sum_size=size)
        self._run("blend_backward", arguments, "finish_blend")

    def photometric_loss(self, arguments: _native.LossArguments) -> None:
        """See `Backend`. Does not wait for the GPU."""
        width, height = arguments["width"], arguments["height"]
        parts = _native.loss_parts(width, height)
        wanted = arguments["gradient"] != 0
        derivatives = None
        if wanted and arguments["ssim_weight"] > 0:
            derivatives = self._scratch("derivatives", (3, height, width, 3), arguments)
        arguments.set(
            parts=parts,
            sums=self._scratch("loss", (parts, 4), arguments),
            valid=self._scratch("valid", (1,), arguments, torch.int64),
            derivatives=derivatives,
        )
        kernels = ["compare_pictures", "finish_loss", *(["loss_gradient"] if wanted else [])]
        self._run(kernels[0], arguments, *kernels[1:])

    def adam_step(self, arguments: Sequence[_native.AdamArguments]) -> None:
        """See `Backend`."""
        launches = [("adam_step", each) for each in arguments]
        if launches:
            self._launcher.launch(launches, _device_of(arguments[0]))

    def inject_noise(self, arguments: _native.NoiseArguments) -> None:
        """See `Backend`."""
        self._run("inject_noise", arguments)

    def _run(self, kernel: str, arguments: _native.ArgumentBlock, *others: str) -> None:
        """Kernels that take the same arguments, one after the other."""
        launches = [(name, arguments) for name in (kernel, *others)]
        self._launcher.launch(launches, _device_of(arguments))

    def _workspace(self, device: torch.device) -> Workspace:
        workspaces: dict[int, Workspace] = vars(self._thread).setdefault("workspaces", {})
        return workspaces.setdefault(stream_of(device), Workspace())

    def _scratch(
        self,
        name: str,
        shape: tuple[int, ...],
        arguments: _native.ArgumentBlock,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        device = _device_of(arguments)
        real = torch.float64 if arguments.is_double else torch.float32
        return self._workspace(device).empty(name, shape, dtype or real, device)


def _device_of(arguments: _native.ArgumentBlock) -> torch.device:
    """Where the arrays are: a GPU, or the CPU for an emulator."""
    return _device(arguments.device)


@cache
def _device(index: int) -> torch.device:
    return torch.device("cuda", index) if index >= 0 else torch.device("cpu")
