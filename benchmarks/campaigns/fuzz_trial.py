"""One process of the campaign: reads damaged files and says what it should not have done.

Not run by people; `python -m benchmarks.campaigns.fuzz` starts it. It tells the number of the case
that it is at before each, in a file that is mapped into memory, so that a crash or a hang is
known by its case.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import resource
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.campaigns.fuzz_cases import READERS, Case, Mutants
from benchmarks.campaigns.fuzz_splats import Files
from gaborsplat.scenes import InputError

STATE = struct.Struct("<qqq")  # reader and case at work, and how many it has refused
STARTING, DONE = -2, -1  # in place of a reader
BLOCK = 1000  # cases after which faults are told
SLOW = 2.0
"""[s] A small file that takes the processor for longer hangs."""
SLACK = 32 << 20
"""[bytes] Memory that libraries take once, whatever the file."""
FORGOTTEN = 1 << 20
"""[bytes] A file that takes less leaves the peak as it was, as asking for a new one takes time."""
TIMES = 4
"""How many times what a file can hold may be in memory."""
ROOM = 4 << 30
"""[bytes] Address space on top of what the process has at the start."""


class Trial:
    """Reads files of one reader and looks at what that takes."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.reader = READERS[name]
        self.folder = folder
        self.there: Files = {}
        self.warned: list[str] = []
        self.base = 0
        self.taken = 0  # bytes by the last file, at the most
        self.line = ""  # by which it was refused
        self.refused = 0
        self.stderr = -1  # the file that is there instead, while watching
        self.said = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Warnings and what libraries write to stderr are seen meanwhile."""
        kept = os.dup(2)
        logging.getLogger("gaborsplat").addHandler(logging.NullHandler())  # what is said, is meant
        with tempfile.TemporaryFile() as file, warnings.catch_warnings():
            self.stderr, self.said = file.fileno(), 0
            os.dup2(self.stderr, 2)
            warnings.simplefilter("always")
            warnings.showwarning = self._note
            try:
                yield
            finally:
                os.dup2(kept, 2)
                os.close(kept)

    def _note(self, message: Warning | str, *_: object) -> None:
        self.warned.append(str(message))

    def fault(self, case: Case) -> str | None:
        """What reading a case should not have done; None if all is well."""
        self._lay(case.files)
        return self.fault_of(case.name, sum(map(len, case.files.values())))

    def fault_of(self, name: str, size: int) -> str | None:
        """The same, of a file in the folder, where all files have `size` bytes."""
        started = time.process_time()  # others may keep the machine busy
        found = self._read(name)
        seconds = time.process_time() - started
        if found is None and seconds > SLOW:
            found = f"takes {seconds:.1f} s"
        if self.warned:
            found = found or f"warns: {self.warned[0]}"
            self.warned.clear()
        written = os.fstat(self.stderr).st_size
        if written > self.said:
            text = os.pread(self.stderr, 300, self.said)
            found, self.said = found or f"writes to stderr: {text!r}", written
        self.taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - self.base
        if self.taken > FORGOTTEN:
            self.rest()
        allowed = SLACK + TIMES * self.reader.holds(size)
        if self.taken > allowed:
            found = found or f"takes {self.taken >> 20} MiB, of {allowed >> 20}"
        return found

    def _lay(self, files: Files) -> None:
        for name in self.there.keys() - files.keys():
            (self.folder / name).unlink()
        for name, data in files.items():
            if self.there.get(name) is not data:
                (self.folder / name).write_bytes(data)
        self.there = dict(files)

    def _read(self, name: str) -> str | None:
        self.line = ""
        try:
            self.reader.read(self.folder, name)
        except InputError as error:
            self.refused += 1
            self.line = str(error)
            return self._complaint(error)
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            return f"raises {type(error).__name__}: {error} ({where.filename}:{where.lineno})"
        return None

    def _complaint(self, error: InputError) -> str | None:
        """What is wrong with an error that is of the right kind."""
        if not self.line.isprintable() or not self.line:
            return f"does not say one line: {self.line!r}"
        if self.name != "camera-path" and str(self.folder) not in self.line:
            return f"names no file: {self.line}"
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, MemoryError | AssertionError):
                return f"is saved by {type(cause).__name__}: {cause}"
            cause = cause.__cause__ or cause.__context__
        return None

    def rest(self) -> None:
        """From here on memory is what is taken on top."""
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak is what there is now
        self.base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def limit_memory() -> None:
    """No more than ROOM on top of what this process has."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))


def warmed(name: str, folder: Path) -> Trial:
    """A trial whose reader has read all of its sound files and the corpus once."""
    folder.mkdir(parents=True, exist_ok=True)
    trial, mutants = Trial(name, folder), Mutants(name, 0)
    with trial.watching():
        for case in (*mutants.sound, *mutants.corpus):
            trial.fault(case)
    trial.refused = 0
    trial.rest()
    return trial


def save(findings: Path, mutants: Mutants, number: int) -> Path:
    """Saves the damaged file of a case, under a name that the corpus takes."""
    case = mutants.case(number)
    path = findings / mutants.name / f"{mutants.seed}-{number}--{case.name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(case.files[case.name])
    return path


def run(
    trial: Trial, mutants: Mutants, numbers: range, until: float, told: Callable[[int], None]
) -> list[tuple[int, str]]:
    """Reads cases by their numbers, until a time (of time.monotonic); returns number and fault of
    the bad ones. `told` gets the number of each before it is read."""
    faults: list[tuple[int, str]] = []
    with trial.watching():
        for number in numbers:
            if time.monotonic() > until:
                break
            told(number)
            fault = trial.fault(mutants.case(number))
            if fault is not None:
                faults.append((number, fault))
    return faults


@dataclass(frozen=True)
class Work:
    """What a process does: of each reader the cases from its first to `last`, as far as its share
    of the time goes. Faults go to stdout, and what it is at to `state`."""

    seed: int
    last: int
    until: float  # of time.monotonic
    state: str
    findings: str
    firsts: dict[str, int]


def main(work: Work) -> None:
    """Does the work, in a folder beside the state."""
    state, out = Path(work.state), os.fdopen(os.dup(1), "w", buffering=1)
    with tempfile.TemporaryDirectory(dir=state.parent) as folder, state.open("r+b") as file:
        shared = mmap.mmap(file.fileno(), STATE.size)
        trials = {name: warmed(name, Path(folder) / name) for name in work.firsts}
        limit_memory()
        for index, (name, trial) in enumerate(trials.items()):
            mutants, first = Mutants(name, work.seed), work.firsts[name]
            trial.rest()
            started = time.monotonic()
            share = started + (work.until - started) / (len(trials) - index)

            def told(number: int, index: int = index, trial: Trial = trial) -> None:
                STATE.pack_into(shared, 0, index, number, trial.refused)

            for at in range(first, work.last, BLOCK):
                block = range(at, min(at + BLOCK, work.last))
                for number, fault in run(trial, mutants, block, share, told):
                    save(Path(work.findings), mutants, number)
                    out.write(json.dumps([name, number, fault]) + "\n")
                if time.monotonic() > share:
                    break
            read = STATE.unpack_from(shared)[1] + 1 - first
            out.write(json.dumps([name, read, trial.refused, time.monotonic() - started]) + "\n")
    STATE.pack_into(shared, 0, DONE, 0, 0)


if __name__ == "__main__":
    main(Work(**json.loads(sys.argv[1])))
