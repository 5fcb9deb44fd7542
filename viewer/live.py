"""The viewer's hold on a running training."""

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
"""Points of a training's history; when there are more, every other one is left out."""

POINT_INTERVAL = 0.25
"""Seconds between two points of a history that never was thinned."""


class LiveView:
    """Shows a training in progress; the training thread calls it after every step.

    With no browser connected a call costs next to nothing. With one, the splats are copied only
    after the last copy has been shown.
    """

    def __init__(self, source: SceneSource) -> None:
        self._source = source
        self._began = time.monotonic()
        self._next_point = self._began
        self._interval = POINT_INTERVAL
        self._asked: deque[tuple[Callable[[], str], Future[str]]] = deque()
        self._closed = False
        self._door = threading.Lock()  # so that nothing is asked while `close` turns all away

    @property
    def paused(self) -> bool:
        """Whether somebody pressed Pause in a browser; training should wait until they resume."""
        return self._source.paused

    def update(self, status: TrainingStatus, make_splats: Callable[[], Splats]) -> None:
        """Tell how training stands; `make_splats` gives a copy that training will not write to."""
        self._source.status = status
        now = time.monotonic()
        if now >= self._next_point:
            self._remember(status, now)
        if self._source.wanted:
            self._source.publish(make_splats())

    def finish(self, status: TrainingStatus, splats: Splats) -> None:
        """Show the result; the pause button goes away."""
        self._remember(status, time.monotonic())
        self._source.status = status
        self._source.paused = False
        self._source.publish(splats)

    def ask(self, work: Callable[[], str]) -> str:
        """What `work` returns or raises, run on the training thread between two steps.

        For any thread but that one, which it blocks until then. Raises Stopped after `close`.
        """
        answer = Future[str]()
        with self._door:
            if self._closed:
                raise Stopped
            self._asked.append((work, answer))
        return answer.result()

    def serve(self) -> None:
        """Run what was asked for; for the training thread, between two steps, in pauses and after
        the end."""
        while self._asked:
            work, answer = self._asked.popleft()
            try:
                answer.set_result(work())
            except Exception as error:
                answer.set_exception(error)
            except BaseException:  # Ctrl-C: nobody must be left waiting
                answer.set_exception(Stopped())
                raise

    def close(self) -> None:
        """Turn away whoever waits for `serve` or comes later: it is not called any more."""
        with self._door:
            self._closed = True
        while self._asked:
            _, answer = self._asked.popleft()
            answer.set_exception(Stopped())

    def _remember(self, status: TrainingStatus, now: float) -> None:
        point = TrainingPoint(status.step, status.loss, status.psnr, now - self._began)
        history = [*self._source.history, point]
        if len(history) > MAX_POINTS:
            # Those that follow come half as often, so that all stay equally far apart.
            history = history[::2]
            self._interval *= 2
        self._source.history = history
        self._next_point = now + self._interval
