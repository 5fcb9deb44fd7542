"""Where the results of a pass lie: in tensors of their own, or in ones that are used again."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

Shape = tuple[int, ...]


class Memory(Protocol):
    """Gives tensors that a pass fills."""

    def empty(self, name: str, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        """A tensor for what `name` says, holding anything."""
        ...


class FreshMemory:
    """Memory whose tensors belong to whoever gets them."""

    def empty(self, name: str, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        """A new tensor."""
        return torch.empty(shape, dtype=dtype, device=device)


class Workspace:
    """Memory for one picture or step at a time: asked for the same name, shape and type again, it
    gives the same tensor, whose content is then gone.

    Allocating takes longer than some passes, and a kernel whose arguments stay where they are can
    be recorded.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Shape, torch.dtype, torch.device, Tensor]] = {}

    def empty(self, name: str, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The tensor that was given for this name before, if it fits."""
        kept = self._kept.get(name)
        if kept is not None and kept[0] == shape and kept[1] is dtype and kept[2] == device:
            return kept[3]
        tensor = torch.empty(shape, dtype=dtype, device=device)
        self._kept[name] = (shape, dtype, device, tensor)
        return tensor


FRESH = FreshMemory()


class WorkspacePool:
    """Workspaces for callers that come and go on any thread.

    On a GPU, work of one stream is done in order, so that a workspace may be lent again as soon as
    all that uses it is queued, on the same stream.
    """

    KEPT = 2
    """How many idle ones are kept for a stream: as many pictures at once cost no allocation."""

    def __init__(self) -> None:
        self._idle: dict[object, list[Workspace]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def lend(self, device: torch.device) -> Generator[Workspace]:
        """A workspace that nobody else uses meanwhile."""
        key = (device, stream_of(device))
        with self._lock:
            idle = self._idle.get(key)
            workspace = idle.pop() if idle else Workspace()
        try:
            yield workspace
        finally:
            with self._lock:
                idle = self._idle.setdefault(key, [])
                if len(idle) < self.KEPT:
                    idle.append(workspace)


def gpu_index(device: torch.device) -> int:
    """Number of a GPU; that of the current one for a device without a number."""
    return torch.cuda.current_device() if str(device) == "cuda" else device.index


def stream_of(device: torch.device) -> int:
    """Address of torch's current CUDA stream on a GPU; 0 for other devices."""
    if device.type != "cuda":
        return 0
    index = gpu_index(device)
    # torch.cuda.current_stream takes ten times as long for the same number.
    return torch._C._cuda_getCurrentRawStream(index)  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]


WORKSPACES = WorkspacePool()
