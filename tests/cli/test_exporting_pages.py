"""`gaborsplat export` of a page: what is written, what it may cost, what is refused."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from synthetic import ball

import gaborsplat as gs
from gaborsplat.cli import BAD_INPUT, DONE, main
from gaborsplat.viewer.page.unpacking import unpacked


@pytest.fixture
def ply(tmp_path: Path) -> Path:
    path = tmp_path / "ball.ply"
    gs.save_splats(ball(1500, 2), path)
    return path


def exported(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What was said."""
    assert main(["export", *map(str, words)]) == DONE, capsys.readouterr().err
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line that says why."""
    assert main(["export", *map(str, words)]) == BAD_INPUT
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def embedded(page: Path) -> gs.Splats:
    """The splats that are in a page."""
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script id="splats" type="text/plain">([^<]*)</script>', text)
    assert found is not None
    return unpacked(base64.b64decode(found[1]))


def test_a_page_has_the_scene_and_says_what_it_costs(
    ply: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    said = exported(capsys, ply, "-o", tmp_path / "a.html", "--title", "A <ball>")
    assert len(embedded(tmp_path / "a.html")) == 1500
    assert embedded(tmp_path / "a.html").waves == 2
    assert re.search(r"Shown by the page: \d\d\.\d\d dB PSNR", said)
    assert "<title>A &lt;ball&gt;</title>" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_edits_come_before(ply: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    exported(capsys, ply, "-o", tmp_path / "a.html", "--decimate", 300, "--bake")
    shown = embedded(tmp_path / "a.html")
    assert (len(shown), shown.waves) == (300, 0)


def test_a_budget_in_megabytes_is_kept(
    ply: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    said = exported(capsys, ply, "-o", tmp_path / "a.html", "--budget", 0.08)
    assert (tmp_path / "a.html").stat().st_size <= 80_000
    exported(capsys, ply, "-o", tmp_path / "c.html", "--budget", 0.08, "--no-embed")
    sizes = [(tmp_path / name).stat().st_size for name in ("c.html", "c.gspl")]
    assert sum(sizes) <= 80_000
    assert "--budget 0.08: without" in said
    assert "--budget" in refused(capsys, ply, "-o", tmp_path / "b.html", "--budget", 0.01)
    assert not (tmp_path / "b.html").exists()


def test_a_scene_beside_its_page(ply: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    exported(capsys, ply, "-o", tmp_path / "a.html", "--no-embed")
    assert len(unpacked((tmp_path / "a.gspl").read_bytes())) == 1500
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert len(page) < 60_000
    assert "connect-src 'self'" in page


def test_a_viewer_without_a_scene(ply: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    exported(capsys, "--viewer-only", "-o", tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page and "connect-src" not in page
    assert "--viewer-only" in refused(capsys, ply, "--viewer-only", "-o", tmp_path / "b.html")


@pytest.mark.parametrize(
    "words",
    [
        ("--bake",),
        ("--budget", "1"),
        ("--no-embed",),
        ("--path", "none"),
        ("--decimate", "5"),
        ("--up", "z"),
    ],
)
def test_a_viewer_without_a_scene_takes_nothing_that_is_about_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
):
    assert "no scene" in refused(capsys, "--viewer-only", "-o", tmp_path / "a.html", *words)


def test_without_a_check_nothing_is_said_of_what_it_costs(
    ply: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert "dB" not in exported(capsys, ply, "-o", tmp_path / "a.html", "--no-check")
    assert len(embedded(tmp_path / "a.html")) == 1500


@pytest.mark.parametrize(
    "words", [("--caption", "a"), ("--no-embed",), ("--title", "a"), ("--budget", "1")]
)
def test_what_only_pages_have_is_refused_for_other_files(
    ply: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
):
    assert ".html" in refused(capsys, ply, "-o", tmp_path / "a.ply", *words)


def test_a_link_that_is_no_address_is_refused(
    ply: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    said = refused(capsys, ply, "-o", tmp_path / "a.html", "--link", "javascript:alert(1)")
    assert "link" in said
