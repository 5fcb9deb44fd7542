"""Ctrl-C between steps instead of within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupt() -> Generator[Callable[[], None], None, None]:
    """Hold Ctrl-C back until the function that this gives is called, which then raises it.

    A step that is cut short leaves parameters and optimiser out of step with each other, and
    nothing worth saving. A second Ctrl-C is not held back. Outside the main thread, where Python
    delivers no signals, this does nothing.
    """
    asked = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    before = signal.signal(signal.SIGINT, remember)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
