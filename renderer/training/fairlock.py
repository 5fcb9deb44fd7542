"""A lock that serves in order of arrival."""

from __future__ import annotations

import threading
from types import TracebackType


class FairLock:
    """Mutual exclusion between a busy loop and those who seldom want a turn.

    A bare lock starves the latter: the loop takes it again as it lets it go. Here whoever waits
    holds the queue, where the loop has to line up behind it.
    """

    def __init__(self) -> None:
        self._queue = threading.Lock()
        self._turn = threading.Lock()

    def __enter__(self) -> None:
        with self._queue:
            self._turn.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._turn.release()
