"""While the program imports what it needs, which takes a second, Ctrl-C ends it without a word."""

import os
import signal
import sys
import threading
from types import FrameType


def _is_program() -> bool:
    """Whether Python was started for our command, rather than by somebody who imports us."""
    script = os.path.splitext(os.path.basename(sys.argv[0] if sys.argv else ""))[0]
    return script == "gaborsplat" or (script == "-m" and "gaborsplat" in sys.orig_argv)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


if _is_program() and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, _end)  # until cli.main takes it
