"""`--preset` on the command line, in the run folder, and in what doctor says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gaborsplat.cli import BAD_INPUT, DONE, main, parse
from gaborsplat.commands.train import TrainCommand
from gaborsplat.renderer.training.cost import memory
from gaborsplat.scenes import demo_path

SMALL = ["--max-size", "64", "--steps", "3", "--no-viewer", "--device", "cpu"]


def train(out: Path, *options: str) -> int:
    return main(["train", str(demo_path()), "--out", str(out), *options])


def config(out: Path) -> dict[str, Any]:
    return json.loads((out / "config.json").read_text())


def test_the_run_folder_says_what_was_chosen_and_by_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert train(tmp_path, *SMALL) == DONE
    written = config(tmp_path)
    assert written["train"]["max_splats"] == 30_000
    assert written["preset"] == {
        "asked": "auto",
        "taken": "draft",
        "decided": ["max_splats"],
        "lowered": False,
    }
    assert "preset draft: max_splats 30000" in capsys.readouterr().err


def test_what_is_typed_goes_over_the_preset_and_a_resumed_run_keeps_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    typed = ["--preset", "standard", "--max-splats", "30000", *SMALL]
    assert train(tmp_path, *typed) == DONE
    first = config(tmp_path)
    assert (first["max_size"], first["train"]["max_splats"]) == (64, 30_000)
    assert first["preset"]["decided"] == []
    capsys.readouterr()

    resume = ["--resume", "--no-viewer", "--steps", "4"]
    assert train(tmp_path, *resume, "--preset", "high") == BAD_INPUT
    assert "--preset: must be standard, which" in capsys.readouterr().err
    assert train(tmp_path, *resume) == DONE
    again = config(tmp_path)
    assert again["train"] == {**first["train"], "steps": 4}
    assert (again["preset"], again["max_size"]) == (first["preset"], 64)


def test_runs_that_know_of_no_preset_go_on(tmp_path: Path):
    assert train(tmp_path, *SMALL, "--max-splats", "500") == DONE
    written = config(tmp_path)
    del written["preset"]
    (tmp_path / "config.json").write_text(json.dumps(written))
    assert train(tmp_path, "--resume", "--no-viewer", "--steps", "4") == DONE
    assert config(tmp_path)["train"]["max_splats"] == 500


def test_splats_without_memory_are_refused_before_the_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(memory, "free_memory", lambda _: 20_000_000)
    out = tmp_path / "out"
    assert train(out, *SMALL, "--max-splats", "100000") == BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert "max_splats must be at most" in line
    assert not out.exists()

    assert train(out, *SMALL, "--preset", "high") == DONE
    assert "note: at most" in caplog.text
    written = config(out)
    assert written["preset"]["lowered"]
    assert 1000 < written["train"]["max_splats"] < 30_000


def test_the_demo_keeps_its_own_settings(monkeypatch: pytest.MonkeyPatch):
    ran: list[TrainCommand] = []
    monkeypatch.setattr(TrainCommand, "run", lambda command: ran.append(command))
    assert main(["demo"]) == DONE
    (command,) = ran
    assert command.preset == "draft"
    assert (command.config.steps, command.config.not_given()) == (1000, ["max_splats"])


def test_a_number_that_is_typed_is_known_from_one_that_is_not():
    typed = parse(["train", "x", "--steps", "2000"])
    assert typed.config.not_given() == ["max_splats"]
    assert parse(["train", "x"]).config.not_given() == ["steps", "max_splats"]


def test_doctor_says_what_every_preset_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("gaborsplat.commands.doctor.free_memory", lambda _: 5_000_000_000)
    assert main(["doctor", str(demo_path()), "--no-trial", "--device", "cpu"]) == DONE
    said = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in said.splitlines() if "px " in line}
    assert [rows[name][1:5] for name in ("draft", "standard", "high")] == [
        ["2,000", "30,000", "645", "px"],
        ["30,000", "1,000,000", "645", "px"],
        ["30,000", "3,000,000", "645", "px"],
    ]
    assert [rows[name][5] for name in rows] == ["-", "-", "-"]
    assert rows["draft"][-1] == rows["standard"][-1] == "yes"
    assert "no, 2," in said
    assert "auto takes  draft" in said
