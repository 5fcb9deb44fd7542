"""What belongs to the whole process: all its threads, and processes that are forked from it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any
from weakref import WeakSet

import torch


class ForkLock:
    """A lock that is held while the process forks: no child finds it taken by a thread that is not
    there, and what it guards half done. Only for what is soon over and takes no other such lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        with _making:
            _all.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()


class ForAll:
    """A change to the whole process while any thread is inside: the first one makes it and the last
    one undoes it. If each did both, one could undo it too early, and another make it for ever.

    Args:
        change: gives what makes the change when entered, and undoes it on exit. For the life of the
            process, as this is.
    """

    def __init__(self, change: Callable[[], AbstractContextManager[Any]]) -> None:
        self._change = change
        self._lock = ForkLock()
        self._inside = 0
        self._made: AbstractContextManager[Any] | None = None
        os.register_at_fork(after_in_child=self._undo)  # whoever was inside is not there

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._made = self._change()
                self._made.__enter__()
            self._inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._undo()

    def _undo(self) -> None:
        made, self._made, self._inside = self._made, None, 0
        if made is not None:
            made.__exit__(None, None, None)


_making = threading.Lock()
_all: WeakSet[ForkLock] = WeakSet()
_held: list[ForkLock] = []


def _hold_all() -> None:
    _making.acquire()
    _held.extend(_all)
    for lock in _held:
        lock.__enter__()


def _let_go() -> None:
    for lock in _held:
        lock.__exit__(None, None, None)
    _held.clear()
    _making.release()


def _begin_again() -> None:
    _let_go()
    # torch's own threads are gone, and whoever gives them work waits for ever. With one there are
    # none; torch's DataLoader does so too.
    torch.set_num_threads(1)


os.register_at_fork(before=_hold_all, after_in_parent=_let_go, after_in_child=_begin_again)
