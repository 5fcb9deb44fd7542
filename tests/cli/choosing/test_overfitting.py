"""What a run says of more steps and splats than its photos support."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gaborsplat.cli import DONE, main
from gaborsplat.output.training_log import TrainingLog
from gaborsplat.scenes import demo_path

SMALL = ["--max-size", "64", "--max-splats", "300", "--no-viewer", "--device", "cpu"]
FIXED = ["--exposure", "off", "--refine-poses", "off"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that can go on, which looked at its test views after 10 steps."""
    out = tmp_path / "run"
    options = ["--steps", "20", "--eval-every", "10"]
    assert main(["train", str(demo_path()), "--out", str(out), *SMALL, *FIXED, *options]) == DONE
    return out


def go_on(out: Path, earlier: float, *options: str) -> float:
    """Two more steps of a run whose test views had `earlier` [dB] after 10; what they have now."""
    log = out / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (tested,) = [line for line in lines if "test_psnr" in line]
    tested["test_psnr"] = earlier
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert main(["train", "--resume", "--out", str(out), "--steps", "22", *SMALL, *options]) == DONE
    return json.loads((out / "metrics.json").read_text())["test"]["psnr"]


def test_a_run_whose_test_views_were_better_says_when(
    run: Path, capsys: pytest.CaptureFixture[str]
):
    splats = TrainingLog(run / "log.jsonl").lines()[0]["splats"]
    go_on(run, 90.0)
    said = " ".join(capsys.readouterr().err.split())
    assert f"note: test views had 90.00 dB after 10 steps with {splats} splats" in said
    assert "--max-splats" in said


@pytest.mark.parametrize("options", [[], ["--exposure", "gain"], ["--refine-poses", "on"]])
def test_nothing_is_said_of_a_run_that_is_at_its_best_or_learns_exposures_or_cameras(
    run: Path, options: list[str], capsys: pytest.CaptureFixture[str]
):
    assert go_on(run, 90.0 if options else 1.0, *options) > 1.0
    assert "test views had" not in capsys.readouterr().err


def test_the_best_of_a_log_is_the_first_of_equals_and_damaged_lines_do_not_count(tmp_path: Path):
    log = TrainingLog(tmp_path / "log.jsonl")
    assert log.best_test() is None
    for step, psnr in [(1, 3.0), (2, 7.0), (3, 7.0), (4, None), (5, "9"), (6, 5.0)]:
        log.write(step=step, splats=step, test_psnr=psnr)
    log.write(step=7, test_psnr=99.0)
    assert log.best_test() == (7.0, 2, 2)
