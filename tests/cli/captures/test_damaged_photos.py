"""Commands on captures with bad photos and hostile names: they do what can be done, and say so."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from colmap_files import ring, write_binary, write_capture, write_photos

import gaborsplat as gs
from gaborsplat.cli import BAD_INPUT, DONE, FAILED, main
from gaborsplat.renderer.training import Trainer
from gaborsplat.run_folder import RunFolder

QUICK = ["--steps", "20", "--max-splats", "100", "--no-viewer", "--gabor", "0"]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A small capture with photos 0001.png to 0009.png, of which the ends are for testing."""
    return write_capture(ring(), tmp_path / "scene")


def train(capture: Path, out: Path, *options: str) -> int:
    return main(["train", str(capture), "--out", str(out), *QUICK, *options])


def cut(path: Path) -> bytes:
    """Cuts a photo short, so that only decoding it tells; returns what it was."""
    whole = path.read_bytes()
    path.write_bytes(whole[: int(0.7 * len(whole))])
    return whole


def test_doctor_decodes_every_photo_and_names_the_bad_ones(
    capture: Path, capsys: pytest.CaptureFixture[str]
):
    cut(capture / "images" / "0004.png")
    (capture / "images" / "0006.png").unlink()
    assert main(["doctor", str(capture), "--no-trial"]) == DONE
    said = capsys.readouterr().out
    assert "5 to train on, 2 to test" in said
    assert "repaired: left out 0006.png: no such photo in" in said
    assert "repaired: left out 0004.png: " in said
    assert "0004.png: cannot be decoded: the file is damaged" in said


def test_doctor_says_that_too_many_are_bad(capture: Path, capsys: pytest.CaptureFixture[str]):
    for i in range(1, 6):
        cut(capture / "images" / f"{i:04d}.png")
    assert main(["doctor", str(capture), "--no-trial"]) == FAILED
    assert "cannot train: " in (said := capsys.readouterr().out)
    assert "5 of 9 photos of the model are missing or cannot be used, and 5 are needed" in said


@pytest.mark.parametrize("bad", ["0002.png", "0001.png"])
def test_a_photo_that_turns_out_to_be_damaged_never_costs_the_result(
    capture: Path, tmp_path: Path, bad: str, capsys: pytest.CaptureFixture[str]
):
    cut(capture / "images" / bad)
    out = tmp_path / "out"
    assert train(capture, out, "--eval-every", "5") == DONE
    assert len(gs.load_splats(out / "splats.ply")) > 0
    tested = set(json.loads((out / "metrics.json").read_text())["per_image"])
    assert tested == {"0001.png", "0009.png"} - {bad}
    assert main(["eval", str(out)]) == DONE
    assert "Traceback" not in capsys.readouterr().err


