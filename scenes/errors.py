"""The error for files and folders that a user has to put right."""

from __future__ import annotations

import os

_LONGEST = 1000  # characters of a message: names and values in files may be as long as the files
_END = 300  # of them, at the end, where it says what to do


class InputError(ValueError):
    """Input that cannot be used. One line: the file, the rule, the value and what to do.

    It is one line that a terminal can show whatever names and values it repeats from a file.
    """

    def __init__(self, message: str) -> None:
        line = _shown(message)
        if len(line) > _LONGEST:
            line = f"{line[: _LONGEST - _END]} ... {line[-_END:]}"
        super().__init__(line)


def one_line(error: Exception) -> str:
    """What a person is told of `error`: the text of one that speaks to people, an InputError or an
    OSError, and of others the type as well."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return printable(f"{os.fsdecode(error.filename)}: {error.strerror}")
    known = isinstance(error, InputError | OSError)
    text = str(error) if known else f"{type(error).__name__}: {error}"
    return printable(text)


def printable(text: str) -> str:
    """`text` in one line, without what would disturb a terminal: names come from anywhere."""
    return _shown(" ".join(text.split()))


def _shown(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)
