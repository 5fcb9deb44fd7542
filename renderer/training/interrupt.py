"""Ctrl-C and SIGTERM between steps instead of within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupt() -> Generator[Callable[[], None], None, None]:
    """Hold Ctrl-C and SIGTERM back until the function that this gives is called, which then raises
    KeyboardInterrupt.

    A step that is cut short leaves parameters and optimiser out of step with each other, and
    nothing worth saving. A second signal is not held back. Outside the main thread, where Python
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
    before = {each: signal.signal(each, remember) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield check
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
