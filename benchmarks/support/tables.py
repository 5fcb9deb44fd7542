"""Rows of results: choosing among them, and tables on the terminal and in a Markdown file."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.support.report import show_table
from gaborsplat.console import console
from gaborsplat.devices import machine
from gaborsplat.scenes import InputError, replacing

BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
"""Lines of a Markdown file between which the tables go."""

Runs = list[dict[str, Any]]
"""Results, as a JSON file has them."""
Rows = list[list[str]]
"""A table: its head, then its rows."""


def mean_of(runs: Iterable[dict[str, Any]], name: str) -> float:
    """Of one figure."""
    return statistics.fmean(run[name] for run in runs)


def pick(runs: Runs, **wanted: Any) -> Runs:
    """Those with these values."""
    return [run for run in runs if all(run[name] == value for name, value in wanted.items())]


def distinct(runs: Runs, *names: str) -> list[tuple[Any, ...]]:
    """Values that occur together, sorted."""
    return sorted({tuple(run[name] for name in names) for run in runs})


def show(tables: Mapping[str, Rows]) -> None:
    """Prints tables with their titles, and on what machine that is."""
    for title, rows in tables.items():
        table = Table(title=title)
        for column in rows[0]:
            table.add_column(column)
        for row in rows[1:]:
            table.add_row(*row)
        show_table(table)
    console.print(_machine())


def document(path: Path, tables: Mapping[str, Rows]) -> None:
    """Puts tables with their titles between the marks of a Markdown file.

    Raises:
        InputError: it has no such marks.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"{path}: has no lines {BEGIN} and {END} for the tables to go between")
    written = ["\n".join([f"**{title}**", "", *_markdown(rows)]) for title, rows in tables.items()]
    with replacing(path) as draft:
        middle = "\n\n".join([BEGIN, *written, f"Measured on: {_machine()}.", END])
        draft.write_text(before + middle + after, encoding="utf-8")


def _machine() -> str:
    found = machine()
    return f"{found['processor']}, {found['threads']} threads, {found['isa']}"


def _markdown(rows: Rows) -> list[str]:
    rule = ["---"] * len(rows[0])
    return [f"| {' | '.join(cells)} |" for cells in (rows[0], rule, *rows[1:])]
