"""Splat PLYs as other programs write them, for tests of the readers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

INRIA = [
    *("x", "y", "z", "nx", "ny", "nz"),
    *(f"f_dc_{i}" for i in range(3)),
    *(f"f_rest_{i}" for i in range(45)),
    "opacity",
    *(f"scale_{i}" for i in range(3)),
    *(f"rot_{i}" for i in range(4)),
]
MINIMAL = [name for name in INRIA if not name.startswith(("n", "f_rest"))]


def write_ply(
    path: Path,
    columns: dict[str, np.ndarray],
    encoding: str = "binary_little_endian",
    newline: str = "\n",
    extra: Sequence[str] = (),
) -> Path:
    """A PLY as other programs write it: columns as they are, in their order and types."""
    kinds = {"f4": "float", "f8": "double", "u1": "uchar", "i4": "int"}
    count = len(next(iter(columns.values())))
    header = ["ply", f"format {encoding} 1.0", *extra, f"element vertex {count}"]
    header += [f"property {kinds[c.dtype.str[1:]]} {name}" for name, c in columns.items()]
    text = newline.join([*header, "end_header", ""]).encode()
    order = ">" if "big" in encoding else "<"
    table = np.empty(count, [(name, order + c.dtype.str[1:]) for name, c in columns.items()])
    for name, column in columns.items():
        table[name] = column
    path.parent.mkdir(parents=True, exist_ok=True)
    if encoding == "ascii":
        rows = (" ".join(repr(float(value)) for value in row) for row in table)
        path.write_bytes(text + newline.join([*rows, ""]).encode())
    else:
        path.write_bytes(text + table.tobytes())
    return path


def random_columns(names: Sequence[str], n: int = 5, kind: str = "f4") -> dict[str, np.ndarray]:
    """Columns of normal numbers; always the same."""
    random = np.random.default_rng(3)
    return {name: random.normal(size=n).astype(kind) for name in names}
