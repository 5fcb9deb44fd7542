"""Videos and pictures where the disk is full, the folder closed, or gone by the end."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fake_ffmpeg import WRITE, install

from gaborsplat.scenes import one_line
from gaborsplat.viewer.picture.encode import Encoder
from gaborsplat.viewer.picture.folder import write_folder
from gaborsplat.viewer.picture.video import write_video

SIZE = (320, 240)
ROOM = 200_000
"""Bytes that there is room for, of more than a megabyte."""
NOBODY = 65534
MOUNT, UMOUNT = (shutil.which(program) or program for program in ("mount", "umount"))
"""Found before tests change the path."""

Frames = Iterator[npt.NDArray[np.uint8]]
Write = Callable[[Path, Frames], None]


def frames(between: Callable[[], object] = lambda: None) -> Frames:
    """Noise, which no codec makes small; `between` is called in the middle."""
    random = np.random.default_rng(0)
    for number in range(60):
        if number == 30:
            between()
        yield random.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)


@contextmanager
def small_files() -> Iterator[None]:
    """No file may be larger than there is room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of its own, with little room."""
    mount = [MOUNT, "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk, and not everywhere")
    try:
        yield
    finally:
        subprocess.run([UMOUNT, str(folder)], check=True)


@contextmanager
def closed(folder: Path) -> Iterator[None]:
    """A folder into which nobody may write; root may write anywhere, and is somebody else."""
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that everybody may look into, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        found = Path(parent) / "films"
        found.mkdir()
        yield found


@pytest.fixture(params=["opencv", "ffmpeg", "pictures"])
def write(
    request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Write, str]:
    """What writes, and the name of what it writes."""
    if request.param == "pictures":
        pack = Encoder("rgb").packed
        return lambda path, frames: write_folder(
            path, ((f"{k:05d}.png", pack(frame)) for k, frame in enumerate(frames))
        ), "film"
    if request.param == "ffmpeg":
        install(folder.parent, monkeypatch, WRITE, "libx264")
    else:
        monkeypatch.setenv("PATH", str(folder))
    return lambda path, frames: write_video(path, frames, SIZE, 25), "film.mp4"


def check_refused(
    write: tuple[Write, str],
    folder: Path,
    reason: str,
    trouble: AbstractContextManager[Any],
    between: Callable[[], object] = lambda: None,
) -> None:
    """The reason is told in one line with the file's name, and the folder is as it was."""
    call, name = write
    with trouble:
        before = sorted(folder.iterdir())
        with pytest.raises(OSError) as caught:
            call(folder / name, frames(between))
        told = one_line(caught.value)
        assert told.startswith(str(folder / name)) and told.endswith(f": {reason}")
        assert not folder.exists() or sorted(folder.iterdir()) == before


def test_a_full_disk_is_called_that(
    write: tuple[Write, str], folder: Path, capfd: pytest.CaptureFixture[str]
):
    check_refused(write, folder, "No space left on device", small_disk(folder))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("write", ["opencv", "pictures"], indirect=True)
def test_a_folder_without_permission_is_called_that(
    write: tuple[Write, str], folder: Path, capfd: pytest.CaptureFixture[str]
):
    check_refused(write, folder, "Permission denied", closed(folder))
    assert capfd.readouterr().err == ""


def test_a_folder_that_goes_away_is_called_that(
    write: tuple[Write, str], folder: Path, capfd: pytest.CaptureFixture[str]
):
    reason = "No such file or directory"
    check_refused(write, folder, reason, nullcontext(), lambda: shutil.rmtree(folder))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("encoder", ["libx264", ""])
def test_a_film_that_is_too_large_leaves_the_old_one(
    encoder: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    install(folder.parent, monkeypatch, WRITE, encoder)
    film = folder / "film.mp4"
    film.write_text("the old one")
    writing = (lambda path, frames: write_video(path, frames, SIZE, 25)), film.name
    check_refused(writing, folder, "File too large", small_files())
    assert film.read_text() == "the old one"
    assert capfd.readouterr().err == ""
