"""Where messages go: results to stdout, progress and complaints to stderr."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Any, cast

from rich.console import Console

from .scenes import printable

_GONE = (errno.EPIPE, errno.EIO, errno.EBADF)


class _Standard(io.TextIOBase):
    """Standard output or error, whatever it is at the moment. One that is gone, a closed terminal
    or a pipe that nobody reads any more, takes what is written and shows it to nobody."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.problem: OSError | None = None

    @property
    def _stream(self) -> Any:
        stream = getattr(sys, self._name)
        # While rich shows a bar, its own stand-in for the stream, which prints to our console.
        return getattr(stream, "rich_proxied_file", stream)

    def write(self, text: str) -> int:
        self._try(self._written, text)
        return len(text)

    def _written(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            self._stream.write(text.encode("ascii", "backslashreplace").decode())

    def flush(self) -> None:
        self._try(lambda: self._stream.flush())

    def _try(self, work: Callable[..., Any], *arguments: Any) -> None:
        try:
            work(*arguments)
        except OSError as error:
            if error.errno not in _GONE:
                self.problem = error  # such as a full disk
        except (ValueError, AttributeError):
            pass  # closed, None

    def isatty(self) -> bool:
        with suppress(OSError, ValueError, AttributeError):
            return bool(self._stream.isatty())
        return False

    def fileno(self) -> int:
        return int(self._stream.fileno())

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return getattr(self._stream, "encoding", None) or "utf-8"


_standard = {name: _Standard(name) for name in ("stdout", "stderr")}


def console_problem() -> str | None:
    """Why results that were printed are not where they should be; None if they are, or nobody was
    there to read them."""
    problem = _standard["stdout"].problem
    return problem and problem.strerror


def _console(name: str) -> Console:
    # Paths are printed as they are: [x] in one is no markup and :x: no emoji.
    file = cast(IO[str], _standard[name])
    stderr = name == "stderr"
    return Console(
        file=file, stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False
    )


console = _console("stdout")
error_console = _console("stderr")

REPAIRS_SHOWN = 8


def show_doubts(doubts: Sequence[str]) -> None:
    """What speaks against a capture, a line each."""
    for doubt in doubts:
        error_console.print(f"warning: {doubt}", style="bold yellow")


def show_repairs(repairs: Sequence[str]) -> None:
    """What was wrong with a capture, a line each; a long list is cut."""
    for repair in repairs[:REPAIRS_SHOWN]:
        error_console.print(f"note: {printable(repair)}", style="yellow")
    rest = len(repairs) - REPAIRS_SHOWN
    if rest > 0:
        error_console.print(f"note: and {rest} more (gaborsplat doctor shows all)", style="yellow")


def decimal_bytes(count: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def decimals(value: float | None, digits: int) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"
