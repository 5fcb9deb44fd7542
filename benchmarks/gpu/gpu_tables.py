"""The tables of gpu.py beside this: times and memory, and the GPU's time by kernel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from benchmarks.support.report import show_table
from gaborsplat.console import console

Figure = dict[str, Any]

LEGEND = "launches: our kernels + others' + memsets and copies; MB: peak beyond the scene's own"
KERNEL_WORKS = ("picture", "step")
"""Those whose kernels are shown; the JSON has all."""
SMALL = 0.01
"""Kernels that take less than this of everybody's time are one line."""


def scene_name(splats: int, size: tuple[int, int]) -> str:
    """As people write it."""
    return f"{splats / 1e6:.2f}M splats, {size[0]} x {size[1]}"


def show(figures: list[Figure]) -> None:
    """All tables of one scene."""
    if not figures:
        return
    name = scene_name(figures[0]["splats"], figures[0]["size"])
    console.print(f"\n{name}: milliseconds, median")
    show_table(times(figures))
    console.print(LEGEND)
    for work in KERNEL_WORKS:
        chosen = [each for each in figures if each["work"] == work and "as gsplat" not in who(each)]
        if any(each.get("gpu_ms") for each in chosen):
            console.print(f"\n{name}, {work}: microseconds on the GPU (launches)")
            show_table(by_kernel(chosen))


def who(figure: Figure) -> str:
    """A renderer and its waves."""
    ours = figure["renderer"].startswith("ours")
    return f"{figure['renderer']} K={figure['waves']}" if ours else figure["renderer"]


def times(figures: list[Figure]) -> Table:
    """A line a job, under its work. The ratio is gsplat's time (not packed, without waves) over
    this one's, both back to back."""
    table = Table("work\n  who", box=None, padding=(0, 1, 0, 0))
    columns = ("back\nto back", "\ngsplat /", "\nevents", "\np5", "\np95", "\nalone", "\non GPU")
    for column in (*columns, "\nlaunches", "\nMB"):
        table.add_column(column, justify="right")
    last = None
    for run in sorted(figures, key=lambda each: order(each, figures)):
        together = run["back_to_back_ms"]["median"]
        peer = gsplats(run, figures)
        events = run["events_ms"]
        if run["work"] != last:
            table.add_row(run["work"])
        table.add_row(
            f"  {who(run)}",
            number(together),
            f"{peer / together:.2f}" if peer else "-",
            *(number(events[key]) for key in ("median", "p5", "p95")),
            number(run["alone_ms"]["median"]),
            number(run.get("gpu_ms")),
            launches(run.get("launches")),
            f"{run['peak_bytes'] / 1e6:.0f}" if "peak_bytes" in run else "-",
        )
        last = run["work"]
    return table


def order(figure: Figure, figures: list[Figure]) -> int:
    """Works together, in the order in which they came."""
    works = list(dict.fromkeys(each["work"] for each in figures))
    return works.index(figure["work"])


def gsplats(figure: Figure, figures: list[Figure]) -> float | None:
    """gsplat's time for the same work."""
    found = [
        each["back_to_back_ms"]["median"]
        for each in figures
        if each["work"] == figure["work"]
        and each["renderer"].startswith("gsplat")
        and "packed" not in each["renderer"]
    ]
    return found[0] if found else None


def number(value: float | None) -> str:
    """Three digits or more."""
    return "-" if value is None else f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def launches(counts: dict[str, float] | None) -> str:
    """In three parts."""
    return "-" if counts is None else "+".join(f"{count:.0f}" for count in counts.values())


def by_kernel(figures: list[Figure]) -> Table:
    """A line a kernel, a column for everybody, sorted by the most that one takes."""
    named = {who(each): each["kernels"] for each in figures if each.get("gpu_ms")}
    table = Table("kernel", box=None, padding=(0, 1, 0, 0))
    for name in named:
        table.add_column(name.replace(" ", "\n", 1), justify="right")
    shares: dict[str, float] = {}
    for kernels in named.values():
        total = sum(kernels["microseconds"].values())
        for kernel, taken in kernels["microseconds"].items():
            shares[kernel] = max(shares.get(kernel, 0.0), taken / total)
    small = [kernel for kernel, share in shares.items() if share < SMALL]
    large = sorted((k for k in shares if k not in small), key=lambda k: -most(k, named.values()))
    for kernel in large:
        table.add_row(shortened(kernel), *(cell([kernel], each) for each in named.values()))
    if small:
        table.add_row(f"{len(small)} others", *(cell(small, each) for each in named.values()))
    table.add_row("all", *(cell(list(shares), each) for each in named.values()))
    return table


def most(kernel: str, everybody: Iterable[dict[str, Any]]) -> float:
    """The most that it takes anybody."""
    return max(each["microseconds"].get(kernel, 0.0) for each in everybody)


def cell(kernels: list[str], found: dict[str, Any]) -> str:
    """Time and launches of some kernels."""
    taken = sum(found["microseconds"].get(kernel, 0.0) for kernel in kernels)
    count = sum(found["launches"].get(kernel, 0.0) for kernel in kernels)
    return f"{taken:.0f} ({count:.0f})" if count else "-"


def shortened(kernel: str, width: int = 38) -> str:
    """A name that leaves room for figures."""
    return kernel if len(kernel) <= width else f"{kernel[: width - 3]}..."
