"""Photos without a model: what to type, and COLMAP run on them without touching their folder."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from gaborsplat.cli import BAD_INPUT, DONE, main
from gaborsplat.run_folder import RunFolder
from gaborsplat.scenes import InputError, demo_path, load_capture, sources
from gaborsplat.scenes.sfm import running
from gaborsplat.scenes.sfm.running import FEATURES, MATCHES, POSES, photo_folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where models are kept, in this test."""
    monkeypatch.setenv("GABORSPLAT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sfm"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five photos of the demo in a folder of their own, small, with a space in their names."""
    folder = tmp_path / "my photos"
    folder.mkdir()
    for path in sorted((demo_path() / "images").iterdir())[3:8]:
        photo = cv2.imread(str(path))
        assert photo is not None
        cv2.imwrite(str(folder / f"a {path.stem}.png"), cv2.resize(photo, (324, 484)))
    return folder


def files_of(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_photos_without_a_model_say_what_to_type(photos: Path):
    with pytest.raises(InputError) as error:
        load_capture(photos)
    line = str(error.value)
    assert "\n" not in line
    assert "no COLMAP model" in line
    assert f"5 photos: gaborsplat train '{photos}' --sfm" in line
    assert "pip install pycolmap" in line
    assert f"colmap automatic_reconstructor --workspace_path '{photos}'" in line


def test_an_empty_folder_is_told_where_a_model_was_looked_for(tmp_path: Path):
    with pytest.raises(InputError, match="no cameras and images"):
        load_capture(tmp_path, sfm=True)


def test_without_pycolmap_it_is_asked_for(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="5 photos needs COLMAP; pip install pycolmap"):
        load_capture(photos, sfm=True)
    assert not cache.exists()


def test_photos_are_found_where_people_put_them(tmp_path: Path):
    others = ("input/.hidden/c.png", "input/notes.txt", "input/masks/b.png", "input/depth/a.png")
    for name in ("input/b.JPG", "input/sub/a.png", *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert photo_folder(tmp_path) == (tmp_path / "input", ["b.JPG", "sub/a.png"])


def test_a_model_is_not_made_where_there_is_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(running, "reconstruct", lambda *_: pytest.fail("ran COLMAP"))
    assert len(load_capture(demo_path(), sfm=True).views) == 12


def test_what_colmap_logs_is_its_progress():
    heard: list[tuple[str, int, int]] = []
    for line in (
        "I20261127 17:40:28.832094 1403 feature_extraction.cc:270] Processed file [3/5]",
        "I20261127 17:40:34.711438 1403 pairing.cc:214] Processing block [2/2, 1/2]",
        "I20261127 17:40:34.711438 1403 pairing.cc:397] Processing image [7/900]",
        "I20261127 17:40:47.328 1403 p.cc:620] Registering image #3 (num_reg_frames=2)",
        "I20261127 17:40:47.328 1403 p.cc:623] => Image sees 303 / 4469 points",
    ):
        running._tell(line, 16, lambda *told: heard.append(told))
    assert heard == [(FEATURES, 3, 5), (MATCHES, 8, 16), (MATCHES, 7, 900), (POSES, 2, 16)]


def test_photos_that_cannot_be_read_are_not_given_to_colmap(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    (photos / "a broken.jpg").write_bytes(b"")
    given: list[str] = []

    def refuse(photos: Path, names: list[str], folder: Path, report: object) -> None:
        given.extend(names)
        raise InputError("stop here")

    monkeypatch.setattr(sources, "reconstruct", refuse)
    with pytest.raises(InputError, match="stop here"):
        load_capture(photos, sfm=True)
    assert len(given) == 5
    assert "a broken.jpg" not in given


@pytest.mark.slow
def test_colmap_makes_a_model_once_and_never_among_the_photos(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    before = files_of(photos)
    heard: list[tuple[str, int, int]] = []
    capture = load_capture(photos, sfm=True, sfm_progress=lambda *told: heard.append(told))
    assert files_of(photos) == before
    assert len(capture.views) == 5
    assert len(capture.points) > 100
    assert {doing for doing, _, _ in heard} == {FEATURES, MATCHES, POSES}
    assert all(0 <= done <= total == 5 for _, done, total in heard)
    assert {path.name for path in cache.rglob("*.*")} >= {"cameras.bin", "images.bin"}
    assert not list(cache.rglob("*.db")) + list(cache.rglob("*.part"))
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("ran COLMAP again"))
    again = load_capture(photos, sfm=True)
    assert again.digest() == capture.digest()


@pytest.mark.slow
def test_a_run_keeps_its_model_and_finds_it_when_the_cache_is_gone(
    photos: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    words = ["train", str(photos), "--out", str(out), "--no-viewer", "--max-size", "80"]
    words += ["--device", "cpu", "--gabor", "0"]
    assert main([*words, "--sfm", "--steps", "3"]) == DONE
    assert "COLMAP: finding features 0/5" in capsys.readouterr().err
    cache.rename(tmp_path / "gone")
    assert main(["eval", str(out), "--device", "cpu"]) == DONE
    assert main([*words, "--resume", "--steps", "5"]) == DONE
    assert len(RunFolder(out).capture().views) == 5
    assert not cache.exists()


@pytest.mark.slow
def test_photos_that_show_nothing_in_common_are_refused(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "noise"
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), random.integers(0, 255, (120, 160, 3), np.uint8))
    assert main(["doctor", str(folder), "--sfm", "--device", "cpu"]) == 1
    assert "could not join its 3 photos" in capsys.readouterr().out
    assert not list(cache.iterdir())


@pytest.mark.parametrize("fault", ["raises", "aborts"])
def test_when_colmap_fails_its_own_words_are_told(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, fault: str
):
    script = {
        "raises": "import sys; sys.exit('RuntimeError: out of luck')",
        "aborts": (
            "import os, sys; print('E20261127 17:40:08.8 1403 a.cc:1] Check failed', "
            "file=sys.stderr, flush=True); os.abort()"
        ),
    }[fault]
    real = subprocess.Popen

    def other(words: list[str], **options: Any) -> Any:
        return real([words[0], "-c", script], **options)

    monkeypatch.setattr(subprocess, "Popen", other)
    with pytest.raises(InputError) as error:
        load_capture(photos, sfm=True)
    said = "RuntimeError: out of luck" if fault == "raises" else "a.cc:1] Check failed"
    assert str(error.value) == f"{photos}: COLMAP failed: {said}"
    assert not list(cache.iterdir())


def test_the_command_says_what_to_type(photos: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["train", str(photos)]) == BAD_INPUT
    assert "--sfm" in capsys.readouterr().err
