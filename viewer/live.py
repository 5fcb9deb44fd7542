"""The live view of a running training, between its thread and the viewer's."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from ..renderer.splats import Splats
from .background import Stopped
from .scene import SceneSource, TrainingPoint, TrainingStatus

MAX_POINTS = 1000
"""Longest history of a training; beyond it, every other point is dropped."""

POINT_INTERVAL = 0.25
"""Seconds between two points of a history from which none was dropped."""


class LiveView:
    """Live view of a training, updated by the training thread after every step.

    Without a connected browser an update costs next to nothing. With one, the splats are copied
    only after the last copy has been shown.
    """

    def __init__(self, source: SceneSource) -> None:
        self._source = source
        self._began = time.monotonic()
        self._next_point = self._began
        self._interval = POINT_INTERVAL
        self._asked: deque[tuple[Callable[[], str], Future[str]]] = deque()
        self._closed = False
        self._door = threading.Lock()  # so that nothing is queued while `close` refuses all

    @property
    def paused(self) -> bool:
        """Whether training should wait, because Pause was pressed in a browser."""
        return self._source.paused

    def update(self, status: TrainingStatus, make_splats: Callable[[], Splats]) -> None:
        """Show how training stands.

        `make_splats` copies the splats, so that training does not write to what is shown; it is
        called only if a browser waits for them.
        """
        self._source.status = status
        now = time.monotonic()
        if now >= self._next_point:
            self._remember(status, now)
        if self._source.wanted:
            self._source.publish(make_splats())

    def finish(self, status: TrainingStatus, splats: Splats) -> None:
        """Show the result of training and remove the pause button."""
        self._remember(status, time.monotonic())
        self._source.status = status
        self._source.paused = False
        self._source.publish(splats)

    def ask(self, work: Callable[[], str]) -> str:
        """Run `work` on the training thread between two steps, wait for it and return its result.

        Must not be called on the training thread itself.

        Raises:
            Stopped: `close` was called.
            Exception: what `work` raises.
        """
        answer = Future[str]()
        with self._door:
            if self._closed:
                raise Stopped
            self._asked.append((work, answer))
        return answer.result()

    def serve(self) -> None:
        """Run the work that `ask` has queued.

        The training thread calls this between two steps, in pauses and after the end.
        """
        while self._asked:
            work, answer = self._asked.popleft()
            try:
                answer.set_result(work())
            except Exception as error:
                answer.set_exception(error)
            except BaseException:  # Ctrl-C: no caller of `ask` may be left waiting
                answer.set_exception(Stopped())
                raise

    def close(self) -> None:
        """Refuse queued and later work, since `serve` is not called any more."""
        with self._door:
            self._closed = True
        while self._asked:
            _, answer = self._asked.popleft()
            answer.set_exception(Stopped())

    def _remember(self, status: TrainingStatus, now: float) -> None:
        point = TrainingPoint(status.step, status.loss, status.psnr, now - self._began)
        history = [*self._source.history, point]
        if len(history) > MAX_POINTS:
            # Later points come half as often, so that all stay equally far apart.
            history = history[::2]
            self._interval *= 2
        self._source.history = history
        self._next_point = now + self._interval
