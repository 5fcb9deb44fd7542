"""Whatever is wrong with what a user gives: one line, exit 2, nothing written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import gaborsplat as gs
from gaborsplat.cli import BAD_INPUT, DONE, FAILED, main
from gaborsplat.scenes import demo_path


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A copy of the demo capture that a test may damage."""
    return Path(shutil.copytree(demo_path(), tmp_path / "capture"))


@pytest.fixture
def splats(tmp_path: Path) -> Path:
    """A sound splat file that a test may damage."""
    cloud = gs.Splats(
        means=torch.rand(50, 3),
        quats=torch.randn(50, 4),
        scales=torch.rand(50, 3) + 0.1,
        opacities=torch.rand(50),
        sh=torch.randn(50, 16, 3),
        frequencies=torch.randn(50, 2, 3),
        coefficients=torch.randn(50, 2, 2),
    )
    gs.save_splats(cloud, tmp_path / "sound.ply")
    return tmp_path / "sound.ply"


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command is refused with."""
    capsys.readouterr()
    assert main(words) == BAD_INPUT
    line = capsys.readouterr().err
    assert line.startswith("gaborsplat: ")
    assert line.endswith("\n")
    assert line.count("\n") == 1
    return line


def no_model(capture: Path) -> None:
    shutil.rmtree(capture / "sparse")


def truncated(capture: Path) -> None:
    path = capture / "sparse" / "0" / "images.bin"
    path.write_bytes(path.read_bytes()[:-20])


def unknown_camera_model(capture: Path) -> None:
    path = capture / "sparse" / "0" / "cameras.bin"
    content = bytearray(path.read_bytes())
    content[12:16] = (42).to_bytes(4, "little")
    path.write_bytes(bytes(content))


def most_photos(capture: Path) -> list[Path]:
    return sorted((capture / "images").iterdir())[:7]


def photos_missing(capture: Path) -> None:
    for path in most_photos(capture):
        path.unlink()


def photos_empty(capture: Path) -> None:
    for path in most_photos(capture):
        path.write_bytes(b"")


def wrong_photo_size(capture: Path) -> None:
    photo = np.zeros((100, 300, 3), np.uint8)
    for path in most_photos(capture):
        assert cv2.imwrite(str(path), photo)


DAMAGES: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "no model": (no_model, ("capture", "sparse")),
    "truncated model": (truncated, ("images.bin",)),
    "unknown camera model": (unknown_camera_model, ("cameras.bin", "42")),
    "photos missing": (photos_missing, ("7 of 12", "DSC_0001.JPG", "--images")),
    "photos empty": (photos_empty, ("7 of 12", "DSC_0001.JPG", "empty")),
    "photos of another size": (wrong_photo_size, ("7 of 12", "DSC_0001.JPG", "300", "100")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_capture_is_refused(
    capture: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
):
    break_it, facts = DAMAGES[damage]
    break_it(capture)
    out = tmp_path / "out"
    line = refused(["train", str(capture), "--out", str(out), "--no-viewer"], capsys)
    for fact in facts:
        assert fact in line
    assert not out.exists()


def test_a_missing_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    for command in ("train", "view", "eval"):
        assert "nowhere: no such" in refused([command, "nowhere"], capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["render", "a.ply", "-o", "out", "--fps", "0"], "--fps must be between 1 and 240, not 0"),
        (["render", "a.ply", "-o", "out", "--show", "rgb", "rgb"], "--show must name each thing"),
        (["train", "a", "--ssim-weight", "7"], "ssim_weight must be between"),
        (["demo", "--device", "tpu"], "--device"),
        (["view", "a.ply", "--antialiased", "--no-antialiased"], "--antialiased and"),
        (["eval", "a", "--antialiased", "--no-antialiased"], "--antialiased and"),
        (["export", "a.ply", "-o", "b.ply", "--min-opacity", "9"], "--min-opacity"),
        (["eval", "a", "--scene"], "Missing value for argument '--scene'"),
        (["doctor", "--device", "tpu"], "invalid choice 'tpu' for argument '--device'"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else None,
)
def test_a_broken_rule_is_told_by_its_option_and_by_no_name_of_ours(
    words: list[str],
    rule: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    line = refused(words, capsys)
    assert rule in line
    assert "Error parsing" not in line
    assert "Command" not in line
    assert not list(tmp_path.iterdir())


def test_too_few_views_are_refused(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.rmtree(capture / "sparse")
    (capture / "sparse").mkdir()
    (capture / "sparse" / "cameras.txt").write_text("1 PINHOLE 432 645 800 800 216 322\n")
    rows = "".join(f"{i} 1 0 0 0 {i} 0 0 1 DSC_000{i}.JPG\n\n" for i in (1, 2))
    (capture / "sparse" / "images.txt").write_text(rows)
    (capture / "sparse" / "points3D.txt").write_text("1 0 0 5 9 9 9 0.1\n")
    line = refused(["train", str(capture), "--out", str(tmp_path / "out")], capsys)
    assert "2 usable images" in line
    assert "3" in line
    assert not (tmp_path / "out").exists()


def cut_in_half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def with_nan(content: bytes) -> bytes:
    start = content.index(b"end_header\n") + len(b"end_header\n")
    return content[:start] + np.float32(np.nan).tobytes() + content[start + 4 :]


def all_nan(content: bytes) -> bytes:
    start = content.index(b"end_header\n") + len(b"end_header\n")
    return content[:start] + np.float32(np.nan).tobytes() * ((len(content) - start) // 4)


def without_opacity(content: bytes) -> bytes:
    return content.replace(b"property float opacity\n", b"property float obscurity\n")


def test_what_cannot_be_shown_is_left_out_of_an_export_and_said(
    splats: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    splats.write_bytes(with_nan(splats.read_bytes()))
    assert main(["export", str(splats), "-o", str(tmp_path / "a.ply")]) == DONE
    assert "1 of 50 splats dropped: 1 with a position that is not finite" in caplog.text
    assert len(gs.load_splats(tmp_path / "a.ply")) == 49


@pytest.mark.parametrize(
    ("damage", "facts"),
    [
        (cut_in_half, ("bytes",)),
        (all_nan, ("no splat can be shown", "50 with a position that is not finite")),
        (without_opacity, ("opacity",)),
    ],
)
@pytest.mark.parametrize("command", ["view", "export", "render"])
def test_a_damaged_ply_is_refused(
    splats: Path,
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
    facts: tuple[str, ...],
    command: str,
    capsys: pytest.CaptureFixture[str],
):
    broken = tmp_path / "broken.ply"
    broken.write_bytes(damage(splats.read_bytes()))
    target = tmp_path / "copy.ply" if command == "export" else tmp_path / "pictures"
    words = [command, str(broken)] + ([] if command == "view" else ["-o", str(target)])
    line = refused(words, capsys)
    for fact in ("broken.ply", *facts):
        assert fact in line
    assert not target.exists()


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        ([], "demo"),
        (["trian", "x"], "train"),
        (["train"], "scene"),
        (["train", "x", "--gabor", "3"], "--gabor"),
        (["train", "x", "--steps", "0"], "steps must be at least 1"),
        (["train", "x", "--eval-every", "-1"], "--eval-every"),
        (["demo", "--steps", "0"], "steps must be at least 1"),
        (["render", "x", "-o", "y", "--fps", "0"], "--fps"),
        (["train", str(demo_path()), "--max-size", "0", "--out", "x"], "0"),
        (["train", str(demo_path()), "--resume", "--out", "nowhere"], "nowhere"),
    ],
)
def test_bad_usage_is_one_line(
    words: list[str],
    fact: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    assert fact.lower() in refused(words, capsys).lower()
    assert not list(tmp_path.iterdir())


def test_a_format_that_cannot_be_written_is_refused(
    splats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for name, options, fact in (
        ("a.obj", (), ".ply"),
        ("a.spz", (), "--bake"),
        ("a.splat", ("--bake", "--verify"), "--verify"),
    ):
        line = refused(["export", str(splats), "-o", str(tmp_path / name), *options], capsys)
        assert fact in line
        assert not (tmp_path / name).exists()


def test_an_error_of_ours_is_one_line_and_shows_its_traceback_when_asked(
    splats: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fail(*_: object) -> None:
        raise RuntimeError("out of\nluck")

    monkeypatch.setattr("gaborsplat.commands.export.inputs.load_scene", fail)
    words = ["export", str(splats), "-o", "x.ply"]
    assert main(words) == FAILED
    said = capsys.readouterr().err
    assert said == "gaborsplat: RuntimeError: out of luck (--traceback shows where)\n"
    assert main([*words, "--traceback"]) == FAILED
    assert "Traceback" in capsys.readouterr().err


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]):
    assert main(["--help"]) == DONE
    said = capsys.readouterr().out
    for command in ("demo", "train", "view", "export", "eval", "render", "doctor"):
        assert command in said
