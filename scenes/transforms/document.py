"""JSON that strangers wrote: every value is looked at before it is used."""

from __future__ import annotations

import json
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

VALUE_LIMIT = 1e30
"""A larger number anywhere is damage; the square of this one still fits."""
_SHOWN = 60  # characters of a wrong value


class Fault(ValueError):
    """What is wrong with one value: where it is, the rule and the value, without the file."""


@dataclass(frozen=True)
class Entry:
    """An object of the document."""

    place: str  # such as "frames[3]"; empty for the document itself
    values: Mapping[str, Any]

    def over(self, defaults: Entry) -> Entry:
        """This object, with what it lacks taken from another one."""
        return Entry(self.place, ChainMap(dict(self.values), dict(defaults.values)))

    def at(self, key: str) -> str:
        """What messages call the value of `key`."""
        return f"{self.place}.{key}" if self.place else key

    def number(self, key: str) -> float | None:
        """The number at `key`, None where there is none."""
        value = self.values.get(key)
        return None if value is None else _number(value, self.at(key))

    def numbers(self, *keys: str) -> list[float]:
        """The numbers at `keys`, 0 where there is none."""
        return [self.number(key) or 0.0 for key in keys]

    def text(self, key: str) -> str | None:
        """The text at `key`, None where there is none."""
        value = self.values.get(key)
        if value is None or (isinstance(value, str) and value.strip() and "\0" not in value):
            return value
        raise Fault(f"{self.at(key)} must be text, not {_shown(value)}")

    def items(self, key: str) -> Sequence[Any] | None:
        """The list at `key`, None where there is none."""
        value = self.values.get(key)
        if value is None or isinstance(value, list):
            return cast("list[Any] | None", value)
        raise Fault(f"{self.at(key)} must be a list, not {_shown(value)}")

    def matrix(self, key: str) -> NDArray[np.float64] | None:
        """[4, 4] the matrix at `key`, whose last row may be left out; None where there is none."""
        rows = self.items(key)
        if rows is None:
            return None
        place = self.at(key)
        if not (
            len(rows) in (3, 4)
            and all(isinstance(row, list) and len(cast("list[Any]", row)) == 4 for row in rows)
        ):
            raise Fault(f"{place} must have 4 x 4 or 3 x 4 numbers, not {_shown(rows)}")
        matrix = np.eye(4)
        matrix[: len(rows)] = [[_number(value, place) for value in row] for row in rows]
        if np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-6:
            raise Fault(
                f"{place} has the last row {' '.join(f'{v:g}' for v in matrix[3])}, "
                "not 0 0 0 1; perhaps it is transposed"
            )
        return matrix


def _number(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Fault(f"{place} must be a number, not {_shown(value)}")
    # Compared as it is: an int may be too large for a float. NaN fails too.
    if not abs(value) < VALUE_LIMIT:
        raise Fault(f"{place} must be a number below {VALUE_LIMIT:g}, not {_shown(value)}")
    return float(value)


def _shown(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**_SHOWN:
        return "a whole number of very many digits"  # which Python may refuse to print
    if isinstance(value, list | dict):
        value = cast("list[Any] | dict[str, Any]", value)
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def read_document(path: Path) -> Entry:
    """The document in `path`, in any of Unicode's encodings.

    Raises:
        InputError: it cannot be read, is not JSON, or is no object.
    """
    try:
        document: object = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: must be an object with frames, not {_shown(document)}")
    return Entry("", cast("dict[str, Any]", document))
