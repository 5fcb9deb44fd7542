"""Options of several values, behind which an argument without an option may stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from tyro.constructors import PrimitiveConstructorSpec

OwnWords = Callable[[Sequence[str]], int]
"""How many of the words behind an option, from the first on, are its values."""


def values(metavar: str) -> PrimitiveConstructorSpec[tuple[Any, ...]]:
    """How tyro reads an option of several values: from one word, with commas between them. Which
    values there are is for the command to check."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: tuple(words[0].split(",")),
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [",".join(value)],
    )


def joined(words: Sequence[str], options: Mapping[str, OwnWords]) -> list[str]:
    """`words` with the values behind each of `options` as one word, as `values` reads them.

    The words that are no values of theirs stay what they are, such as a path. One with a comma
    holds all values already.
    """
    result: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        count = options[word](rest) if word in options and rest and "," not in rest[0] else 0
        if count:
            word = f"{word}={','.join(rest[:count])}"  # also where a value begins with a minus
            del rest[:count]
        result.append(word)
    return result


def leading(words: Sequence[str], fits: Callable[[str], bool]) -> int:
    """How many words, from the first on, fit."""
    return len(list(takewhile(fits, words)))
