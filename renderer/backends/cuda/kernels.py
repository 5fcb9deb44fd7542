"""The CUDA kernels as Python sees them: their sources, and how arguments are handed over.

A kernel takes one C struct. Its fields are read from the source, where they stand one to a line, so
that they are declared in a single place.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

_PREFIX = "GABORSPLAT_"
_KERNEL = re.compile(r"KERNEL\((\w+),\s*(\w+),\s*(\d+)\)")
_FIELD = re.compile(r"^\s*(?:const )?([\w:]+)(\*?) (\w+);", re.MULTILINE)
_SCALARS = {"int": "i", "std::int64_t": "q"}
_INTEGERS = {
    "std::int32_t": torch.int32,
    "std::int64_t": torch.int64,
    "std::uint8_t": torch.uint8,
}
_C_TYPES = {torch.float32: "float", torch.float64: "double", torch.int16: "std::int16_t"} | {
    dtype: kind for kind, dtype in _INTEGERS.items()
}

Defines = tuple[tuple[str, str], ...]
"""Macros that specialise a kernel, sorted by name."""


class Launcher(Protocol):
    """Runs kernels: a GPU, or what stands in for one."""

    def launch(
        self,
        kernel: Kernel,
        defines: Defines,
        grid: tuple[int, int],
        arguments: bytes,
        device: torch.device,
    ) -> None:
        """Start `kernel` with `grid` blocks. `arguments` is its struct, of tensors on `device`."""
        ...


def source_folder() -> Path:
    """Where the kernels' sources are: beside the package `renderer`, installed or not."""
    return Path(__file__).resolve().parents[3] / "cuda" / "kernels"


Types = tuple[torch.dtype | None, ...]


@dataclass(frozen=True)
class Kernel:
    """One `KERNEL(name, Arguments, threads)` of a source."""

    source: str  # file name without suffix
    name: str
    threads: int  # of a block
    fields: tuple[tuple[str, str, bool], ...]  # name, C type, whether it is a pointer

    @cached_property
    def open_types(self) -> dict[str, str]:
        """A field of each type that the kernel is compiled for, whatever it is: Photo, Key."""
        known = {"S", *_INTEGERS}
        return {kind: name for name, kind, pointer in self.fields if pointer and kind not in known}

    def types(self, values: Mapping[str, object]) -> Types:
        """What the `open_types` are in `values`."""
        tensors = (values.get(name) for name in self.open_types.values())
        return tuple(t.dtype if isinstance(t, Tensor) else None for t in tensors)


class Packer:
    """Packs a kernel's arguments. That is done a dozen times a picture, so what does not depend on
    the values is found once."""

    def __init__(self, kernel: Kernel, real: torch.dtype, types: Types) -> None:
        known = {"S": real, **_INTEGERS, **dict(zip(kernel.open_types, types, strict=True))}
        pointers = [(name, known[kind]) for name, kind, pointer in kernel.fields if pointer]
        numbers = [(name, kind in _SCALARS) for name, kind, pointer in kernel.fields if not pointer]
        if [name for name, _ in pointers + numbers] != [name for name, _, _ in kernel.fields]:
            raise TypeError(f"{kernel.name}: pointers come first in its struct")
        number = "f" if real == torch.float32 else "d"
        layout = [_SCALARS.get(kind, number) for _, kind, pointer in kernel.fields if not pointer]
        # C pads a struct to the alignment of its widest field, a pointer.
        self._struct = struct.Struct("@" + "P" * len(pointers) + "".join(layout) + "0P")
        self._kernel = kernel.name
        self._names = {name for name, _, _ in kernel.fields}
        self._pointers, self._numbers = pointers, numbers
        self._largest = torch.finfo(real).max

    def pack(self, values: Mapping[str, object]) -> tuple[bytes, torch.device]:
        """The struct of `values`, and where its tensors are. Tensors are contiguous, None is a null
        pointer, all else are numbers.

        Raises:
            TypeError: a value is missing, unknown, or not of its field's type.
        """
        odd = values.keys() ^ self._names
        if odd:
            listed = ", ".join(sorted(odd))
            raise TypeError(f"{self._kernel}: arguments that are missing or unknown: {listed}")
        packed: list[object] = []
        first: Tensor | None = None
        place = 0
        for name, dtype in self._pointers:
            value = values[name]
            if value is None:
                packed.append(0)
                continue
            if not isinstance(value, Tensor) or value.dtype != dtype or not value.is_contiguous():
                raise TypeError(f"{self._kernel}: {name} must be a contiguous tensor of {dtype}")
            if first is None:
                first, place = value, value.get_device()
            elif value.get_device() != place:
                where = f"{name} is on {value.device}, other tensors on {first.device}"
                raise TypeError(f"{self._kernel}: {where}")
            packed.append(value.data_ptr())
        largest = self._largest
        for name, whole in self._numbers:
            value = values[name]
            if not isinstance(value, int if whole else (int, float)):
                raise TypeError(f"{self._kernel}: {name} must be a number")
            # What lies beyond has no float32.
            packed.append(value if whole else max(-largest, min(value, largest)))
        device = torch.device("cpu") if first is None else first.device
        return self._struct.pack(*packed), device


