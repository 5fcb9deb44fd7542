"""Registers, spills and shared memory of every kernel, specialised in every way, for every GPU.

    python -m benchmarks.gpu.kernels [--architectures sm_90 ...] [--json FILE]

Compiles with NVRTC, the newest or what GABORSPLAT_NVRTC names; needs no GPU. A number is the
registers of a thread; "s" follows it with bytes spilled, "+" with bytes on the stack. Ends with an
error where floats spill.
"""

from __future__ import annotations

import io
import itertools
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.table import Table

from benchmarks.support.report import write
from gaborsplat.console import console
from gaborsplat.renderer.backends.cuda.compiler import Defines, compile_kernel
from gaborsplat.renderer.backends.cuda.nvrtc import find_nvrtc

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
WAVES = (0, 1, 2, 4)
KERNEL = re.compile(r"Compiling entry function '(\w+)'(.*?)Used (\d+) registers([^\n]*)", re.DOTALL)


@dataclass(frozen=True)
class Options:
    """What to compile."""

    architectures: tuple[str, ...] = ARCHITECTURES
    json: Path | None = None


def product(**choices: tuple[int, ...]) -> list[dict[str, int]]:
    """All combinations."""
    return [
        dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())
    ]


SPECIAL: dict[str, tuple[str, list[dict[str, int]]]] = {
    "project": ("project", product(waves=WAVES, step=(0, 1))),
    "shade": ("shade", product(degree=(0, 1, 2, 3), step=(0, 1))),
    "clear": ("clear", [{}]),
    "sort": ("place_items", product(key_size=(2, 4, 8))),
    "tiles": ("count_tiles", product(key_size=(2, 4))),
    "blend": (
        "blend",
        product(waves=WAVES, channels=(1, 3, 4, 32))
        + product(waves=WAVES, channels=(4,), depth=(1,))
        + product(waves=WAVES, bytes=(1,)),
    ),
    "blend_backward": (
        "blend_backward",
        product(waves=WAVES, channels=(1, 3, 4, 32), deterministic=(0, 1), absolute=(0, 1))
        + product(waves=WAVES, channels=(4,), depth=(1,), deterministic=(0, 1)),
    ),
    "loss": ("compare_pictures", [{}]),
    "optimizer": ("begin_step", [{}]),
}
for _, specials in SPECIAL.values():
    specials += [special | {"double": 1} for special in specials if special.get("channels", 3) <= 4]

"""By source: one of its kernels, and how the source is specialised."""


def compiled(source: str, special: dict[str, int], architecture: str) -> list[dict[str, Any]]:
    """What ptxas says of all kernels of a source."""
    defines: Defines = tuple(
        ("REAL", "double") if name == "double" else (name.upper(), str(value))
        for name, value in special.items()
    )
    log = io.StringIO()
    compile_kernel(source, SPECIAL[source][0], defines, architecture, log)
    found: list[dict[str, Any]] = []
    for name, properties, registers, rest in KERNEL.findall(log.getvalue()):
        shared = re.search(r"(\d+) bytes smem", rest)
        stack, stores, loads = (
            int(number)
            for number in re.findall(r"(\d+) bytes (?:stack|spill stores|spill loads)", properties)
        )
        found.append(
            {
                "kernel": name,
                "special": special,
                "architecture": architecture,
                "registers": int(registers),
                "spilled_bytes": stores + loads,
                "stack_bytes": stack,
                "shared_bytes": int(shared[1]) if shared else 0,
            }
        )
    return found


def cell(run: dict[str, Any]) -> str:
    """Registers, and what does not fit into them."""
    text = str(run["registers"])
    if run["spilled_bytes"]:
        return f"{text}s{run['spilled_bytes']}"
    return f"{text}+{run['stack_bytes']}" if run["stack_bytes"] else text


def show(results: list[dict[str, Any]], architectures: tuple[str, ...]) -> None:
    """A line for every specialisation."""
    table = Table("kernel", "specialised", "shared", *architectures, box=None, padding=(0, 1, 0, 0))
    rows: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for run in results:
        special = " ".join(f"{name}={value}" for name, value in run["special"].items())
        rows.setdefault((run["kernel"], special), {})[run["architecture"]] = run
    for (kernel, special), runs in sorted(rows.items()):
        shared = str(next(iter(runs.values()))["shared_bytes"])
        table.add_row(kernel, special, shared, *(cell(runs[name]) for name in architectures))
    console.print(table)


def main() -> None:
    """Compile everything."""
    options = tyro.cli(Options, description=__doc__)
    jobs = [
        (source, special, architecture)
        for source, (_, specials) in SPECIAL.items()
        for special in specials
        for architecture in options.architectures
    ]
    with ProcessPoolExecutor() as pool:
        results = [run for runs in pool.map(compiled, *zip(*jobs, strict=True)) for run in runs]
    show(results, options.architectures)
    # Doubles are for checks: they may spill.
    floats = [run for run in results if "double" not in run["special"]]
    spilled = ", ".join(sorted({run["kernel"] for run in floats if run["spilled_bytes"]}))
    console.print(f"{find_nvrtc()}, {len(results)} kernels; spilled in float: {spilled or 'none'}")
    if options.json is not None:
        write(options.json, results)
    if spilled:
        sys.exit(f"{spilled}: a kernel of floats spills registers")


if __name__ == "__main__":
    main()
