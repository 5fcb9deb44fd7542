"""How far a run is: by its steps, or by the time that it may take."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from ..config import Default, TrainConfig

RECENT = 16
"""Steps whose time says what the next one takes."""
IN_HAND = 2.0
"""A step is the last if not even so many slow ones would have time,"""
SPARE = 0.01
"""with this part of the given time to spare: steps may be slower than any before."""
BESIDES = 0.05
"""Part of a given time that may go into what is done besides steps."""


def now() -> float:
    """The clock [s]."""
    return time.perf_counter()


class Pace:
    """Where in its schedule a run is, and when it ends.

    A schedule is in steps. A run without a `time` is at the step that it takes. One with a `time`
    is where its time is: after a quarter of that it is at the 500th step of 2000, however many it
    has taken. A step of it goes over several of the schedule, or over none; its last one ends it.

    The time is what passes from the begin of the first step to the end of the last one, but for
    `resting`. Steps that somebody gave besides are the most that are taken; where they are done
    before the time is, they say where the run is.

    Attributes:
        elapsed: time so far [s], that of earlier sessions of the run included.
        span: steps of the schedule that the step in progress, or the last one, goes over.
        last: whether that is the last one of the run.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._time, self._steps = config.time, config.schedule_steps
        endless = config.time is not None and isinstance(config.steps, Default)
        self._most = None if endless else config.steps
        self.elapsed = 0.0
        self.span = range(1)
        self.last = False
        self._began = 0.0  # `elapsed` when the schedule began
        self._no_more = False  # whether there is no time for a step after this one
        self._used_up: float | None = None  # the time of a run that has ended for want of it
        self._at: int | None = None  # the last step of the schedule that was gone over
        self._noted: float | None = None  # when `elapsed` was brought up to date
        self._ended = 0.0  # `elapsed` at the end of the last step
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._closing = 0.0

    @property
    def step(self) -> int:
        """The step of the schedule that says how the step in progress is taken."""
        return self.span.stop - 1

    @property
    def progress(self) -> float:
        """How much of the run was done before the step in progress, from 0 to 1."""
        return min(1.0, self.step / self._steps)

    @property
    def left(self) -> float:
        """Time that is left [s]; infinite where there is no limit."""
        return math.inf if self._time is None else max(0.0, self._time - self.elapsed)

    def done(self, steps_done: int) -> bool:
        """Whether the run has ended, after so many steps."""
        if self._most is not None and steps_done >= self._most:
            return True
        return self._time is not None and self._used_up == self._time

    def affords(self, seconds: float, every: float = math.inf) -> bool:
        """Whether what takes so long [s], once in `every` seconds, leaves time for steps."""
        if self._time is None:
            return True
        needed = IN_HAND * (seconds + self._slow_step()) + self._closing + SPARE * self._time
        return self.left > needed and seconds <= BESIDES * every

    def spend(self, seconds: float) -> None:
        """Count what has been done before the first step."""
        self.elapsed += seconds
        self._began = self._ended = self.elapsed

    def begin(self, steps_done: int) -> None:
        """A step begins, after so many."""
        self._note()
        self._no_more = not self.affords(0.0)
        self.last = self._no_more or self.done(steps_done + 1)
        if self._time is None:
            self.span = range(steps_done, steps_done + 1)
            return
        place = self._place(self._time, steps_done)
        first = place if self._at is None else min(self._at, place) + 1
        self.span = range(first, place + 1)

    def end(self) -> None:
        """The step that was begun has been taken."""
        self._note()
        self._recent.append(self.elapsed - self._ended)
        self._used_up = self._time if self._no_more else None
        self._ended, self._at = self.elapsed, self.step

    def due(self, happens: Callable[[int], bool]) -> int | None:
        """The last step of the schedule after which something `happens` of those that the step in
        progress goes over; None if there is none."""
        return next((step for step in reversed(self.span) if happens(step)), None)

    @contextmanager
    def closing(self) -> Generator[None]:
        """Within this is what will be done once more after the last step."""
        began = now()
        yield
        self._closing = now() - began

    @contextmanager
    def resting(self) -> Generator[None]:
        """What passes within does not count."""
        self._note()
        try:
            yield
        finally:
            if self._noted is not None:
                self._noted = now()

    def state(self) -> dict[str, Any]:
        """What is needed to go on."""
        return {"elapsed": self.elapsed, "began": self._began, "used_up": self._used_up}

    def go_on(self, state: Mapping[str, Any] | None, seconds: float) -> None:
        """Be where the pace that gave `state` was; without one, in a run that has taken steps for
        so many `seconds`."""
        state = state or {"elapsed": seconds, "began": 0.0, "used_up": None}
        self.elapsed, self._began, self._used_up = (
            state[name] for name in ("elapsed", "began", "used_up")
        )
        self._ended, self._at, self._noted = self.elapsed, None, None
        self._recent.clear()

    def _place(self, given: float, steps_done: int) -> int:
        """Where in the schedule the run is."""
        part = (self.elapsed - self._began) / max(1e-9, given - self._began)
        if self._most is not None:
            part = max(part, steps_done / self._most)
        end = self._steps - 1
        return end if self.last else max(0, min(int(part * self._steps), end - 1))

    def _slow_step(self) -> float:
        """Seconds that a slow step takes: the second slowest of some, one may have been special."""
        return sorted(self._recent)[-2:][0] if self._recent else 0.0

    def _note(self) -> None:
        """Bring `elapsed` up to date."""
        at = now()
        self.elapsed += 0.0 if self._noted is None else at - self._noted
        self._noted = at
