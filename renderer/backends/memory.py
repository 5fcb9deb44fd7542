"""Where the results of a pass lie: in tensors of their own, or in ones that are used again."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor

from .._native import current_stream
from ..process import ForkLock

T = TypeVar("T")


class Memory(Protocol):
    """Gives tensors that a pass fills, in groups."""

    def keep(self, name: str, make: Callable[..., T], *key: Hashable) -> T:
        """What `make(*key)` gives, of any content: from this call, or an earlier one of the same
        name and key."""
        ...


class FreshMemory:
    """Memory whose tensors belong to whoever gets them."""

    def keep(self, name: str, make: Callable[..., T], *key: Hashable) -> T:
        """What `make(*key)` gives now."""
        return make(*key)


class Workspace:
    """Memory for one picture or step at a time: asked for the same name and key again, it gives the
    same tensors, whose content is then gone.

    Allocating takes longer than some passes, and a kernel whose arguments stay where they are can
    be recorded.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[Hashable, ...], Any]] = {}

    def keep(self, name: str, make: Callable[..., T], *key: Hashable) -> T:
        """What was given for this name before, if it had the same key."""
        kept = self._kept.get(name)
        if kept is not None and kept[0] == key:
            return kept[1]
        del kept
        self._kept.pop(name, None)  # before the new ones need its memory
        with torch.inference_mode(False):  # later calls may be outside of it
            made = make(*key)
        self._kept[name] = (key, made)
        return made


FRESH = FreshMemory()


class Arrival:
    """Room on the host for numbers that a GPU will know.

    Args:
        shape: of the numbers.
        dtype: likewise.
        device: where they come from.
    """

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self._numbers = torch.empty(shape, dtype=dtype, device="cpu", pin_memory=on_gpu)
        self._device = device
        self._event = torch.cuda.Event() if on_gpu else None

    def begin(self, numbers: Tensor) -> None:
        """Send numbers here, behind what is queued already and nothing else."""
        self._numbers.copy_(numbers, non_blocking=True)
        if self._event is not None:
            self._event.record(torch.cuda.current_stream(self._device))

    def wait(self) -> Tensor:
        """The numbers, once they are here; to be used before others are sent for."""
        if self._event is not None:
            self._event.synchronize()
        return self._numbers


class WorkspacePool:
    """Workspaces for callers that come and go on any thread.

    On a GPU, work of one stream is done in order, so that a workspace may be lent again as soon as
    all that uses it is queued, on the same stream.
    """

    IDLE = 4
    """How many idle workspaces are kept, those used last."""

    def __init__(self) -> None:
        self._idle: list[tuple[tuple[int, int], Workspace]] = []  # by GPU and stream
        self._lock = ForkLock()

    @contextmanager
    def lend(self, device: torch.device) -> Generator[Workspace]:
        """A workspace that nobody else uses while this is entered."""
        gpu = gpu_index(device)
        key = (gpu, current_stream(gpu))
        with self._lock:
            fitting = [number for number, (owner, _) in enumerate(self._idle) if owner == key]
            workspace = self._idle.pop(fitting[-1])[1] if fitting else Workspace()
        try:
            yield workspace
        finally:
            with self._lock:
                self._idle.append((key, workspace))
                del self._idle[: -self.IDLE]


def gpu_index(device: torch.device) -> int:
    """Number of a GPU, that of the current one where `device` has none; -1 for the CPU."""
    if device.type != "cuda":
        return -1
    index = cast("int | None", device.index)  # torch's annotation leaves None out
    return torch.cuda.current_device() if index is None else index


WORKSPACES = WorkspacePool()
