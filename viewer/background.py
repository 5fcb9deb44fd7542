"""Background tasks of one browser: long work, off the event loop and off the rendering thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import viser

from ..scenes import InputError, one_line
from .budget import MemoryBudget, Portion
from .reports import MAX_LINE, Reports

SHORTLY = 1.0
"""Seconds that `close` waits for a task to end, by default."""


class Stopped(Exception):
    """Cancellation of a task, raised inside it; neither logged nor shown."""


@dataclass(frozen=True)
class Shared:
    """What the tasks of all browsers share.

    Attributes:
        reports: the log.
        memory: memory for large pictures and files.
    """

    reports: Reports
    memory: MemoryBudget


class BackgroundTasks:
    """Background tasks of one browser: one at a time, each on a thread of its own.

    An error in a task is logged and shown in that browser, and ends nothing else.

    Attributes:
        stopping: set when the running task should end; a task looks at it, or calls `check`, often.
    """

    def __init__(self, client: viser.ClientHandle, shared: Shared) -> None:
        self._client = client
        self._shared = shared
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._label = ""
        self._closed = False
        self.stopping = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether a task is running."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    @property
    def closed(self) -> bool:
        """Whether `close` was called; the browser may be gone by then."""
        return self._closed

    def run(self, label: str, work: Callable[[], None]) -> bool:
        """Start `work` as a task and return at once.

        Args:
            label: name of the task in messages, such as "Save screenshot".
            work: the task; raises what it likes.

        Returns:
            Whether it was started: not while another task is running, which the browser is told,
            and not after `close`.
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
            self._note("not now", f"{self._label} is still running.", label)
        return free

    def check(self) -> None:
        """Raise Stopped if the running task should end; for that task to call."""
        if self.stopping.is_set():
            raise Stopped

    @contextmanager
    def memory(self, wanted: float) -> Generator[Portion, None, None]:
        """Context that has `wanted` bytes of the memory for all; for the running task to enter.

        Raises:
            InputError: it is more than all browsers together may have.
            Stopped: the task should end, and has waited until then.
        """

        def waits() -> None:
            self._note("waiting", "Others are saving large pictures.")

        with self._shared.memory.taking(wanted, self.check, waits) as portion:
            yield portion

    def stop(self) -> None:
        """Ask the running task, if any, to end; returns at once."""
        self.stopping.set()

    def close(self, timeout: float = SHORTLY) -> None:
        """Refuse further tasks, stop the running one and wait for it at most `timeout` seconds.

        May be called repeatedly, and by a task itself. On the event loop, `timeout` must be 0:
        waiting there would block every browser.
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
        except InputError as error:  # a mistake of the person at the browser
            self._shared.reports.warn(label, f"{label}: {one_line(error)}")
            self._tell(label, error)
        except Exception as error:
            self._shared.reports.error(f"{label} failed for a browser", error)
            self._tell(label, error)

    def _note(self, title: str, text: str, label: str | None = None) -> None:
        """Tell the browser something of a task, by default of the running one."""
        title = f"{label or self._label}: {title}"
        self._client.add_notification(title, text, auto_close_seconds=5)

    def _tell(self, label: str, error: Exception) -> None:
        if not self._closed:
            line = one_line(error)
            shown = line if len(line) <= MAX_LINE else line[:MAX_LINE] + " …"
            self._client.add_notification(f"{label} failed", shown, color="red")
