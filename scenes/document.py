"""JSON that strangers wrote: every value is looked at before it is used."""

from __future__ import annotations

import json
from collections import ChainMap
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from . import limits
from .errors import InputError

_SHOWN = 60  # characters of a wrong value


class Fault(ValueError):
    """What is wrong with one value: where it is, the rule and the value, without the file."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Entry:
    """An object of the document."""

    place: str  # such as "frames[3]"; empty for the document itself
    values: Mapping[str, Any]

    def over(self, defaults: Entry) -> Entry:
        """This object, with what it lacks taken from another one."""
        # Not copied: there may be as many defaults as objects.
        layers = cast("list[MutableMapping[str, Any]]", [self.values, defaults.values])
        return Entry(self.place, ChainMap(*layers))

    def at(self, key: str) -> str:
        """What messages call the value of `key`."""
        return f"{self.place}.{key}" if self.place else key

    def entry(self, key: str) -> Entry:
        """The object at `key`, which must be there."""
        value = self._needed(key)
        if not isinstance(value, dict):
            raise Fault(f"{self.at(key)} must be an object, not {_shown(value)}")
        return Entry(self.at(key), cast("dict[str, Any]", value))

    def _needed(self, key: str) -> object:
        if self.values.get(key) is None:
            raise Fault(f"{self.at(key)} is missing")
        return self.values[key]

    def number(self, key: str) -> float | None:
        """The number at `key`, None where there is none."""
        value = self.values.get(key)
        return None if value is None else _number(value, self.at(key))

    def whole(self, key: str, lowest: int, highest: int) -> int:
        """The whole number at `key`, which must be there."""
        value = _number(self._needed(key), self.at(key))
        if not (value.is_integer() and lowest <= value <= highest):
            raise Fault(
                f"{self.at(key)} must be a whole number from {lowest} to {highest}, not {value:g}"
            )
        return int(value)

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

    def entries(self, key: str) -> Sequence[Entry]:
        """The objects in the list at `key`, none where there is no list."""
        place = self.at(key)
        items = enumerate(self.items(key) or ())
        return [Entry("", {f"{place}[{i}]": each}).entry(f"{place}[{i}]") for i, each in items]

    def wholes(self, key: str, lowest: int, highest: int) -> Sequence[int]:
        """The whole numbers in the list at `key`, none where there is no list."""
        place = self.at(key)
        return [
            Entry("", {place: each}).whole(place, lowest, highest) for each in self.items(key) or ()
        ]

    def array(self, key: str, least: int, most: int) -> NDArray[np.float64]:
        """[least to most] the list of numbers at `key`, which must be there."""
        self._needed(key)
        values = self.items(key) or ()
        place = self.at(key)
        if not least <= len(values) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            raise Fault(f"{place} must have {wanted} numbers, not {len(values)}")
        return np.array([_number(value, place) for value in values], np.float64)

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
    if not abs(value) < limits.VALUE:
        raise Fault(f"{place} must be a number below {limits.VALUE:g}, not {_shown(value)}")
    return float(value)


def _shown(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**_SHOWN:
        return "a whole number of very many digits"  # which Python may refuse to print
    if isinstance(value, list | dict):
        value = cast("list[Any] | dict[str, Any]", value)
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def parse(data: str | bytes, most: int = limits.JSON, kind: str = "an object") -> Entry:
    """The object that is the document `data`, in any of Unicode's encodings; messages call it
    `kind`.

    Raises:
        Fault: it is not JSON, is no object, is nested too deep, or has more than `most` bytes.
    """
    if len(data) > most:
        raise Fault(f"it has {len(data):,} bytes of JSON; {most:,} are possible")
    try:
        document: object = json.loads(data)
    except json.JSONDecodeError as error:
        raise Fault(f"not JSON: {error.msg}", error.lineno) from error
    except RecursionError as error:
        raise Fault("not JSON: lists or objects are nested too deep") from error
    except UnicodeDecodeError as error:
        raise Fault(f"not JSON: {error.reason} at byte {error.start}") from error
    except ValueError as error:  # Python refuses to read it, in words about Python
        raise Fault("not JSON: a whole number of very many digits") from error
    if not isinstance(document, dict):
        raise Fault(f"must be {kind}, not {_shown(document)}")
    return Entry("", cast("dict[str, Any]", document))


def read_document(path: Path, kind: str = "an object") -> Entry:
    """The document in `path`.

    Raises:
        InputError: it cannot be read, or `parse` refuses it.
    """
    try:
        if path.stat().st_size > limits.JSON:
            raise InputError(f"{path}: has more than {limits.JSON:,} bytes of JSON")
        return parse(path.read_bytes(), kind=kind)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except Fault as fault:
        line = f":{fault.line}" if fault.line else ""
        raise InputError(f"{path}{line}: {fault}") from fault
