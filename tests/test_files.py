"""Files that are written whole or not at all, and folders that one training at a time writes to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from full_disk import file_limit

from gaborsplat.renderer.files import (
    LOCK,
    FolderInUse,
    claimed,
    draft_of,
    remove_orphans,
    replacing,
)

CLAIM = """
import sys, time
from pathlib import Path
from gaborsplat.renderer.files import claimed
with claimed(Path(sys.argv[1])):
    print("claimed", flush=True)
    time.sleep(60)
"""


def owner(folder: Path) -> subprocess.Popen[str]:
    """Another process that has claimed `folder`."""
    words = [sys.executable, "-c", CLAIM, str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    return process


def test_a_file_that_cannot_be_written_whole_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("before")
    with (
        file_limit(5000),
        pytest.raises(OSError, match=r"File too large: '.*/file'$"),
        replacing(path) as draft,
    ):
        draft.write_bytes(bytes(10_000))
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path):
    with (
        pytest.raises(FileNotFoundError, match=r"'.*/other'$"),
        replacing(tmp_path / "file"),
    ):
        (tmp_path / "other").read_text()
    assert not list(tmp_path.iterdir())


def test_drafts_of_dead_processes_are_removed_and_no_others(tmp_path: Path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    kept = [draft_of(tmp_path / "alive.ply"), tmp_path / "notes.part", tmp_path / "a.tmp"]
    gone = [
        tmp_path / f".splats.ply.{dead.pid}-0a1b.part",
        tmp_path / "test" / f".a.png.{dead.pid}-ffff.part",
        tmp_path / ".config.json.0123abcd.part",
        tmp_path / f"step-00000010.pt.{dead.pid}.tmp",
        tmp_path / f".sfm.{dead.pid}.part" / "sparse",
    ]
    gone[-1].mkdir(parents=True)
    for path in [*kept, *gone[:-1]]:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    remove_orphans(tmp_path)
    assert {path for path in tmp_path.rglob("*") if path.name != "test"} == set(kept)


def test_a_folder_is_claimed_by_one_at_a_time_who_is_named(tmp_path: Path):
    folder = tmp_path / "run"
    with owner(folder) as other:
        with (
            pytest.raises(FolderInUse, match=rf"run: process {other.pid} on .* since 20"),
            claimed(folder),
        ):
            pass
        other.kill()
    with claimed(folder), pytest.raises(FolderInUse), claimed(folder):
        pass


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_claim_of_a_dead_process_is_none(tmp_path: Path, end: signal.Signals):
    folder = tmp_path / "run"
    with owner(folder) as other:
        other.send_signal(end)
    assert (folder / LOCK).exists()
    with claimed(folder):
        assert str(os.getpid()) in (folder / LOCK).read_text()
    assert not folder.exists() or not list(folder.iterdir())


def test_a_folder_in_which_nothing_was_written_is_removed_if_it_was_made(tmp_path: Path):
    made, there, used = tmp_path / "made", tmp_path / "there", tmp_path / "used"
    there.mkdir()
    for folder in (made, there, used):
        with claimed(folder):
            if folder is used:
                (folder / "file").write_text("")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there", "used"]
    assert [path.name for path in used.iterdir()] == ["file"]


def test_of_processes_that_claim_at_once_one_at_a_time_has_the_folder(tmp_path: Path):
    code = """
import sys
from pathlib import Path
from gaborsplat.renderer.files import FolderInUse, claimed
folder, inside, count = Path(sys.argv[1]), Path(sys.argv[2]), 0
while count < 30:
    try:
        with claimed(folder):
            inside.touch(exist_ok=False)
            inside.unlink()
            count += 1
    except FolderInUse:
        pass
"""
    words = [sys.executable, "-c", code, str(tmp_path / "run"), str(tmp_path / "in")]
    programs = [subprocess.Popen(words) for _ in range(3)]
    assert [program.wait() for program in programs] == [0, 0, 0]
