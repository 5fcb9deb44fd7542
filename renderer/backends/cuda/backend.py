"""The passes on NVIDIA GPUs: the kernels of cuda/kernels, in the order in which a launcher runs
them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from ... import _native
from ..memory import Memory, Workspace, gpu_index
from ..stages import SplatsToBin, Tiles
from .launcher import Launch, Launcher
from .recorded import Recorded, Recorder
from .tiles import TileLister

T = TypeVar("T")


class CudaBackend:
    """A `Backend` whose kernels a `Launcher` runs. What a pass needs beyond its arguments lies in
    workspaces, one for every thread and stream.

    Attributes:
        lister: lists the splats of every tile.
    """

    records = True
    max_channels = 128  # what one thread holds of a pixel while it blends

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self.lister = TileLister(self._launch)
        self._thread = threading.local()

    def repeated(
        self, work: Callable[..., T], scratch: Workspace, device: torch.device
    ) -> Recorded[T]:
        """See `Backend`."""
        return Recorded(self, self._launcher, work, scratch, device)

    def through(self, recorder: Recorder, work: Callable[..., T], *inputs: Tensor) -> T:
        """What `work(*inputs)` gives, with the passes of this thread going to `recorder`."""
        self._thread.recorder = recorder
        try:
            return work(*inputs)
        finally:
            self._thread.recorder = None

    def pose_parts(self, splats: int) -> int:
        """See `Backend`."""
        return _native.pose_parts(splats)

    def project(self, arguments: _native.ProjectArguments) -> None:
        """See `Backend`."""
        self._launch([("project", arguments)])

    def project_backward(self, arguments: _native.ProjectBackwardArguments) -> None:
        """See `Backend`."""
        self._launch([("project_backward", arguments)])

    def shade(self, arguments: _native.ShadeArguments) -> None:
        """See `Backend`."""
        self._launch([("shade", arguments)])

    def shade_backward(self, arguments: _native.ShadeBackwardArguments) -> None:
        """See `Backend`."""
        self._launch([("shade_backward", arguments)])

    def bin(self, splats: SplatsToBin, memory: Memory) -> Tiles:
        """See `Backend`. The lists may be too short, which `Tiles.overflowed` finds out; places for
        the gradient are listed only if `torch.use_deterministic_algorithms` is on. Waits for the
        GPU when there was no picture of this size before."""
        gpu = gpu_index(splats.visible.device)
        tiles, count = self.lister.list(splats, memory, self._workspace(gpu))
        recorder = self._recorder()
        if count is None:
            return tiles
        if recorder is not None:
            recorder.counts.append(count)
            if recorder.recording:
                return tiles
        return tiles._replace(count_pairs=count.begin())

    def blend(self, arguments: _native.BlendArguments) -> None:
        """See `Backend`."""
        self._launch([("blend", arguments)])

    def blend_backward(self, arguments: _native.BlendBackwardArguments) -> None:
        """See `Backend`. Sums are added in a fixed order where the lists of tiles have slots, which
        takes memory for every pair of splat and tile; otherwise in the order that tiles finish."""
        size = _native.blend_sum_size(
            arguments["waves"], arguments["channels"], arguments["v_means2d_abs"] != 0
        )
        slotted = arguments["slots"] != 0
        rows = arguments["pairs"] if slotted else arguments["splats"]
        sums = self._workspace(arguments.device).keep(
            "slot sums" if slotted else "sums",
            _zeros,
            (rows, size),
            arguments.is_double,
            arguments.device,
        )
        arguments.set(sums=sums, sum_rows=rows, sum_size=size)
        launches: list[Launch] = [("blend_backward", arguments), ("finish_blend", arguments)]
        if slotted:
            clearing = _native.ClearArguments(size=sums.nbytes, bytes=sums.view(torch.uint8))
            launches.insert(0, ("clear", clearing))
        self._launch(launches)

    def photometric_loss(self, arguments: _native.LossArguments) -> None:
        """See `Backend`. Does not wait for the GPU."""
        width, height = arguments["width"], arguments["height"]
        parts, mask_parts = _native.loss_parts(width, height), _native.mask_parts(width, height)
        sums, counts = self._workspace(arguments.device).keep(
            "loss sums", _empty_loss, parts, mask_parts, arguments.is_double, arguments.device
        )
        arguments.set(parts=parts, sums=sums, mask_parts=mask_parts, mask_counts=counts)
        kernels = ("count_valid", "compare_pictures", "finish_loss")
        wanted = kernels if arguments["mask"] else kernels[1:]
        self._launch([(name, arguments) for name in wanted])

    def begin_step(self, arguments: _native.BeginStepArguments) -> None:
        """See `Backend`."""
        self._launch([("begin_step", arguments)])

    def shade_step(self, arguments: _native.ShadeStepArguments) -> None:
        """See `Backend`."""
        self._launch([("shade_step", arguments)])

    def project_step(self, arguments: _native.ProjectStepArguments) -> None:
        """See `Backend`."""
        self._launch([("project_step", arguments)])

    def finish_step(self, arguments: _native.FinishStepArguments) -> None:
        """See `Backend`."""
        self._launch([("finish_step", arguments)])

    def catch_up(self, arguments: _native.CatchUpArguments) -> None:
        """See `Backend`."""
        self._launch([("catch_up", arguments)])

    def _recorder(self) -> Recorder | None:
        return getattr(self._thread, "recorder", None)

    def _launch(self, launches: Sequence[Launch]) -> None:
        recorder = self._recorder()
        if recorder is not None and recorder.recording:
            recorder.launches += launches
        else:
            self._launcher.launch(launches)

    def _workspace(self, gpu: int) -> Workspace:
        """Of what is being repeated; otherwise of this thread and the current stream of a GPU, or
        of the CPU, -1, for an emulator."""
        recorder = self._recorder()
        if recorder is not None:
            return recorder.scratch
        workspaces: dict[tuple[int, int], Workspace] | None
        workspaces = getattr(self._thread, "workspaces", None)
        if workspaces is None:
            workspaces = self._thread.workspaces = {}
        key = (gpu, _native.current_stream(gpu))
        found = workspaces.get(key)
        if found is None:
            found = workspaces[key] = Workspace()
        return found


def _empty(shape: tuple[int, ...], double: bool, gpu: int) -> Tensor:
    """Of real numbers; for an emulator, whose `gpu` is -1, on the CPU."""
    device = torch.device("cuda", gpu) if gpu >= 0 else torch.device("cpu")
    return torch.empty(shape, dtype=torch.float64 if double else torch.float32, device=device)


def _zeros(shape: tuple[int, ...], double: bool, gpu: int) -> Tensor:
    return _empty(shape, double, gpu).zero_()


def _empty_loss(parts: int, mask_parts: int, double: bool, gpu: int) -> tuple[Tensor, Tensor]:
    """Sums over pixels and numbers of valid ones, both in parts."""
    sums = _empty((parts, 3), double, gpu)
    return sums, torch.empty(mask_parts, dtype=torch.int32, device=sums.device)
