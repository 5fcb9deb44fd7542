"""Tries to lose a run, or to have something untrue said of it.

    python -m benchmarks.campaigns.runs kills --number 200
    python -m benchmarks.campaigns.runs interrupts --number 200
    python -m benchmarks.campaigns.runs starts --number 50
    python -m benchmarks.campaigns.runs flips --number 200
    python -m benchmarks.campaigns.runs disk --number 40

Trainings of the demo's capture, small and short, are killed and resumed in chains; interrupted
twice within 50 ms; started three at a time; have their newest checkpoint damaged; and find the disk
full after any number of bytes. Prints what was tried and every run that was lost. Ends with status
1 if there is one.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
import tyro

from benchmarks.campaigns.program import Program
from gaborsplat.devices import machine
from gaborsplat.renderer.files import LOCK
from gaborsplat.renderer.training import checkpoint_splats, checkpoints
from gaborsplat.scenes import demo_path, load_splats

EVERY = 5
STEPS = 60
SMALL = ("--no-viewer", "--device", "cpu", "--max-size", "64", "--max-splats", "300")
SMALL += ("--steps", str(STEPS), "--checkpoint-every", str(EVERY), "--eval-every", "20")
RUN = ("train", str(demo_path()), *SMALL)
ORPHAN = re.compile(r".*\.(part|tmp)")
SAVED = re.compile(r"Stopped at step (\d+); saved in (\S+)\. To go on:")


class Findings:
    """What was tried, and what went wrong."""

    def __init__(self) -> None:
        self.tried = Counter[str]()
        self.wrong: list[str] = []

    def check(self, good: bool, what: str) -> None:
        """Note something that has to be."""
        if not good:
            self.wrong.append(what)
            print(f"WRONG: {what}", flush=True)

    def run_is_whole(self, run: Path) -> None:
        """Check that whatever of a run lies in its folder can be read."""
        for path in checkpoints(run / "checkpoints"):
            self._loads(path, checkpoint_splats)
        if (run / "splats.ply").exists():
            self._loads(run / "splats.ply", load_splats)
        for name in ("config.json", "metrics.json"):
            if (run / name).exists():
                self._loads(run / name, lambda path: json.loads(path.read_text()))

    def _loads(self, path: Path, load: Callable[[Path], object]) -> None:
        try:
            load(path)
        except ValueError as error:
            self.check(False, f"{path}: {error}")


def newest_step(run: Path) -> int:
    """Of the newest checkpoint; 0 if there is none."""
    found = checkpoints(run / "checkpoints")
    return int(found[-1].stem.removeprefix("step-")) if found else 0


def logged_step(run: Path) -> int:
    """How far training says it got."""
    try:
        lines = (run / "log.jsonl").read_text().splitlines()
        return max((json.loads(line)["step"] for line in lines), default=0)
    except (OSError, ValueError):
        return 0


def left_behind(run: Path) -> list[str]:
    """Names of drafts and locks in a run folder."""
    found = [path.name for path in run.rglob("*") if ORPHAN.fullmatch(path.name)]
    return found + [LOCK] * (run / LOCK).exists()


def kills(number: int, folder: Path, findings: Findings, random: random.Random) -> None:
    """Kill -9 at any moment, in chains, until the run is done; it has to be as if nothing was."""
    reference = folder / "reference"
    began = time.monotonic()
    findings.check(
        Program.started([*RUN, "--out", str(reference)], folder).wait() == 0, "reference"
    )
    length = time.monotonic() - began
    wanted = (reference / "splats.ply").read_bytes()
    chain = 0
    while findings.tried["kills"] < number:
        run, chain, stuck = folder / f"chain-{chain}", chain + 1, 0
        while True:
            words = [*RUN, "--out", str(run)]
            if run.exists():
                words += ["--resume"]
            program = Program.started(words, folder)
            status = program.wait(random.uniform(0, length * (0.5 + 0.1 * stuck)))
            if status is not None:
                findings.check(status == 0, f"{run}: status {status}: {program.text()}")
                break
            program.end()
            findings.tried["kills"] += 1
            findings.run_is_whole(run)
            lost = logged_step(run) - newest_step(run)
            findings.check(lost <= EVERY, f"{run}: {lost} steps lost")
            stuck += 1
        findings.tried["chains"] += 1
        findings.check((run / "splats.ply").read_bytes() == wanted, f"{run}: other splats")
        findings.check(not left_behind(run), f"{run}: {left_behind(run)}")


def interrupts(number: int, folder: Path, findings: Findings, random: random.Random) -> None:
    """Two signals within 50 ms at any moment: what is said to be saved has to be there."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    for index in range(number):
        run = folder / f"run-{index}"
        first, second = (signal.SIGINT,) * 2 if index % 2 else random.choices(signals, k=2)
        program = Program.started([*RUN, "--out", str(run), "--steps", "5000"], folder)
        if index % 4:  # else at any moment at all
            while not (run / "log.jsonl").exists() and program.wait(0.01) is None:
                pass
        program.wait(random.uniform(0, 1.0))
        program.send(first)
        program.wait(random.uniform(0, 0.05))
        program.send(second)
        status = program.wait()
        if status is None:
            findings.check(False, f"{run}: does not end")
            program.end()
        said = program.text()
        findings.tried[f"{first.name}, {second.name}: status {status}"] += 1
        findings.check("Traceback" not in said, f"{run}: {said}")
        findings.run_is_whole(run)
        told = SAVED.search(said)
        if told is not None:
            findings.tried["said to be saved"] += 1
            _compare_saved(run, int(told[1]), findings)
        elif signal.SIGQUIT not in (first, second) and logged_step(run) > 0:
            findings.check(False, f"{run}: not saved: {said}")


