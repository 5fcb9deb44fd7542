"""The viewer's log: what browsers cause is told once, then counted."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from traceback import walk_tb
from typing import Any

from ..scenes import one_line, printable

log = logging.getLogger(__name__)

FIRST = 15.0
"""Seconds after a line in which others of its kind are only counted..."""

GROWTH = 4.0
"""...and by how much each further line of that kind makes them longer..."""

LONGEST = 3600.0
"""...up to so many. A kind that was quiet for as long is new again."""

MAX_LINE = 400
"""Characters of a line: browsers may have a say in it."""

Kind = tuple[str, ...]
Callback = Callable[[Any], Coroutine[Any, Any, None]]


@dataclass
class _Told:
    """A kind of trouble: its newest line, and what has happened since that was told."""

    line: str
    at: float
    interval: float = FIRST
    since: int = 0


class Reports:
    """Log of a viewer, whose length hardly depends on what browsers do.

    The first report of a kind is logged at once, an error with its traceback. Those that follow are
    counted, and told with the next line of that kind. Any thread may report.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives the time [s]."""
        self._clock = clock
        self._told: dict[Kind, _Told] = {}
        self._lock = threading.Lock()

    def warn(self, kind: str, line: str) -> None:
        """Report what somebody else did wrong; `kind` is what it is counted as."""
        self._report((kind,), line, None)

    def error(self, what: str, error: Exception) -> None:
        """Report an error in the viewer, as what failed; it is known by where it was raised."""
        place = ""
        for frame, line in walk_tb(error.__traceback__):
            place = f"{frame.f_code.co_filename}:{line}"
        kind = (what, type(error).__name__, place)
        self._report(kind, f"{what}: {one_line(error)}", error)

    def close(self) -> None:
        """Log what was counted and not told yet."""
        with self._lock:
            left = [each for each in self._told.values() if each.since]
            self._told.clear()
        for each in left:
            log.warning("%s%s", each.line, _times(each.since))

    def _report(self, kind: Kind, line: str, error: Exception | None) -> None:
        now, line = self._clock(), printable(line[:MAX_LINE])
        with self._lock:
            told = self._told.get(kind)
            count = 1 if told is None else told.since + 1
            if told is None or now >= told.at + LONGEST + told.interval:
                self._told[kind] = _Told(line, now)
            elif now < told.at + told.interval:
                told.line, told.since = line, told.since + 1
                return
            else:
                error = None  # its traceback is in the log
                interval = min(GROWTH * told.interval, LONGEST)
                self._told[kind] = _Told(line, now, interval)
        level = logging.WARNING if error is None else logging.ERROR
        log.log(level, "%s%s", line, _times(count), exc_info=error)


def reported(callback: Callback) -> Callback:
    """`callback`, whose errors go to the event loop's handler, and so into the log: viser prints
    those of some callbacks itself, each time."""

    @wraps(callback)
    async def call(event: Any) -> None:
        try:
            await callback(event)
        except Exception as error:
            told = {"message": "a callback failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(told)

    return call


def _times(count: int) -> str:
    return f" ({count} times)" if count > 1 else ""
