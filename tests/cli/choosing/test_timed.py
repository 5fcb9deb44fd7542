"""`train --time` and `--coarse-to-fine`, end to end, on the capture that ships with the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gaborsplat.cli import BAD_INPUT, DONE, main, parse
from gaborsplat.scenes import demo_path

BUSY = 1.25
"""Times as long as given, on a machine that does something else just then: a step may be slower
than any before. That a run keeps its time is tested with a clock of its own."""
QUICK = ["--max-size", "96", "--no-viewer", "--device", "cpu"]


def train(out: Path, *options: str) -> int:
    return main(["train", str(demo_path()), "--out", str(out), *options])


def written(out: Path, name: str) -> dict[str, Any]:
    return json.loads((out / name).read_text())


def test_a_run_of_a_given_time_says_what_became_of_it_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert train(tmp_path, *QUICK, "--time", "4s", "--eval-every", "10") == DONE
    said = capsys.readouterr().err
    assert "preset draft, 4 s: steps about " in said
    assert "/4 s  loss" in said
    config, metrics = written(tmp_path, "config.json"), written(tmp_path, "metrics.json")
    settings = config["train"]
    assert settings["time"] == 4
    assert isinstance(settings["coarse_to_fine"], bool)
    assert settings["expected_steps"] >= 500
    assert config["preset"]["decided"] == ["steps", "max_splats"]
    assert 0.5 * 4 <= metrics["elapsed_seconds"] <= BUSY * 4
    assert metrics["train_seconds"] < metrics["elapsed_seconds"]
    assert metrics["time"] == 4
    assert metrics["splats"] <= settings["max_splats"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    elapsed = [line["elapsed"] for line in lines]
    assert elapsed == sorted(elapsed)
    assert elapsed[-1] == metrics["elapsed_seconds"]

    assert train(tmp_path, "--resume", "--no-viewer") == DONE
    assert written(tmp_path, "metrics.json")["step"] == metrics["step"]
    assert train(tmp_path, "--resume", "--no-viewer", "--time", "5") == DONE
    again = written(tmp_path, "metrics.json")
    assert again["step"] > metrics["step"]
    assert metrics["elapsed_seconds"] < again["elapsed_seconds"] <= BUSY * 5
    assert written(tmp_path, "config.json")["train"] == {**settings, "time": 5.0}


def test_steps_and_splats_beside_a_time_are_the_most(tmp_path: Path):
    options = ["--time", "1h", "--steps", "5", "--max-splats", "700"]
    assert train(tmp_path, *QUICK, *options) == DONE
    metrics = written(tmp_path, "metrics.json")
    assert metrics["step"] == 5
    assert metrics["splats"] <= 700
    assert train(tmp_path, "--resume", "--no-viewer", "--steps", "7") == DONE
    assert written(tmp_path, "metrics.json")["step"] == 7
    assert written(tmp_path, "config.json")["train"]["time"] == 3600


@pytest.mark.parametrize("text", ["0", "-5m", "5 minutes", "nan", "soon"])
def test_a_duration_that_is_none_is_refused(text: str, capsys: pytest.CaptureFixture[str]):
    assert main(["train", str(demo_path()), f"--time={text}"]) == BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--time: must be a time above zero such as 90s, 5m or 1.5h, not {text}" in line


def test_coarse_to_fine_can_be_asked_for_and_declined():
    found = {words: parse(["train", "x", *words]).config.coarse_to_fine for words in CHOICES}
    assert found == CHOICES


CHOICES = {(): None, ("--coarse-to-fine",): True, ("--time", "1m", "--no-coarse-to-fine"): False}
