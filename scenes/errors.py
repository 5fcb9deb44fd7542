"""The error for files and folders that a user has to put right."""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used. One line: the file, the rule, the value and what to do."""