@cache
def find_kernel(source: str, name: str) -> Kernel:
    """The kernel `name` of cuda/kernels/`source`.cu. Raises LookupError if it has none."""
    text = (source_folder() / f"{source}.cu").read_text(encoding="utf-8")
    for found, arguments, threads in _KERNEL.findall(text):
        if found == name:
            body = text[text.index(f"struct {arguments} {{") :]
            fields = _FIELD.findall(body[: body.index("};")])
            described = tuple((field, kind, star == "*") for kind, star, field in fields)
            return Kernel(source, name, int(threads), described)
    raise LookupError(f"{source}.cu has no kernel {name}")


def blocks(count: int, threads: int) -> int:
    """Blocks of `threads` that `count` threads take."""
    return -(-count // threads)


_launchers: dict[str, Launcher] = {}
"""By type of device."""


def _launcher(device_type: str) -> Launcher:
    if device_type not in _launchers:
        from .nvrtc import NvrtcLauncher

        _launchers[device_type] = NvrtcLauncher()
    return _launchers[device_type]


def run(
    source: str,
    name: str,
    grid: tuple[int, int],
    values: Mapping[str, object],
    *,
    real: torch.dtype,
    defines: Mapping[str, int] | None = None,
) -> None:
    """Start kernel `name` of cuda/kernels/`source`.cu on `grid` blocks; nothing if that is none.

    `values` are the fields of its struct, `real` what the type S stands for; `defines` are the
    macros, in small letters, that specialise it.
    """
    if 0 in grid:
        return
    types = find_kernel(source, name).types(values)
    chosen = _choose(source, name, real, types, tuple((defines or {}).items()))
    packed, device = chosen.packer.pack(values)
    _launcher(device.type).launch(chosen.kernel, chosen.defines, grid, packed, device)


@dataclass(frozen=True)
class _Chosen:
    """What all launches of one specialisation share."""

    kernel: Kernel
    packer: Packer
    defines: Defines


@cache
def _choose(
    source: str, name: str, real: torch.dtype, types: Types, defines: tuple[tuple[str, int], ...]
) -> _Chosen:
    kernel = find_kernel(source, name)
    macros = {key.upper(): str(int(value)) for key, value in defines} | {"REAL": _C_TYPES[real]}
    for kind, dtype in zip(kernel.open_types, types, strict=True):
        if dtype is not None:
            macros[kind.upper()] = _C_TYPES[dtype]
    special = tuple((_PREFIX + key, value) for key, value in sorted(macros.items()))
    return _Chosen(kernel, Packer(kernel, real, types), special)
