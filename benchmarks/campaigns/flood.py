"""A viewer under a flood: half of its clients look about, half do it harm.

    python -m benchmarks.campaigns.flood [--minutes 60] [--clients 8] [--side 16384]

A process of its own runs `gaborsplat view` on a small scene. Its memory, threads, open files and
lines of output are sampled every few seconds. Prints them, what the good clients got, and the
verdict; exit status 1 if that is bad. Linux only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import torch
import tyro
from rich.table import Table

import gaborsplat as gs
from benchmarks.campaigns.flood_attacks import Target, misbehave
from benchmarks.campaigns.flood_clients import Tally, behave
from benchmarks.support.report import commit, show_table
from gaborsplat.console import console
from gaborsplat.devices import machine

SPLATS = 2000
"""Of the scene."""

INTERVAL = 5.0
"""Seconds between two samples."""

SETTLE = 25.0
"""Seconds that the server gets to end what its last clients left: a browser that does not answer is
given up after twenty."""

MOST_LINES = 100
"""Of output in the whole run."""

SLACK = 2
"""Threads and files that may be left, of pools that grow when first used."""

GROWTH = (1.1, 100e6)
"""Memory at the end over that in the third quarter of the time: a factor, and bytes."""

LONG = 600.0
"""Seconds from which memory is judged: until each attack has been there a few times, it grows."""

LEAST_RATE = 1.0
"""Pictures a second that good clients get while they drag."""


@dataclass(frozen=True)
class Options:
    """How long, and by whom."""

    minutes: float = 60.0
    clients: int = 8
    side: int = 16384
    """Of the huge screenshots [px]."""
    seed: int = 0


@dataclass(frozen=True)
class Sample:
    """What the server holds at a moment."""

    rss: int
    threads: int
    files: int
    lines: int


@dataclass
class Outcome:
    """What has been seen.

    Attributes:
        seconds: length of the flood.
        idle: the server before it.
        samples: during it.
        after: after all clients have left.
        tally: what the clients have seen.
        log: output of the server.
        status: its exit status after Ctrl-C.
    """

    seconds: float
    idle: Sample
    after: Sample
    tally: Tally
    log: str
    status: int | None
    samples: list[Sample] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Pictures a second of a good client that drags."""
        return self.tally.pictures / max(self.tally.dragging, 1e-9)

    def complaints(self) -> list[str]:
        """What speaks against the server; nothing if all is well."""
        early, late = self._memory()
        tracebacks = self.log.count("Traceback")
        checks = {
            f"{self.after.lines} lines of output": self.after.lines <= MOST_LINES,
            f"{tracebacks} tracebacks": tracebacks == 0,
            f"{self.after.threads} threads are left, of {self.idle.threads}": (
                self.after.threads <= self.idle.threads + SLACK
            ),
            f"{self.after.files} files are left open, of {self.idle.files}": (
                self.after.files <= self.idle.files + SLACK
            ),
            f"memory went from {_megabytes(early)} to {_megabytes(late)}": (
                self.seconds < LONG or late <= max(GROWTH[0] * early, early + GROWTH[1])
            ),
            f"{self.rate:.1f} pictures a second": self.rate >= LEAST_RATE,
            f"{self.tally.lost_screenshots} screenshots were lost": not self.tally.lost_screenshots,
            f"it ended with status {self.status}": self.status == 130,
            f"attacks that failed by themselves: {self.tally.broken[:3]}": not self.tally.broken,
        }
        return [what for what, well in checks.items() if not well]

    def _memory(self) -> tuple[float, float]:
        """What it holds in the third and in the last quarter of the time [bytes], without the
        peaks of pictures that are being saved."""
        quarter = max(1, len(self.samples) // 4)
        early, late = self.samples[-2 * quarter : -quarter], self.samples[-quarter:]
        low = [sorted(each.rss for each in part)[len(part) // 5] for part in (early, late) if part]
        return low[0], low[-1]


@contextlib.contextmanager
def server(folder: Path) -> Generator[tuple[subprocess.Popen[bytes], IO[bytes], str], None, None]:
    """`gaborsplat view` on a scene, its output, and where it is; killed in the end if need be."""
    scene = folder / "scene.ply"
    gs.save_splats(_scene(), scene)
    with (folder / "log").open("wb") as log:
        words = ["view", str(scene), "--port", "0", "--device", "cpu"]
        process = subprocess.Popen(
            [sys.executable, "-m", "gaborsplat", *words],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us to pass on
        )
        try:
            yield process, log, _address(process, Path(log.name))
        finally:
            process.kill()
            process.wait()


def _scene() -> gs.Splats:
    torch.manual_seed(0)
    quats = torch.nn.functional.normalize(torch.randn(SPLATS, 4), dim=1)
    return gs.Splats(
        means=torch.randn(SPLATS, 3),
        quats=quats,
        scales=torch.full((SPLATS, 3), 0.05),
        opacities=torch.full((SPLATS,), 0.7),
        sh=torch.rand(SPLATS, 1, 3),
        frequencies=torch.randn(SPLATS, 1, 3),
        coefficients=torch.full((SPLATS, 1, 2), 0.2),
    )


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"http://\S+:\d+", log.read_text())
        if found:
            return found[0]
        time.sleep(0.1)
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")


def sample(process: subprocess.Popen[bytes], log: Path) -> Sample:
    """What the server holds now."""
    own = Path(f"/proc/{process.pid}")
    status = dict(line.split(":", 1) for line in (own / "status").read_text().splitlines())
    return Sample(
        rss=1024 * int(status["VmRSS"].split()[0]),
        threads=int(status["Threads"]),
        files=len(os.listdir(own / "fd")),
        lines=log.read_bytes().count(b"\n"),
    )


async def flooded(
    process: subprocess.Popen[bytes], log: Path, url: str, options: Options
) -> Outcome:
    """Send the flood, and watch."""
    loop, tally = asyncio.get_running_loop(), Tally()
    await _first_visit(url)
    idle = sample(process, log)
    begin = loop.time()
    until = begin + 60 * options.minutes
    clients: list[asyncio.Task[None]] = []
    for number in range(options.clients):
        chance = random.Random(1000 * options.seed + number)
        hostile = number % 2
        target = Target(url, options.side, chance)
        client = misbehave(target, until, tally) if hostile else behave(url, until, tally, chance)
        clients.append(asyncio.create_task(client))
    samples: list[Sample] = []
    while not all(each.done() for each in clients):
        await asyncio.wait(clients, timeout=min(INTERVAL, 0.05 * 60 * options.minutes))
        if process.poll() is not None:
            raise RuntimeError(f"the server has ended:\n{log.read_text()[-3000:]}")
        samples.append(sample(process, log))
    await asyncio.gather(*clients)
    seconds = loop.time() - begin
    await asyncio.sleep(SETTLE)
    after = sample(process, log)
    process.send_signal(signal.SIGINT)
    status = await asyncio.to_thread(_end_of, process)
    return Outcome(seconds, idle, after, tally, log.read_text(), status, samples)


async def _first_visit(url: str) -> None:
    """So that what the server makes once is there before anything is counted."""
    tally, loop = Tally(), asyncio.get_running_loop()
    await behave(url, loop.time() + 3, tally, random.Random(0))
    await asyncio.sleep(2)


def _end_of(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(20)
    except subprocess.TimeoutExpired:
        return None


def run(options: Options) -> Outcome:
    """The whole campaign."""
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as (process, log, url):
        return asyncio.run(flooded(process, Path(log.name), url, options))


def report(outcome: Outcome, options: Options) -> None:
    """Print what has been seen."""
    console.print(f"{machine()}; commit {commit()}")
    tally = outcome.tally
    console.print(
        f"{outcome.seconds / 60:.1f} minutes, {options.clients} clients, half of them hostile, "
        f"screenshots of up to {options.side} px"
    )
    table = Table("", "before", "first", "last", "peak", "after")
    every = [outcome.idle, *outcome.samples, outcome.after]
    for name in ("rss", "threads", "files", "lines"):
        values = [getattr(each, name) for each in every]
        shown = [values[0], values[1], values[-2], max(values), values[-1]]
        table.add_row(name, *(_megabytes(each) if name == "rss" else str(each) for each in shown))
    show_table(table)
    console.print(
        f"good clients: {outcome.rate:.1f} pictures a second while dragging, longest wait "
        f"{tally.longest_wait:.1f} s; {tally.visits} visits, {tally.refused} refused or cut off; "
        f"{tally.screenshots} screenshots came, {tally.lost_screenshots} did not"
    )
    attacks = ", ".join(f"{name} {count}" for name, count in sorted(tally.attacks.items()))
    console.print(f"attacks: {attacks}")
    console.print(f"the server's output:\n{outcome.log.rstrip()}")
    complaints = outcome.complaints()
    console.print(f"verdict: {'; '.join(complaints) if complaints else 'good'}")


def _megabytes(count: float) -> str:
    return f"{count / 1e6:.0f} MB"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign; 1 if the verdict is bad."""
    options = tyro.cli(Options, args=arguments, description=__doc__)
    outcome = run(options)
    report(outcome, options)
    return 1 if outcome.complaints() else 0


if __name__ == "__main__":
    sys.exit(main())
