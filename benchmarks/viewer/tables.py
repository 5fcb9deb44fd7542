"""The results as tables, on the terminal and in a file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.support.report import commit, write
from benchmarks.viewer.figures import NAMES, PEER
from gaborsplat.console import console
from gaborsplat.scenes import replacing


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first of each is its name."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def tables(section: str, found: dict[str, Any]) -> Iterable[Table]:
    """Of one section of the results."""
    if section.startswith("pictures"):
        yield _figures(section, found)
    elif section == "training":
        yield _training(found)
    else:
        rows = [(name, _told(value)) for name, value in found.items()]
        yield Table("soak", ("", "value"), rows)


def _figures(section: str, found: dict[str, Any]) -> Table:
    compared = [variant for variant, each in found.items() if each["ratio"] and variant != PEER]
    rows = [
        (
            title,
            *(_number(each["median"].get(name)) for each in found.values()),
            *(_number(found[variant]["ratio"].get(name), 2) for variant in compared),
        )
        for name, title in NAMES.items()
    ]
    columns = ("", *found, *(f"{variant} / {PEER}" for variant in compared))
    return Table(f"{section}, medians of the rounds", columns, rows)


def _training(found: dict[str, Any]) -> Table:
    rows = [
        (name, _number(each["steps_per_second"], 2), _number(each["share"], 3))
        for name, each in found.items()
    ]
    title = "training; clients other than Chromium only speak the protocol"
    return Table(title, ("", "steps/s", "of those without a viewer"), rows)


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items())
    return f"{value:,}"


def report(folder: Path, section: str, found: dict[str, Any]) -> None:
    """Print a section, and write it into viewer.json and viewer.md beside the others there."""
    for table in tables(section, found):
        console.print("\n".join(["", table.title, "", *_lines(table)]))
    path = folder / "gaborsplat.viewer.json"
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.is_file() else {}
    runs = dict(sorted((runs | {section: {"commit": commit(), "found": found}}).items()))
    with replacing(path) as draft:
        write(draft, runs)
    lines = ["# The viewer in a browser", "", "Written by `python -m benchmarks.viewer.speed`."]
    for name, each in runs.items():
        for table in tables(name, each["found"]):
            lines += ["", f"{table.title} (commit {each['commit']})", ""]
            lines += _lines(table)
    with replacing(folder / "gaborsplat.viewer.md") as draft:
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _lines(table: Table) -> list[str]:
    """In Markdown, with straight columns."""
    grid = [table.columns, *table.rows]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    grid.insert(1, tuple("-" * width for width in widths))
    return [
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in grid
    ]
