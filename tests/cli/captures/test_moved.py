"""Captures that have moved: they are known by their photos' content, wherever they lie."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from colmap_files import ring, write_binary, write_capture

from gaborsplat.cli import BAD_INPUT, DONE, main
from gaborsplat.commands.view import ViewCommand

QUICK = ["--steps", "20", "--max-splats", "100", "--no-viewer", "--gabor", "0"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of runs/ whose capture has moved from `scene` to `moved/elsewhere`."""
    monkeypatch.chdir(tmp_path)
    write_capture(ring(), tmp_path / "scene")
    for i, path in enumerate(sorted((tmp_path / "scene" / "images").iterdir())):
        image = np.random.default_rng(i).integers(0, 256, (48, 64, 3), np.uint8)
        assert cv2.imwrite(str(path), image)
    assert main(["train", "scene", *QUICK]) == DONE
    (tmp_path / "moved").mkdir()
    (tmp_path / "scene").rename(tmp_path / "moved" / "elsewhere")
    (run,) = (tmp_path / "runs").iterdir()
    return run.relative_to(tmp_path)


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(words) == BAD_INPUT
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


MOVED = "moved/elsewhere"


def test_eval_takes_the_place_where_the_capture_is_now(
    run: Path, capsys: pytest.CaptureFixture[str]
):
    said = refused(["eval", str(run)], capsys)
    assert "is not there any more; say with --scene PATH where it is" in said
    assert main(["eval", str(run), "--scene", MOVED]) == DONE


def test_view_and_render_take_it_too(run: Path, capsys: pytest.CaptureFixture[str]):
    with ViewCommand(run, port=0, scene=Path(MOVED)).served():
        pass
    assert "without the photos" not in capsys.readouterr().err
    frames = ["--path", "cameras", "--seconds", "0.1", "--size", "16x16"]
    assert main(["render", str(run), "-o", "frames", *frames]) == BAD_INPUT
    assert "say with --scene PATH where it is" in capsys.readouterr().err
    assert main(["render", str(run), "-o", "frames", *frames, "--scene", MOVED]) == DONE
    splats = str(run / "splats.ply")
    assert "--scene: goes with a run folder" in refused(
        ["render", splats, "-o", "b", "--scene", MOVED], capsys
    )


@pytest.mark.parametrize(
    "words",
    [
        [MOVED, "--resume", "--out", "{run}"],
        ["--resume", "--out", "{run}", "--scene", MOVED],
        ["scene", "--resume", "--scene", MOVED],  # by the name that it had
        ["--resume", "--scene", MOVED],  # by its photos
        [MOVED, "--resume"],
    ],
)
def test_training_goes_on_where_the_capture_is_now(run: Path, words: list[str]):
    command = ["train", *(word.format(run=run) for word in words)]
    assert main([*command, "--steps", "25", "--no-viewer"]) == DONE
    assert json.loads((run / "metrics.json").read_text())["step"] == 25
    assert Path(json.loads((run / "config.json").read_text())["scene"]) == Path(MOVED).resolve()
    assert main(["eval", str(run)]) == DONE  # it knows now


def test_without_scene_training_goes_on_where_the_run_left_it(run: Path):
    Path(MOVED).rename("scene")
    assert main(["train", "--resume", "--out", str(run), "--steps", "25", "--no-viewer"]) == DONE


def test_photos_are_known_by_content_in_another_folder_and_format_of_name(run: Path):
    Path(MOVED, "images").rename(Path(MOVED, "photos"))
    for path in Path(MOVED, "photos").iterdir():
        path.rename(path.with_suffix(".PNG"))
    assert main(["eval", str(run), "--scene", MOVED]) == DONE


def test_another_capture_is_refused(run: Path, capsys: pytest.CaptureFixture[str]):
    write_capture(ring(), Path("other"))  # the same model and names, but other photos
    said = refused(["eval", str(run), "--scene", "other"], capsys)
    assert f"other: not the capture that {run} was trained on: only 0 of its 9 photos" in said
    words = ["train", "other", "--resume", "--out", str(run), "--no-viewer"]
    assert "only 0 of its 9 photos are the same" in refused(words, capsys)
    shutil.copytree(MOVED, "scene")  # the same photos, but another model
    scene = ring()
    scene.xyz[0] += 1
    write_binary(scene, Path("scene/sparse/0"))
    assert "its model is another one" in refused(["eval", str(run)], capsys)


def test_a_photo_that_has_changed_is_said(run: Path, capsys: pytest.CaptureFixture[str]):
    path = Path(MOVED, "images", "0003.png")
    assert cv2.imwrite(str(path), np.zeros((48, 64, 3), np.uint8))
    assert main(["eval", str(run), "--scene", MOVED]) == DONE
    assert "note: 0003.png: has other content than when training began" in capsys.readouterr().err


def test_a_run_by_an_older_version_is_known_by_the_hash_that_it_has(
    run: Path, capsys: pytest.CaptureFixture[str]
):
    config = json.loads((run / "config.json").read_text())
    del config["photos"], config["model"]
    (run / "config.json").write_text(json.dumps(config))
    assert main(["eval", str(run), "--scene", MOVED]) == DONE
    Path(MOVED, "images", "0003.png").unlink()
    assert "it is another one, or has changed" in refused(
        ["eval", str(run), "--scene", MOVED], capsys
    )


def test_scene_without_resume_is_refused(run: Path, capsys: pytest.CaptureFixture[str]):
    said = refused(["train", MOVED, "--scene", "x", "--no-viewer"], capsys)
    assert "--scene goes with --resume" in said


def masks_of(folder: Path, *, count: int = 9) -> None:
    folder.mkdir()
    half = np.zeros((48, 64), np.uint8)
    half[:, :32] = 255
    for i in range(1, count + 1):
        assert cv2.imwrite(str(folder / f"{i:04d}.png.png"), half)


@pytest.mark.parametrize("named", [False, True])
def test_masks_go_with_a_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    named: bool,
):
    monkeypatch.chdir(tmp_path)
    folder = Path("scene", "people" if named else "masks")
    write_capture(ring(), Path("scene"))
    masks_of(folder)
    words = ["--masks", "people"] if named else []
    assert main(["train", "scene", "--out", "run", *QUICK, *words]) == DONE
    assert "masks of 9 of 9 photos" in capsys.readouterr().err
    before = json.loads(Path("run", "metrics.json").read_text())["test"]
    error = cv2.imread("run/test/0001.png.png")[:, 128:]
    black = error[0, -1]  # the right half is masked out
    assert (error[:, 32:] == black).all()
    assert (error[:, :32] != black).any()
    Path("scene").rename("elsewhere")
    assert main(["eval", "run", "--scene", "elsewhere"]) == DONE
    after = json.loads(Path("run", "metrics.json").read_text())["test"]
    assert after["psnr"] == pytest.approx(before["psnr"], abs=1e-4)
    resume = ["--resume", "--out", "run", "--steps", "25", "--no-viewer"]
    assert main(["train", "elsewhere", *resume]) == DONE
    assert json.loads(Path("run", "config.json").read_text())["masks"] == (words[1:] or [None])[0]
    capsys.readouterr()
    shutil.rmtree(Path("elsewhere", folder.name))
    code = main(["eval", "run", "--scene", "elsewhere"])
    said = capsys.readouterr().err
    if named:
        assert code == BAD_INPUT
        assert "no such folder of masks" in said
    else:
        assert "0 photos have masks now, and 9 had when training began" in said
