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
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro
from rich.table import Table

from benchmarks.campaigns.fuzz_cases import READERS, Mutants
from benchmarks.campaigns.fuzz_trial import DONE, SLACK, SLOW, STARTING, STATE, TIMES, Work, save
from benchmarks.support.report import show_table, write
from gaborsplat.console import console
from gaborsplat.devices import machine

HANGS = 20.0
"""[s] After which a process is ended: what it is at never comes back."""
ONE_THREAD = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Variables of a process: waking threads takes longer than reading a small file."""
STARTS = 90.0
"""[s] A process may take until its first case."""


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
    """Reads the files of every reader; what one leaves of its time is shared by those to come."""
    until = time.monotonic() + options.seconds
    each = -(-options.mutations // len(options.reader))
    lanes = [options.reader[lane :: options.processes] for lane in range(options.processes)]
    tallies = {name: Tally() for name in options.reader}
    with ThreadPoolExecutor(options.processes) as pool:
        for lane in [pool.submit(_lane, names, each, until, options, tallies) for names in lanes]:
            lane.result()
    return tallies


def _lane(
    names: Sequence[str], each: int, until: float, options: Options, tallies: dict[str, Tally]
) -> None:
    """Readers one after another; where a process ends at a case, another goes on behind it."""
    firsts = dict.fromkeys(names, 0)
    while firsts and time.monotonic() < until:
        with tempfile.TemporaryDirectory(dir=_memory()) as folder:
            left = _process(Path(folder), firsts, each, until, options)
            for name, *row in left.rows:
                if isinstance(row[1], str):
                    _note(options, name, row[0], row[1], tallies[name])
                else:
                    tallies[name].read += row[0]
                    tallies[name].refused += row[1]
                    tallies[name].seconds += row[2]
        firsts = left.firsts


@dataclass(frozen=True)
class _Left:
    """What a process has left: rows of its output, and the first cases that others have to do."""

    rows: list[list[Any]]
    firsts: dict[str, int]


def _process(
    folder: Path, firsts: dict[str, int], each: int, until: float, options: Options
) -> _Left:
    state, told, log = (folder / name for name in ("state", "told", "log"))
    state.write_bytes(STATE.pack(STARTING, 0, 0))
    work = Work(options.seed, each, until, str(state), str(options.findings), firsts)
    command = [sys.executable, "-m", "benchmarks.campaigns.fuzz_trial", json.dumps(vars(work))]
    with told.open("wb") as out, log.open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=os.environ | ONE_THREAD)
        hung = _wait(process, state)
    said = log.read_text(errors="replace").strip()[-300:]
    reader, case, refused = STATE.unpack(state.read_bytes())
    if reader == STARTING:
        raise RuntimeError(f"the process for {', '.join(firsts)} does not begin: {said}")
    rows = [json.loads(line) for line in told.read_text().splitlines()]
    if reader == DONE:
        return _Left(rows, {})
    name = list(firsts)[reader]
    rows.append(
        [name, case, "hangs" if hung else f"ends the process ({process.returncode}): {said}"]
    )
    rows.append([name, case + 1 - firsts[name], refused, 0.0])
    waiting = list(firsts)[reader + 1 :]
    return _Left(rows, {name: case + 1} | {each: firsts[each] for each in waiting})


def _note(options: Options, name: str, number: int, fault: str, tally: Tally) -> None:
    path = save(options.findings, Mutants(name, options.seed), number)
    tally.findings.append(f"{path}: {fault}")
    console.print(f"{name}: {path}: {fault}", markup=False, soft_wrap=True)


def _wait(process: subprocess.Popen[bytes], state: Path) -> bool:
    """Until the process ends; whether it had to be ended, as it was at one case for too long."""
    seen, since = state.read_bytes(), time.monotonic()
    while process.poll() is None:
        time.sleep(0.05)
        now = state.read_bytes()
        if now != seen:
            seen, since = now, time.monotonic()
        reader = STATE.unpack(now)[0]
        if time.monotonic() - since > (STARTS if reader == STARTING else HANGS):
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
