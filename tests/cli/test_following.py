"""Files that are shown, and what happens when they change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from viewer_page import cloud

import gaborsplat as gs
from gaborsplat.inputs.following import PATIENCE, Followed
from gaborsplat.inputs.loading import LoadedScene, load_scene
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats
from gaborsplat.viewer import Scene, SceneSource


def shown(source: SceneSource) -> Splats:
    assert source.current is not None
    return source.current.splats


def look_twice(file: Followed) -> None:
    """A change counts once it has stood still for a look."""
    file.look()
    file.look()


def followed(path: Path) -> Followed:
    return Followed(lambda: [path], lambda: load_scene(path))


def test_a_file_that_changed_is_shown_anew_once_it_stands_still(tmp_path: Path):
    path = tmp_path / "a.ply"
    gs.save_splats(cloud(3), path)
    file = followed(path)
    for count in (4, 5):
        gs.save_splats(cloud(count), path)
        file.look()
        assert len(shown(file.source)) == 3
    file.look()
    assert len(shown(file.source)) == 5
    current = file.source.current
    look_twice(file)
    assert file.source.current is current  # and not again


def test_a_file_replaced_within_a_tick_of_the_clock_is_noticed(tmp_path: Path):
    path = tmp_path / "a.ply"
    gs.save_splats(cloud(3), path)
    file = followed(path)
    before, time = file.source.current, path.stat().st_mtime_ns
    gs.save_splats(cloud(3), tmp_path / "b.ply")
    os.utime(tmp_path / "b.ply", ns=(time, time))
    (tmp_path / "b.ply").replace(path)
    look_twice(file)
    assert file.source.current is not before


def test_a_file_that_never_stands_still_is_shown_now_and_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "a.ply"
    gs.save_splats(cloud(3), path)
    file = followed(path)
    seen: list[int] = []
    for count in range(4, 4 + 2 * PATIENCE):
        gs.save_splats(cloud(count), path)
        file.look()
        seen.append(len(shown(file.source)))
    assert seen == [3] * (PATIENCE - 1) + [3 + PATIENCE] * PATIENCE + [3 + 2 * PATIENCE]
    for size in range(PATIENCE):
        path.write_bytes(bytes(size))
        file.look()
    assert not capsys.readouterr().err  # it may be whole at the next look
    file.look()
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_how_splats_are_to_be_shown_changes_with_the_file(tmp_path: Path):
    path = tmp_path / "a.ply"
    gs.save_splats(cloud(3), path)
    file = followed(path)
    assert file.source.current is not None
    assert not file.source.current.settings.antialiased
    gs.save_splats(cloud(3), path, antialiased=True)
    look_twice(file)
    assert file.source.current.settings.antialiased


def test_half_a_file_leaves_what_was_shown_and_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path, other = tmp_path / "a.ply", tmp_path / "b.ply"
    gs.save_splats(cloud(3), path)
    gs.save_splats(cloud(40), other)
    content = other.read_bytes()
    file = followed(path)
    for size in (0, len(content) // 2):
        path.write_bytes(content[:size])
        for _ in range(4):
            file.look()
        (line,) = capsys.readouterr().err.splitlines()
        assert "a.ply" in line
        assert len(shown(file.source)) == 3
    path.write_bytes(content)
    look_twice(file)
    assert len(shown(file.source)) == 40
    assert not capsys.readouterr().err


def test_a_deleted_file_stays_shown_until_there_is_one_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "a.ply"
    gs.save_splats(cloud(3), path)
    file = followed(path)
    moved = path.rename(tmp_path / "away.ply")
    for _ in range(4):
        file.look()
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert len(shown(file.source)) == 3
    before = file.source.current
    moved.rename(path)
    look_twice(file)
    assert file.source.current is not before


def test_whatever_a_new_version_does_to_its_reader_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "a"
    path.touch()
    outcomes: list[Exception | Scene] = [
        LoadedScene(cloud(2)),
        MemoryError("1 TB"),
        RuntimeError("CUDA\nout of memory"),
        LoadedScene(cloud(3), RenderSettings(antialiased=True)),
    ]

    def load() -> Scene:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    file = Followed(lambda: [path], load)
    for version in range(1, 4):
        os.utime(path, ns=(version, version))
        look_twice(file)
        assert len(shown(file.source)) == (2 if version < 3 else 3)
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition("Error: ")[2] for line in lines] == ["1 TB", "CUDA out of memory"]
