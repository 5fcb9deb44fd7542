"""The program as many short-lived processes, forked from one that has imported it already."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaborsplat import cli


@dataclass
class Program:
    """`gaborsplat` with some arguments, running in a folder.

    Attributes:
        process: its number.
        said: file of what it printed, on either stream.
    """

    process: int
    said: Path
    _status: int | None = None

    @classmethod
    def started(
        cls, words: Sequence[str], folder: Path, before: Callable[[], Any] | None = None
    ) -> Program:
        """Start it; `before` is called in it first."""
        said = folder / f"said-{time.monotonic_ns()}.txt"
        process = os.fork()
        if process == 0:
            status = 99
            try:
                os.setsid()
                os.chdir(folder)
                handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                for stream in (1, 2):
                    os.dup2(handle, stream)
                sys.argv = ["gaborsplat", *words]
                for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(each, signal.SIG_DFL)
                if before is not None:
                    before()
                status = cli.run()
            finally:
                os._exit(status)
        return cls(process, said)

    def send(self, number: int) -> None:
        """Send it a signal, if it lives."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process, number)

    def wait(self, seconds: float = 120.0) -> int | None:
        """Its exit status, negative for a signal; None if it has not ended by then."""
        until = time.monotonic() + seconds
        while self._status is None and time.monotonic() < until:
            found, status = os.waitpid(self.process, os.WNOHANG)
            if found:
                self._status = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.002)
        return self._status

    def end(self) -> int:
        """Kill it, and wait for that."""
        self.send(signal.SIGKILL)
        status = self.wait()
        assert status is not None
        return status

    def text(self) -> str:
        """What it has printed so far."""
        return self.said.read_text(encoding="utf-8", errors="replace")
