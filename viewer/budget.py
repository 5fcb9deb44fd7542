"""Memory for large pictures and files, which all browsers of a viewer share."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

from ..scenes import InputError

SHARE = 0.5
"""Largest part of the free memory that is given away."""

GLANCE = 0.2
"""Seconds after which one who waits looks whether that is still of use."""


class MemoryBudget:
    """A budget of memory; who wants more than is left waits in line."""

    def __init__(self, free: Callable[[], float | None]) -> None:
        """`free` measures the free memory [bytes], None where it is not known; asked whenever
        nothing is taken."""
        self._free = free
        self._limit = math.inf
        self._taken = 0.0
        self._line: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def taking(
        self, wanted: float, check: Callable[[], None], waits: Callable[[], None]
    ) -> Generator[Portion, None, None]:
        """Context that has `wanted` bytes, first come, first served.

        Args:
            wanted: memory [bytes].
            check: called while waiting; what it raises ends that.
            waits: called once if there is a line.

        Raises:
            InputError: it is more than all that can be had.
        """
        portion = Portion(self, wanted)
        self._wait(portion, check, waits)
        try:
            yield portion
        finally:
            portion.shrink(0)

    def _wait(self, portion: Portion, check: Callable[[], None], waits: Callable[[], None]) -> None:
        told = False
        with self._changed:
            self._line.append(portion)
            try:
                while not self._has_room(portion):
                    if not told:
                        told = True
                        waits()
                    self._changed.wait(GLANCE)
                    check()
                self._taken += portion.size
            finally:
                self._line.remove(portion)
                self._changed.notify_all()

    def _has_room(self, portion: Portion) -> bool:
        if self._taken == 0:
            free = self._free()
            self._limit = math.inf if free is None else SHARE * free
        if portion.size > self._limit:
            raise InputError(
                f"that takes about {_gigabytes(portion.size)} of memory, and at most "
                f"{_gigabytes(self._limit)} may be taken; choose fewer pixels"
            )
        return self._line[0] is portion and self._taken + portion.size <= self._limit

    def give_back(self, size: float) -> None:
        """Let others have `size` bytes; for portions to call."""
        with self._changed:
            self._taken -= size
            self._changed.notify_all()


class Portion:
    """A taken part of a budget.

    Attributes:
        size: its memory [bytes].
    """

    def __init__(self, budget: MemoryBudget, size: float) -> None:
        self._budget = budget
        self.size = size

    def shrink(self, size: float) -> None:
        """Keep at most `size` bytes and give the others back."""
        kept = min(size, self.size)
        self._budget.give_back(self.size - kept)
        self.size = kept


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
