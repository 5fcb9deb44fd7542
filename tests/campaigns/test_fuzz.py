"""Every reader on files that once were trouble, on bombs, and on a short campaign of damage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.campaigns.fuzz import Options, campaign
from benchmarks.campaigns.fuzz_cases import CORPUS, READERS, Mutants
from benchmarks.campaigns.fuzz_trial import SLACK, TIMES, warmed
from gaborsplat.scenes import InputError
from tests.campaigns.bad_files import AT_LIMIT, BAD, GOOD

REPOSITORY = Path(__file__).resolve().parents[2]
CORPUS_LIMIT = 300_000
"""Bytes of the corpus: everybody who clones the repository has it."""

Found = dict[str, Any]


def read_elsewhere(folders: list[tuple[str, Path, str]]) -> list[Found]:
    """What reading files does to a process with 4 GiB of address space: see reading.py."""
    files = [[reader, str(folder), name] for reader, folder, name in folders]
    process = subprocess.run(
        [sys.executable, "-m", "tests.campaigns.reading"],
        input=json.dumps(files),
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    return json.loads(process.stdout)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """What became of every file of bad_files.py, all read in one process."""
    made = {kind: (bad.reader, bad.files) for kind, bad in BAD.items()} | GOOD
    folders: list[tuple[str, Path, str]] = []
    for reader, make in made.values():
        folder, files = tmp_path_factory.mktemp(reader), make()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        folders.append((reader, folder, next(iter(files))))
    return dict(zip(made, read_elsewhere(folders), strict=True))


@pytest.mark.parametrize("kind", BAD)
def test_a_file_made_to_do_harm_is_refused_in_one_line_and_little_memory(
    found: dict[str, Found], kind: str
):
    assert found[kind]["fault"] is None
    assert BAD[kind].told in str(found[kind]["line"])
    assert found[kind]["taken"] < SLACK + TIMES * found[kind]["size"]


def test_members_that_nobody_needs_are_not_unpacked(found: dict[str, Found]):
    unneeded = found["unneeded members"]
    assert (unneeded["fault"], unneeded["line"]) == (None, "")
    assert unneeded["taken"] < SLACK


@pytest.mark.parametrize("kind", [kind for kind in GOOD if kind.startswith("zeros")])
def test_what_unpacks_to_the_limit_is_read_in_four_times_what_it_holds(
    found: dict[str, Found], kind: str
):
    assert (found[kind]["fault"], found[kind]["line"]) == (None, "")
    assert found[kind]["taken"] < TIMES * 56 * AT_LIMIT  # a splat has 14 floats


@pytest.mark.parametrize("name", READERS)
def test_sound_files_are_read_and_those_of_the_corpus_do_no_harm(tmp_path: Path, name: str):
    trial, mutants = warmed(name, tmp_path), Mutants(name, 0)
    with trial.watching():
        assert [trial.fault(case) for case in mutants.sound] == [None] * len(mutants.sound)
        assert trial.refused == 0
        assert [trial.fault(case) for case in mutants.corpus] == [None] * len(mutants.corpus)
    assert mutants.corpus, "the corpus has a file for every reader"


def test_the_corpus_is_small_and_every_file_is_for_a_reader():
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == set(READERS)
    assert all("--" in path.name for path in files)
    assert sum(path.stat().st_size for path in files) < CORPUS_LIMIT


@pytest.mark.slow
def test_damage_gives_a_result_or_an_error_of_one_line(tmp_path: Path):
    options = Options(mutations=300 * len(READERS), seconds=120, seed=7, findings=tmp_path)
    tallies = campaign(options)
    assert {name: tally.findings for name, tally in tallies.items() if tally.findings} == {}
    assert all(tally.read > 0 and 0 < tally.refused < tally.read for tally in tallies.values())


def hang(*_: object) -> None:
    """A reader that goes on and on."""
    started = time.process_time()
    while time.process_time() - started < 2.1:
        pass


def warn(*_: object) -> None:
    """A reader whose library warns."""
    warnings.warn("careful", stacklevel=1)


def write(*_: object) -> None:
    """A reader whose library writes to stderr."""
    os.write(2, b"careful")


def be_saved(folder: Path, _: str) -> None:
    """A reader that memory has stopped."""
    raise InputError(f"{folder}: too large") from MemoryError()


def be_silent(*_: object) -> None:
    """A reader that does not say which file it is."""
    raise InputError("too large")


def take(*_: object) -> int:
    """A reader that makes room for what is not there."""
    return len(bytearray(b"x") * (1 << 28))


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (lambda *_: 1 / 0, "raises ZeroDivisionError"),
        (hang, "takes 2.1 s"),
        (warn, "warns: careful"),
        (write, "writes to stderr: b'careful'"),
        (be_saved, "is saved by MemoryError"),
        (be_silent, "names no file"),
        (take, "takes 25"),
    ],
)
def test_the_campaign_sees_what_a_reader_must_not_do(
    tmp_path: Path, read: Callable[[Path, str], object], told: str
):
    trial = warmed("splat", tmp_path)
    trial.reader = replace(trial.reader, read=read)
    with trial.watching():
        assert told in (trial.fault(Mutants("splat", 0).sound[0]) or "")
