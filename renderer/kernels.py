"""The CUDA kernels as Python sees them: their sources, and how arguments are handed over.

A kernel takes one C struct. Its fields are read from the source, where they stand one to a line, so
that they are declared in a single place.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from . import _native

_PREFIX = "GABORSPLAT_"
_KERNEL = re.compile(r"KERNEL\((\w+),\s*(\w+),\s*(\d+)\)")
_FIELD = re.compile(r"^\s*(?:const )?([\w:]+)(\*?) (\w+);", re.MULTILINE)
_SCALARS = {"int": "i", "std::int64_t": "q"}
_INTEGERS = {
    "std::int32_t": torch.int32,
    "std::int64_t": torch.int64,
    "std::uint8_t": torch.uint8,
}
_REALS = {torch.float32: "float", torch.float64: "double"}

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
    """Where the kernels' sources are: beside the package in a checkout, else inside it."""
    checkout = Path(__file__).resolve().parent.parent / "cuda" / "kernels"
    installed = Path(_native.__file__).resolve().parent / "cuda" / "kernels"
    return checkout if (checkout / "device.h").is_file() else installed


@dataclass(frozen=True)
class Kernel:
    """One `KERNEL(name, Arguments, threads)` of a source."""

    source: str  # file name without suffix
    name: str
    threads: int  # of a block
    fields: tuple[tuple[str, str, bool], ...]  # name, C type, whether it is a pointer

    def pack(self, values: Mapping[str, object], real: torch.dtype) -> bytes:
        """The struct of `values`: contiguous tensors, None for a null pointer, numbers.

        Raises:
            TypeError: a value is missing, unknown, or not of its field's type.
        """
        odd = values.keys() ^ {name for name, _, _ in self.fields}
        if odd:
            raise TypeError(
                f"{self.name}: arguments that are missing or unknown: {', '.join(sorted(odd))}"
            )
        photo = values.get("photo")
        types = {"S": real} | _INTEGERS
        if isinstance(photo, Tensor):
            types["Photo"] = photo.dtype  # whatever it is, the kernel is compiled for it
        device = device_of(values)
        layout, packed = "@", list[object]()
        for name, kind, pointer in self.fields:
            value = values[name]
            if pointer:
                layout += "P"
                packed.append(self._address(name, value, types[kind], device))
            else:
                layout += _SCALARS.get(kind, "f" if real == torch.float32 else "d")
                packed.append(self._number(name, value, torch.finfo(real).max))
        # C pads a struct to the alignment of its widest field, a pointer.
        return struct.pack(layout + "0P", *packed)

    def _number(self, name: str, value: object, largest: float) -> int | float:
        if isinstance(value, int):
            return value
        if not isinstance(value, float):
            raise TypeError(f"{self.name}: {name} must be a number")
        return max(-largest, min(value, largest))  # what lies beyond has no float32

    def _address(self, name: str, value: object, dtype: torch.dtype, device: torch.device) -> int:
        if value is None:
            return 0
        if isinstance(value, Tensor) and value.device != device:
            raise TypeError(f"{self.name}: {name} is on {value.device}, other tensors on {device}")
        if not isinstance(value, Tensor) or value.dtype != dtype or not value.is_contiguous():
            raise TypeError(f"{self.name}: {name} must be a contiguous tensor of {dtype}")
        return value.data_ptr()


def device_of(values: Mapping[str, object]) -> torch.device:
    """Where the first tensor is."""
    tensors = (value for value in values.values() if isinstance(value, Tensor))
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


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
    kernel = find_kernel(source, name)
    macros = {key.upper(): str(int(value)) for key, value in (defines or {}).items()}
    macros["REAL"] = _REALS[real]
    photo = values.get("photo")
    if isinstance(photo, Tensor):
        macros["PHOTO"] = "std::uint8_t" if photo.dtype == torch.uint8 else _REALS[photo.dtype]
    device = device_of(values)
    packed = kernel.pack(values, real)
    special = tuple((_PREFIX + key, value) for key, value in sorted(macros.items()))
    _launcher(device.type).launch(kernel, special, grid, packed, device)
