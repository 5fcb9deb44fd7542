"""Passes that are done again and again: their kernels are recorded, then launched in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from ..memory import Workspace
from .launcher import Launch, Launcher, Program
from .tiles import PairCount

T = TypeVar("T")


class Recorder:
    """Takes kernels instead of launching them.

    Attributes:
        scratch: where what passes need beyond their arguments lies.
        recording: whether kernels are taken rather than launched.
        launches: those that were taken.
        counts: numbers of pairs that they will find.
    """

    def __init__(self, scratch: Workspace, *, recording: bool) -> None:
        self.scratch = scratch
        self.recording = recording
        self.launches: list[Launch] = []
        self.counts: list[PairCount] = []


class Records(Protocol):
    """What kernels of passes go through."""

    def through(self, recorder: Recorder, work: Callable[..., T], *inputs: Tensor) -> T:
        """What `work(*inputs)` gives, with the passes of this thread going to a recorder."""
        ...


class Recorded(Generic[T]):
    """See `Repeated`. The first time kernels are launched one by one: it finds out how much room
    the lists need. The second time they are recorded."""

    def __init__(
        self,
        passes: Records,
        launcher: Launcher,
        work: Callable[..., T],
        scratch: Workspace,
        device: torch.device,
    ) -> None:
        self._passes, self._launcher, self._work = passes, launcher, work
        self._scratch, self._device = scratch, device
        self._begun = False
        self._program: tuple[Program, list[Tensor], T] | None = None
        self._counts: list[PairCount] = []

    def __call__(self, *inputs: Tensor) -> T:
        """See `Repeated`."""
        while True:
            result = self.start(*inputs)
            if self.settle():
                return result

    def start(self, *inputs: Tensor) -> T:
        """See `Repeated`."""
        given = [tensor.contiguous() for tensor in inputs]
        if not self._begun:
            self._begun = True
            direct = Recorder(self._scratch, recording=False)
            moved = [tensor.to(self._device) for tensor in given]
            result = self._passes.through(direct, self._work, *moved)
            self._counts = direct.counts[-1:]  # earlier ones found lists that were too short
            return result
        if self._program is None:
            self._program = self._record(given)
        program, fixed, result = self._program
        program.launch(list(zip(fixed, given, strict=True)))
        return result

    def settle(self) -> bool:
        """See `Repeated`."""
        right = all(count.begin().fits() for count in self._counts)
        if not right:
            self._program, self._counts = None, []
        return right

    def needed(self, pairs: int) -> None:
        """See `Repeated`."""
        for count in self._counts:
            if not count.take(pairs):
                self._program = None

    def _record(self, inputs: list[Tensor]) -> tuple[Program, list[Tensor], T]:
        with torch.inference_mode(False):  # later inputs may come outside of it
            fixed = [torch.empty_like(tensor, device=self._device) for tensor in inputs]
        recorder = Recorder(self._scratch, recording=True)
        result = self._passes.through(recorder, self._work, *fixed)
        program = self._launcher.record(recorder.launches)
        self._counts = recorder.counts
        return program, fixed, result
