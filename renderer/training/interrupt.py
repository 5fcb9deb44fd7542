"""Ctrl-C, SIGTERM and SIGHUP between steps instead of within one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = tuple(
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if (number := getattr(signal, name, None)) is not None
)
"""What asks a training to end. Who started it deaf to one of them, as nohup does, is obeyed."""


class EndAtOnce(KeyboardInterrupt):
    """Somebody does not want to wait for what is being saved."""


@contextmanager
def deferred_interrupt(*, saves: bool) -> Generator[Callable[[], None], None, None]:
    """Hold `SIGNALS` back until the function that this gives is called, which then raises
    KeyboardInterrupt.

    A step that is cut short may leave parameters and optimiser out of step with each other, and a
    file that is cut short is lost. Whoever `saves` within has the second signal held back too, and
    a line says so; the third raises EndAtOnce wherever the program is. Where nothing is to
    be saved, the second does. Outside the main thread, where Python delivers no signals, this does
    nothing.
    """
    asked, most = 0, 3 if saves else 2

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        if asked >= most:
            raise EndAtOnce
        if asked > 1:
            # Not by `print`, which may be what was interrupted.
            with suppress(OSError):
                os.write(2, b"Ending the step and saving; once more ends without.\n")

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    heard = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.signal(each, remember) for each in heard}
    try:
        yield check
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
