"""Where messages go: results to stdout, progress and complaints to stderr."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from .scenes import printable

# Paths are printed as they are: [x] in one is no markup and :x: no emoji.
console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
error_console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

REPAIRS_SHOWN = 8


def show_doubts(doubts: Sequence[str]) -> None:
    """What speaks against a capture, a line each."""
    for doubt in doubts:
        error_console.print(f"warning: {doubt}", style="bold yellow")


def show_repairs(repairs: Sequence[str]) -> None:
    """What was wrong with a capture, a line each; a long list is cut."""
    for repair in repairs[:REPAIRS_SHOWN]:
        error_console.print(f"note: {printable(repair)}", style="yellow")
    rest = len(repairs) - REPAIRS_SHOWN
    if rest > 0:
        error_console.print(f"note: and {rest} more (gaborsplat doctor shows all)", style="yellow")


def decimal_bytes(count: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def decimals(value: float | None, digits: int) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"
