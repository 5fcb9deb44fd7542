"""Damaged files for every reader, very many: does each give a result or an InputError of one line?

    python -m benchmarks.campaigns.fuzz [--mutations 1000000] [--seconds 600] [--seed N]
        [--reader NAME ...] [--processes 1] [--findings FOLDER] [--out RESULTS.json]

Sound files of every format, and those of tests/campaigns/corpus/, are damaged and read in processes
of their own. It is a finding if one crashes, takes more than 2 s, raises anything but InputError,
warns, writes to stderr, or has more in memory than four times what such a file can hold. The file
is then saved, to be put into the corpus under the name that it has. Ends with 1 if there are
findings.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro
from rich.table import Table

from benchmarks.campaigns.fuzz_cases import READERS, Mutants
from benchmarks.campaigns.fuzz_trial import SLACK, SLOW, STATE, TIMES
from benchmarks.support.report import show_table, write
from gaborsplat.console import console
from gaborsplat.devices import machine

HANGS = 20.0
"""[s] After which a process is ended: what it is at never comes back."""
STARTS = 90.0
"""[s] A process may take until its first case."""
CHUNK = 20_000
"""Cases of a process: memory that libraries never give back ends with it."""


@dataclass(frozen=True)
class Options:
    """What to read, and how often."""

    mutations: int = 1_000_000
    """Damaged files in all, as many of each reader."""
    seconds: float = 600.0
    """No file is begun later than this."""
    seed: int = 0
    """Another one gives other damage."""
    reader: tuple[str, ...] = tuple(READERS)
    """Names of the readers."""
    processes: int = 1
    """How many read at a time."""
    findings: Path = Path("runs/fuzz")
    """Where files that were read badly are saved."""
    out: Path | None = None
    """JSON file for the results."""


@dataclass
class Tally:
    """What became of the files of one reader."""

    read: int = 0
    refused: int = 0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=lambda: list[str]())


def campaign(options: Options) -> dict[str, Tally]:
    """Reads the files of every reader; what is left of the time is shared by those to come."""
    tallies = {name: Tally() for name in options.reader}
    until = time.monotonic() + options.seconds
    each = -(-options.mutations // len(tallies))
    waiting = len(tallies)
    with ThreadPoolExecutor(options.processes) as pool:

        def fuzz(name: str) -> None:
            nonlocal waiting
            share = (until - time.monotonic()) * min(1.0, options.processes / waiting)
            _fuzz(name, each, time.monotonic() + share, options, tallies[name])
            waiting -= 1

        list(pool.map(fuzz, tallies))
    return tallies


def _fuzz(name: str, cases: int, until: float, options: Options, tally: Tally) -> None:
    mutants = Mutants(name, options.seed)
    number, started = 0, time.monotonic()
    while number < cases and time.monotonic() < until:
        last = min(number + CHUNK, cases)
        done, found, number = _process(name, options.seed, number, last, until)
        tally.read += done.cases
        tally.refused += done.refused
        for index, fault in found:
            case = mutants.case(index)
            path = options.findings / name / f"{options.seed}-{index}--{case.name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(case.files[case.name])
            tally.findings.append(f"{path}: {fault}")
            console.print(f"{name}: {path}: {fault}", markup=False, soft_wrap=True)
    tally.seconds = time.monotonic() - started


@dataclass(frozen=True)
class _Done:
    cases: int
    refused: int


def _process(
    name: str, seed: int, first: int, last: int, until: float
) -> tuple[_Done, list[tuple[int, str]], int]:
    """Cases `first` to `last` in a process of their own: what was done, the findings, and the case
    to go on with."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        state, told = Path(folder) / "state", Path(folder) / "told"
        state.write_bytes(STATE.pack(-2, 0, 0, time.monotonic()))
        words = [name, str(seed), str(first), str(last), str(until), str(state)]
        command = [sys.executable, "-m", "benchmarks.campaigns.fuzz_trial", *words]
        with told.open("wb") as out, (Path(folder) / "log").open("w+b") as log:
            process = subprocess.Popen(command, stdout=out, stderr=log)
            hung = _wait(process, state)
            log.seek(0)
            said = log.read().decode(errors="replace").strip()[-300:]
        at, cases, refused, _ = STATE.unpack(state.read_bytes())
        found = [tuple(json.loads(line)) for line in told.read_text().splitlines()]
        if at == -2:
            raise RuntimeError(f"the process for {name} does not begin: {said}")
        if at >= 0:
            fault = "hangs" if hung else f"ends the process ({process.returncode}): {said}"
            found.append((at, fault))
            return _Done(cases, refused), found, at + 1
        return _Done(cases, refused), found, last


def _wait(process: subprocess.Popen[bytes], state: Path) -> bool:
    """Until the process ends; whether it had to be ended."""
    while process.poll() is None:
        time.sleep(0.05)
        at, _, _, since = STATE.unpack(state.read_bytes())
        if time.monotonic() - since > (STARTS if at == -2 else HANGS):
            process.kill()
            process.wait()
            return True
    return False


def _memory() -> str | None:
    """A folder in memory, where there is one."""
    folder = Path("/dev/shm")
    return str(folder) if folder.is_dir() else None


def _show(tallies: dict[str, Tally], seconds: float) -> None:
    table = Table("reader", "files", "refused", "a second", "findings")
    for name, tally in tallies.items():
        speed = tally.read / max(tally.seconds, 1e-9)
        refused = f"{tally.refused / max(tally.read, 1):.0%}"
        row = (name, f"{tally.read:,}", refused, f"{speed:,.0f}", str(len(tally.findings)))
        table.add_row(*row)
    show_table(table)
    total = sum(tally.read for tally in tallies.values())
    findings = sum(len(tally.findings) for tally in tallies.values())
    console.print(
        f"{total:,} damaged files in {seconds:.0f} s: {findings} findings (a crash, more than "
        f"{SLOW:g} s, another exception than InputError, a warning, or more memory than {TIMES} "
        f"times what the file can hold and {SLACK >> 20} MiB)"
    )


def main(options: Options) -> dict[str, Tally]:
    """Runs the campaign and prints what came of it."""
    started = time.monotonic()
    console.print(f"machine: {machine()}", markup=False)
    tallies = campaign(options)
    seconds = time.monotonic() - started
    _show(tallies, seconds)
    if options.out is not None:
        rows: dict[str, Any] = {name: vars(tally) for name, tally in tallies.items()}
        write(options.out, {"seed": options.seed, "seconds": seconds, "readers": rows})
    return tallies


if __name__ == "__main__":
    told = main(tyro.cli(Options, description=__doc__))
    sys.exit(any(tally.findings for tally in told.values()))
