"""`--sh-degree auto` on the command line and in the run folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gaborsplat.cli import BAD_INPUT, DONE, main
from gaborsplat.run_folder import RunFolder
from gaborsplat.scenes import demo_path

SMALL = ["--max-size", "64", "--steps", "3", "--max-splats", "300", "--no-viewer"]


def train(out: Path, *options: str) -> int:
    return main(["train", str(demo_path()), "--out", str(out), "--device", "cpu", *options])


def config(out: Path) -> dict[str, Any]:
    return json.loads((out / "config.json").read_text())


def test_the_run_folder_holds_the_degree_and_that_nobody_gave_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert train(tmp_path, *SMALL) == DONE
    line = "sh_degree 3: a splat is seen by 10 photos, 3 degrees apart, in 92 pixels"
    assert line in capsys.readouterr().err.splitlines()
    written = config(tmp_path)
    assert (written["train"]["sh_degree"], written["sh_degree_asked"]) == (3, "auto")

    assert train(tmp_path, "--resume", "--steps", "5", "--no-viewer") == DONE
    assert "sh_degree" not in capsys.readouterr().err
    again = config(tmp_path)
    assert again["train"] == {**written["train"], "steps": 5}
    assert again["sh_degree_asked"] == "auto"
    assert train(tmp_path, "--resume", "--sh-degree", "1", "--no-viewer") == BAD_INPUT
    assert "sh_degree = 3, not 1" in capsys.readouterr().err


def test_a_run_that_was_given_its_degree_keeps_it_when_auto_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert train(tmp_path, *SMALL, "--sh-degree", "1") == DONE
    assert "sh_degree" not in capsys.readouterr().err
    assert config(tmp_path)["sh_degree_asked"] == 1
    assert train(tmp_path, "--resume", "--sh-degree", "auto", "--steps", "5", "--no-viewer") == DONE
    assert config(tmp_path)["train"]["sh_degree"] == 1
    assert RunFolder(tmp_path).train_config().sh_degree == 1


def test_another_degree_than_there_are_is_refused(capsys: pytest.CaptureFixture[str]):
    for wrong in ("4", "-1", "best"):
        assert main(["train", str(demo_path()), "--sh-degree", wrong]) == BAD_INPUT
        assert "--sh-degree" in capsys.readouterr().err
