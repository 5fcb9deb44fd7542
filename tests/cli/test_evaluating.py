"""`eval` with other antialiasing than the run was trained with."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from colmap_files import ring, write_capture

from gaborsplat.cli import DONE, main


@pytest.fixture(params=[False, True], ids=["plain", "antialiased"])
def run(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, bool]:
    """A run, and whether it was trained with antialiasing."""
    monkeypatch.chdir(tmp_path)
    write_capture(ring(), Path("scene"))
    for i, path in enumerate(sorted(Path("scene", "images").iterdir())):
        image = np.random.default_rng(i).integers(0, 256, (48, 64, 3), np.uint8)
        assert cv2.imwrite(str(path), image)
    words = ["--steps", "20", "--max-splats", "100", "--no-viewer", "--gabor", "0"]
    words += ["--antialiased"] * request.param
    assert main(["train", "scene", "--out", "run", *words]) == DONE
    return Path("run"), request.param


def evaluated(folder: Path, *words: str) -> tuple[dict[str, object], bytes]:
    """The metrics, and a comparison picture."""
    assert main(["eval", str(folder), "--device", "cpu", *words]) == DONE
    picture = min((folder / "test").iterdir())
    return json.loads((folder / "metrics.json").read_text()), picture.read_bytes()


def test_what_overrules_a_run_changes_the_pictures_and_is_told(
    run: tuple[Path, bool], capsys: pytest.CaptureFixture[str]
):
    folder, trained_with = run
    as_trained, other = "--antialiased", "--no-antialiased"
    if not trained_with:
        as_trained, other = other, as_trained
    plain = evaluated(folder)
    capsys.readouterr()
    assert evaluated(folder, as_trained) == plain
    assert "antialiasing" not in capsys.readouterr().out

    metrics, picture = evaluated(folder, other)
    used, trained = ("without", "with") if trained_with else ("with", "without")
    told = f"Rendered {used} antialiasing; the run was trained {trained}."
    assert told in capsys.readouterr().out
    assert metrics["antialiased"] is not trained_with
    assert metrics["test"] != plain[0]["test"]
    assert picture != plain[1]

    assert evaluated(folder) == plain  # nothing stays of it
    assert "antialiased" not in plain[0]