def _compare_saved(run: Path, step: int, findings: Findings) -> None:
    findings.check(newest_step(run) == step, f"{run}: {newest_step(run)} is saved, not {step}")
    kept = checkpoint_splats(checkpoints(run / "checkpoints")[-1])
    written = load_splats(run / "splats.ply")
    same = len(kept) == len(written) and torch.equal(kept.means, written.means)
    findings.check(same, f"{run}: splats.ply is of another step than the checkpoint")


def starts(number: int, folder: Path, findings: Findings, random: random.Random) -> None:
    """Three trainings at once, with and without one --out: whole runs, or refusals in one line."""
    for sweep in range(number):
        place = folder / f"sweep-{sweep}"
        place.mkdir()
        out = ["--out", "one"] if sweep % 2 else []
        programs = [
            Program.started([*RUN, *out, "--steps", "10", "--seed", str(seed)], place)
            for seed in range(3)
        ]
        good = 0
        for program in programs:
            status, said = program.wait(), program.text()
            findings.tried[f"status {status}"] += 1
            good += status == 0
            refused = status == 2 and "trains there since" in said
            refused |= status == 2 and "holds a run already" in said
            findings.check(status == 0 or refused, f"{place}: status {status}: {said}")
        runs = [path.parent for path in place.rglob("metrics.json")]
        findings.check(len(runs) == good, f"{place}: {good} were good, {len(runs)} runs")
        findings.check(bool(out) or good == 3, f"{place}: {good} of 3 were good")
        for run in runs:
            seed = json.loads((run / "config.json").read_text())["train"]["seed"]
            state = torch.load(checkpoints(run / "checkpoints")[-1], weights_only=True)
            findings.check(state["config"]["seed"] == seed, f"{run}: of two seeds")
            findings.run_is_whole(run)
            findings.check(not left_behind(run), f"{run}: {left_behind(run)}")


def flips(number: int, folder: Path, findings: Findings, random: random.Random) -> None:
    """Bits flipped and blocks zeroed in the newest checkpoint: the one before is taken, and that is
    said."""
    run = folder / "run"
    Program.started([*RUN, "--out", str(run)], folder).wait()
    (run / "splats.ply").unlink()
    before, newest = checkpoints(run / "checkpoints")
    good = newest.read_bytes()
    wanted = checkpoint_splats(before)
    for index in range(number):
        damaged = bytearray(good)
        at = random.randrange(len(good))
        if index % 2:
            damaged[at] ^= 1 << random.randrange(8)
        else:
            at = random.randrange(0, len(good) - 512)
            damaged[at : at + 512] = bytes(512)
        if damaged == good:
            continue
        newest.write_bytes(damaged)
        findings.tried["damaged"] += 1
        try:
            checkpoint_splats(newest)
            findings.check(False, f"taken with damage at byte {at} of {len(good)}")
        except ValueError:
            findings.tried["noticed"] += 1
        if index % 20 == 0:
            out = folder / "out.ply"
            program = Program.started(["export", str(run), "-o", str(out)], folder)
            findings.check(program.wait() == 0, program.text())
            findings.check(str(before) in program.text(), program.text())
            findings.check(torch.equal(load_splats(out).means, wanted.means), "exported others")


def disk(number: int, folder: Path, findings: Findings, random: random.Random) -> None:
    """No file grows beyond some size: one line says which, and what fits is there."""
    whole = folder / "whole"
    Program.started([*RUN, "--out", str(whole)], folder).wait()
    sizes = sorted({path.stat().st_size for path in whole.rglob("*") if path.is_file()})
    limits = [size - 1 for size in sizes]
    limits += [random.randrange(sizes[-1]) for _ in range(number - len(limits))]
    for index, most in enumerate(limits[:number]):
        run = folder / f"run-{index}"

        def limit(most: int = most) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

        program = Program.started([*RUN, "--out", str(run)], folder, limit)
        status, said = program.wait(), program.text()
        findings.tried[f"status {status}"] += 1
        findings.check(status in (0, 1), f"{run}: status {status}: {said}")
        if most > 4096:  # or what it says does not fit either
            findings.check("File too large" in said, f"{run}: {said}")
        findings.check("Traceback" not in said and "enforce fail" not in said, f"{run}: {said}")
        findings.run_is_whole(run)
        fits = (whole / "splats.ply").stat().st_size <= most
        findings.check(fits == (run / "splats.ply").exists(), f"{run}: splats.ply, limit {most}")
        findings.check(not run.exists() or not left_behind(run), f"{run}: {left_behind(run)}")


CAMPAIGNS = {each.__name__: each for each in (kills, interrupts, starts, flips, disk)}


def main(
    campaign: tyro.conf.Positional[str], number: int = 20, seed: int = 0, keep: Path | None = None
) -> int:
    """Run one campaign.

    Args:
        campaign: kills, interrupts, starts, flips or disk.
        number: how many tries.
        seed: of what is random.
        keep: a folder for the runs, which else are deleted.
    """
    findings, began = Findings(), time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        CAMPAIGNS[campaign](number, folder.resolve(), findings, random.Random(seed))
    print(machine())
    for what, count in sorted(findings.tried.items()):
        print(f"{what}: {count}")
    print(f"{campaign}: {len(findings.wrong)} wrong, in {time.monotonic() - began:.0f} s")
    return 1 if findings.wrong else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(tyro.cli(main, description=__doc__))