def test_a_damaged_photo_is_told_once(
    capture: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    for bad in ("0001.png", "0002.png"):
        cut(capture / "images" / bad)
    assert train(capture, tmp_path / "out", "--eval-every", "5") == DONE
    told = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert sorted(line[:25] for line in told) == [
        "note: left out 0001.png: ",
        "note: left out 0002.png: ",
    ]


def test_a_run_goes_on_after_its_photos_were_repaired(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    images, out = capture / "images", tmp_path / "out"
    whole = {path: cut(path) for path in sorted(images.iterdir())[1:6]}
    missing = (images / "0007.png").read_bytes()
    (images / "0007.png").unlink()
    assert train(capture, out) == BAD_INPUT
    said = capsys.readouterr().err
    assert "photos to train on cannot be read any more" in said
    assert "put them right and resume" in said
    for path, content in whole.items():
        path.write_bytes(content)
    (images / "0007.png").write_bytes(missing)
    assert main(["train", str(capture), "--resume", "--out", str(out), "--no-viewer"]) == DONE
    assert json.loads((out / "metrics.json").read_text())["step"] == 20
    assert len(json.loads((out / "config.json").read_text())["split"]["train"]) == 7


def test_a_finished_run_goes_on_without_a_photo_that_is_gone(capture: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert train(capture, out) == DONE
    (capture / "images" / "0003.png").unlink()
    resume = ["train", str(capture), "--resume", "--out", str(out), "--no-viewer", "--steps", "25"]
    assert main(resume) == DONE
    assert main(["eval", str(out)]) == DONE


def nothing(out: Path) -> None:
    out.mkdir()


def settings_alone(out: Path) -> None:
    for name in ("checkpoints", "test"):
        shutil.rmtree(out / name)
    (out / "splats.ply").unlink()


def half_a_config(out: Path) -> None:
    settings_alone(out)
    (out / "config.json").write_text("{")


@pytest.mark.parametrize("leave", [nothing, settings_alone, half_a_config])
@pytest.mark.parametrize("resume", [True, False])
def test_an_empty_or_half_made_run_folder_is_no_obstacle(
    capture: Path, tmp_path: Path, leave: Callable[[Path], None], resume: bool
):
    out = tmp_path / "out"
    if leave is not nothing:
        assert train(capture, out) == DONE
    leave(out)
    assert train(capture, out, *(["--resume"] if resume else [])) == DONE
    assert json.loads((out / "metrics.json").read_text())["step"] == 20
    assert train(capture, out) == BAD_INPUT  # now there is something to lose


def test_two_trainings_never_write_into_one_folder(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    with RunFolder(out).claimed():
        assert train(capture, out) == BAD_INPUT
        assert f"process {os.getpid()} on" in capsys.readouterr().err
        assert not [path for path in out.iterdir() if not path.name.startswith(".")]
    assert train(capture, out) == DONE


# Names.

HOSTILE = (
    "{images}/0001.png",
    "../images/0002.png",
    "..\\images\\0003.png",
    "../../../0004.png",
    "C:\\photos\\0005.png",
    "a\x1b[31m\nb/0006.png",
    "aux/0007.png",
    "x" * 240 + "/0008.png",
    "写真 é/0009.png",
    "./../images/0010.png",
)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("first", range(len(HOSTILE) - 2))
def test_nothing_outside_the_run_folder_is_ever_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
):
    """Whatever the model's names are: every one is that of a test view in one of these runs."""
    place = tmp_path / "a" / "b"
    scene, out = place / "scene", place / "runs" / "out"
    write_photos(ring(len(HOSTILE)), scene / "images")
    model = ring(len(HOSTILE))
    for view, name in zip(sorted(model.views, key=lambda view: view.name), HOSTILE, strict=True):
        view.name = name.format(images=scene / "images")
    ordered = sorted(view.name for view in model.views)
    # Sorted by name, the first and the ninth are test views: some go, so that each is one.
    model.views = [view for view in model.views if view.name >= ordered[first]]
    write_binary(model, scene / "sparse" / "0")
    monkeypatch.chdir(place)
    before = contents(tmp_path)
    assert train(scene, out, "--eval-every", "10") == DONE
    assert main(["eval", str(out)]) == DONE
    frames = ["--path", "cameras", "--seconds", "0.1", "--size", "16x16"]
    assert main(["render", str(out), "-o", str(place / "frames"), *frames]) == DONE
    after = contents(tmp_path)
    assert {path: after.get(path) for path in before} == before
    new = [path for path in after if path not in before]
    inside = (out.resolve(), (place / "frames").resolve())
    assert all(any(path.resolve().is_relative_to(each) for each in inside) for path in new)
    tested = json.loads((out / "metrics.json").read_text())["per_image"]
    pictures = {path for path in (out / "test").rglob("*") if path.is_file()}
    assert pictures == {out / "test" / f"{name}.png" for name in tested}
    assert pictures
    assert all(cv2.imread(str(path)) is not None for path in pictures)


def test_a_trainer_of_such_a_capture_names_its_views_alike(tmp_path: Path):
    scene = ring()
    write_photos(scene, tmp_path / "images")
    for view in scene.views:
        view.name = f"../../images/{view.name}"
    write_binary(scene, tmp_path / "sparse" / "0")
    capture = gs.load_capture(tmp_path)
    report = Trainer(capture, gs.TrainConfig(steps=5, max_splats=50)).step()
    assert report.view in {view.name for view in capture.train}


def test_a_test_photo_that_is_damaged_never_costs_an_export(capture: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert train(capture, out, "--gabor", "1") == DONE
    for bad in ("0001.png", "0009.png"):
        cut(capture / "images" / bad)
        words = ["export", str(out), "-o", str(tmp_path / f"{bad}.ply"), "--bake", "--verify"]
        assert main(words) == DONE
