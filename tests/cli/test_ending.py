"""However a training ends: by signals, by a terminal that is gone, by an error, in the import."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gaborsplat.cli import BAD_INPUT, DONE, FAILED, main
from gaborsplat.renderer.training import Trainer, checkpoint_splats, checkpoints
from gaborsplat.run_folder import RunFolder
from gaborsplat.scenes import demo_path, load_splats

SMALL = ["train", str(demo_path()), "--no-viewer", "--device", "cpu", "--max-size", "64"]
SMALL += ["--max-splats", "300", "--sh-degree", "0", "--gabor", "0", "--eval-every", "0"]
ENDLESS = [sys.executable, "-m", "gaborsplat", *SMALL, "--steps", "1000000"]


def until(happens: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


def begun(out: Path) -> Callable[[], bool]:
    """Whether the run there has taken some steps."""
    return lambda: (out / "log.jsonl").exists() and (out / "log.jsonl").stat().st_size > 0


def check_saved(out: Path, step: int | None = None) -> None:
    """Check that splats and checkpoint are of one step."""
    newest = checkpoints(out / "checkpoints")[-1]
    assert torch.equal(checkpoint_splats(newest).means, load_splats(out / "splats.ply").means)
    assert step is None or newest.name == f"step-{step:08d}.pt"
    assert not [path.name for path in out.rglob(".*")]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["INT", "TERM", "HUP", "terminal closed"])
def test_a_training_that_is_asked_to_end_saves_first(how: str, tmp_path: Path):
    out = tmp_path / "out"
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [*ENDLESS, "--out", str(out)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # its terminal
    )
    os.close(theirs)
    until(begun(out))
    if how == "terminal closed":
        os.close(ours)
    else:
        program.send_signal(signal.Signals[f"SIG{how}"])
    assert program.wait(60) == 130
    if how != "terminal closed":
        said = os.read(ours, 100_000).decode(errors="replace")
        told = re.search(r"Stopped at step (\d+); saved in", said)
        assert told is not None
        check_saved(out, int(told[1]))
    check_saved(out)


@pytest.mark.slow
def test_a_training_to_whom_nobody_listens_goes_on(tmp_path: Path):
    out = tmp_path / "out"
    words = [sys.executable, "-m", "gaborsplat", *SMALL, "--steps", "400", "--out", str(out)]
    program = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout is not None
    assert program.stderr is not None
    program.stdout.close()
    program.stderr.close()
    assert program.wait(120) == DONE
    check_saved(out, 400)


@pytest.mark.slow
def test_ctrl_c_while_the_program_is_imported_ends_it_quietly(tmp_path: Path):
    for delay in (0.3, 0.6, 0.9):
        program = subprocess.Popen(
            ENDLESS, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        time.sleep(delay)
        maps = Path(f"/proc/{program.pid}/maps")
        if not maps.exists() or "libtorch" not in maps.read_text():
            program.kill()  # Python itself was still starting
            program.communicate()
            continue
        program.send_signal(signal.SIGINT)
        said, _ = program.communicate(timeout=60)
        assert program.returncode == 130
        assert "Traceback" not in said


@pytest.mark.slow
def test_a_program_without_standard_streams_ends_as_it_should(tmp_path: Path):
    words = [
        sys.executable,
        "-m",
        "gaborsplat",
        *SMALL,
        "--steps",
        "3",
        "--out",
        str(tmp_path / "o"),
    ]
    done = subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *words], check=False)
    assert done.returncode == DONE
    check_saved(tmp_path / "o", 3)
    full = subprocess.run(
        ["sh", "-c", '"$@" >/dev/full', "sh", sys.executable, "-m", "gaborsplat", "doctor"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert full.returncode == FAILED
    assert full.stderr == "gaborsplat: not all was printed: No space left on device\n"


def test_importing_the_package_leaves_ctrl_c_alone():
    code = "import signal, gaborsplat; print(signal.getsignal(signal.SIGINT).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "default_int_handler\n"


def failing_at(step: int, error: BaseException) -> Any:
    whole = Trainer._take

    def take(self: Trainer, photo: Any) -> Any:
        if self.steps_done == step:
            raise error
        return whole(self, photo)

    return take


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), r"out of memory .*--max-splats"),
        (MemoryError(), r"out of memory \(MemoryError\); fewer splats"),
        (RuntimeError("a kernel is broken"), "RuntimeError: a kernel is broken"),
        (AssertionError("never"), "AssertionError: never"),
    ],
)
def test_what_was_fitted_before_an_error_is_saved(
    tmp_path: Path,
    error: BaseException,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    out = tmp_path / "out"
    words = [*SMALL, "--steps", "20", "--out", str(out)]
    with monkeypatch.context() as failing:
        failing.setattr(Trainer, "_take", failing_at(7, error))
        assert main(words) == FAILED
    shown = capsys.readouterr()
    assert re.search(rf"gaborsplat: step 8 failed: {said}", shown.err)
    assert "Stopped at step 7; saved in" in shown.out
    check_saved(out, 7)
    assert main([*words, "--resume"]) == DONE
    check_saved(out, 20)


def test_a_byte_in_the_log_that_is_no_text_blocks_nothing(tmp_path: Path):
    out = tmp_path / "out"
    assert main([*SMALL, "--steps", "20", "--out", str(out)]) == DONE
    log = out / "log.jsonl"
    damaged = b'\xff\xfe{"step": 5}\n' + b"[" * 100_000 + b"\n" + log.read_bytes() + b'{"step": 2'
    log.write_bytes(damaged)
    assert main(["train", "--resume", "--out", str(out), "--no-viewer", "--steps", "30"]) == DONE
    assert [line["step"] for line in RunFolder(out).log.lines()] == [10, 20, 30]


def test_a_run_that_starts_in_the_second_of_another_has_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gaborsplat.run_folder.time.strftime", lambda _: "20260101-000000")
    for _ in range(11):
        assert main([*SMALL, "--steps", "1"]) == DONE
    names = {path.name for path in Path("runs").iterdir()}
    assert names == {"demo-20260101-000000"} | {
        f"demo-20260101-000000-{number}" for number in range(2, 12)
    }
    assert RunFolder.newest("demo").path.name == "demo-20260101-000000-11"


def test_a_run_that_does_not_begin_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(tmp_path / "nothing"), "--no-viewer"]) == BAD_INPUT
    assert main(["train", str(tmp_path), "--no-viewer", "--out", "one"]) == BAD_INPUT
    assert not list(tmp_path.glob("runs/*"))
    assert not Path("one").exists()
