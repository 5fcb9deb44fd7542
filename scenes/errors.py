"""The error for files and folders that a user has to put right."""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used. One line: the file, the rule, the value and what to do."""


def one_line(error: Exception) -> str:
    """What a person is told of `error`: the text of one that speaks to people, an InputError or an
    OSError, and of others the type as well."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return printable(f"{error.filename}: {error.strerror}")
    known = isinstance(error, InputError | OSError)
    text = str(error) if known else f"{type(error).__name__}: {error}"
    return printable(text)


def printable(text: str) -> str:
    """`text` in one line, without what would disturb a terminal: names come from anywhere."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() or c.isspace() else "?" for c in line)
