"""How smooth the viewer is in a real browser, beside nerfview, and what it costs a training.

    python -m benchmarks.viewer.speed [--rounds 5] [--seconds 10] [--size 480x270]
    python -m benchmarks.viewer.speed --only ours nerfview
    python -m benchmarks.viewer.speed --soak 600

Needs the extra `bench` and Chromium, which draws in software. Pointer events drag the scene round,
now faster and now slower; a mark in every picture tells the page which one it is and where its
camera looked. `age` is the time from when the page's own camera looked there until the page draws
the picture, negative if it was predicted; `error` the angle between the two at that moment. `empty`
is the same page with nothing to show, the bound of what it can draw. Then steps per second of a
training with browsers and without a viewer. --soak measures neither: clients come, drag and vanish
at random. Results go into benchmarks/results/viewer.json and viewer.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import tyro
from playwright.async_api import Browser

from benchmarks.viewer.clients import soak
from benchmarks.viewer.figures import (
    LARGEST_RESIDUAL,
    PEER,
    Moment,
    Record,
    figures,
    medians,
    ratios,
)
from benchmarks.viewer.process import chromium, dragging, opened, others, rest, serving
from benchmarks.viewer.tables import report
from benchmarks.viewer.training import measure_training
from gaborsplat.console import console
from gaborsplat.devices import machine

Part = Literal["ours", "ours-stock-page", "nerfview", "empty", "training"]
PARTS: tuple[Part, ...] = get_args(Part)
VARIANTS = PARTS[:-1]

WARM_UP = 2.0
"""Seconds of dragging before anything is counted: sizes settle, the page is compiled."""
TAIL = 0.5
"""Seconds of dragging after, so that the camera gets to where pictures expected it."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    rounds: int = 5
    seconds: float = 10.0
    """Of each measurement, and of each phase of the training."""
    size: str = "480x270"
    """Of the canvas [px]."""
    only: tuple[Part, ...] = PARTS
    """Which of these."""
    soak: float = 0.0
    """Seconds of the soak, which is then all that is done."""
    cache: Path | None = None
    """Folder that keeps the trained demo scene; trained anew without one."""
    results: Path = Path(__file__).parents[1] / "results"
    """Folder for the results."""

    @property
    def canvas(self) -> tuple[int, int]:
        """(width, height) [px]."""
        width, height = map(int, self.size.split("x"))
        return width, height


@contextlib.contextmanager
def trained(cache: Path | None) -> Generator[Path, None, None]:
    """The run folder of the demo scene."""
    with contextlib.ExitStack() as stack:
        if cache is None:
            cache = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run = cache / "demo"
        if not (run / "metrics.json").is_file():
            words = ["demo", "--steps", "1000", "--gabor", "2", "--no-viewer", "--out", str(run)]
            subprocess.run([sys.executable, "-m", "gaborsplat", *words], check=True)
        yield run


async def measure(browser: Browser, run: Path, variant: str, options: Options) -> dict[str, float]:
    """The figures of one variant, from one fresh server and page."""
    size = options.canvas
    busy = await others()
    async with (
        serving(run, variant, max(size)) as (server, scene),
        opened(browser, scene["page"], size) as page,
    ):
        before = await rest(page) if variant != "empty" else 0
        since, _ = await page.evaluate("__probe.frames()")
        async with dragging(page, size):
            await asyncio.sleep(WARM_UP)
            begin = Moment(*await page.evaluate("__probe.frames()"), await server.ask())
            await asyncio.sleep(options.seconds)
            end = Moment(*await page.evaluate("__probe.frames()"), await server.ask())
            await asyncio.sleep(TAIL)
        after = await rest(page, before) if variant != "empty" else 0
        record = Record(await page.evaluate("__probe.take()"), scene["up"], since)
        result = figures(record, begin, end) | {"others": busy}
        if variant != "empty":
            result["residual"] = max(record.residual(before), record.residual(after))
            if result["residual"] > LARGEST_RESIDUAL:
                raise RuntimeError(
                    f"{variant}: at rest the page's camera and its picture are "
                    f"{result['residual']:.2f} degrees apart"
                )
        scripted = await page.evaluate("window.__gaborsplat?.fitted === true")
        if scripted != (variant == "ours"):
            raise RuntimeError(f"{variant}: our script {'is' if scripted else 'is not'} at work")
        if "Traceback" in server.log():
            raise RuntimeError(f"{variant}: the server failed:\n{server.log()[-2000:]}")
        return result


async def displays(browser: Browser, run: Path, options: Options) -> dict[str, Any]:
    """All variants in turn, round after round."""
    variants = [each for each in VARIANTS if each in options.only]
    rounds: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    for number in range(options.rounds):
        for variant in variants:
            found = await measure(browser, run, variant, options)
            rounds[variant].append(found)
            told = (f"{name} {value:.4g}" for name, value in found.items())
            console.print(f"round {number + 1}, {variant}: {', '.join(told)}")
    return {
        variant: {
            "median": medians(found),
            "ratio": ratios(found, rounds[PEER]) if PEER in rounds else {},
            "rounds": found,
        }
        for variant, found in rounds.items()
    }


async def run_all(run: Path, options: Options) -> None:
    """What was asked for, each section shown and saved as soon as it is there."""
    if options.soak:
        report(options.results, "soak", await soak(run, options.soak))
        return
    async with chromium() as browser:
        if set(options.only) & set(VARIANTS):
            found = await displays(browser, run, options)
            report(options.results, f"pictures {options.size}", found)
        if "training" in options.only:
            found = await measure_training(browser, run, options.rounds, options.seconds)
            report(options.results, "training", found)


def main() -> None:
    """Run the benchmark."""
    options = tyro.cli(Options, description=__doc__)
    console.print(machine())
    with trained(options.cache) as run:
        try:
            asyncio.run(run_all(run, options))
        except KeyboardInterrupt:
            sys.exit(130)


if __name__ == "__main__":
    main()
