"""Long work for one browser, off the event loop and off the thread that makes its pictures."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import viser

from ..scenes import InputError, one_line

log = logging.getLogger(__name__)

MAX_LINE = 400
"""Characters of an error message that are shown in a browser."""

SHORTLY = 1.0
"""Seconds that `close` waits for work that was asked to stop."""


class Stopped(Exception):
    """Raised by work that was asked to stop; nobody is told."""


class BackgroundTasks:
    """Runs one piece of work at a time for one browser, each on a thread of its own.

    What goes wrong in it is told in that browser and in the log, and ends nothing else.
    """

    def __init__(self, client: viser.ClientHandle) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._label = ""
        self._closed = False
        self.stopping = threading.Event()
        """Set when the work in hand should end; work looks at it, or calls `check`, often."""

    @property
    def busy(self) -> bool:
        """Whether something is running."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    @property
    def closed(self) -> bool:
        """Whether `close` was called, so that there may be nobody left to tell."""
        return self._closed

    def run(self, label: str, work: Callable[[], None]) -> bool:
        """Start `work` and return at once; `label` says what it is, such as "Screenshot".

        False if something is running already, which the browser is told, or after `close`.
        """
        with self._lock:
            if self._closed:
                return False
            free = not self.busy
            if free:
                self.stopping.clear()
                self._label = label
                name = f"viewer-client-{self._client.client_id}-task"
                self._thread = threading.Thread(
                    target=self._do, args=(label, work), name=name, daemon=True
                )
                self._thread.start()
        if not free:
            self._client.add_notification(
                f"{label}: not now", f"{self._label} is still running.", auto_close_seconds=5
            )
        return free

    def check(self) -> None:
        """Raise Stopped if the work in hand should end."""
        if self.stopping.is_set():
            raise Stopped

    def stop(self) -> None:
        """Ask the work in hand, if any, to end; returns at once."""
        self.stopping.set()

    def close(self, timeout: float = SHORTLY) -> None:
        """Stop for good, and wait for the work in hand at most `timeout` seconds.

        More than once is fine, and so is the work's own thread. On the event loop give a
        `timeout` of 0: waiting there would halt every browser.
        """
        with self._lock:
            self._closed = True
            self.stopping.set()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _do(self, label: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Stopped:
            pass
        except InputError as error:  # of whoever uses the browser
            log.warning("%s: %s", label, one_line(error))
            self._tell(label, error)
        except Exception as error:
            log.error("%s failed for a browser: %s", label, one_line(error), exc_info=error)
            self._tell(label, error)

    def _tell(self, label: str, error: Exception) -> None:
        if not self._closed:
            line = one_line(error)
            shown = line if len(line) <= MAX_LINE else line[:MAX_LINE] + " …"
            self._client.add_notification(f"{label} failed", shown, color="red")
