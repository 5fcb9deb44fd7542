"""What `gaborsplat view` shows: runs in progress, two scenes, every format."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from viewer_page import CANVAS, cloud, downloads, opened

import gaborsplat as gs
from gaborsplat.cli import BAD_INPUT, DONE, main
from gaborsplat.commands import view as viewing
from gaborsplat.commands.view import ViewCommand
from gaborsplat.inputs.loading import load_scene, name_of
from gaborsplat.renderer.splats import Splats
from gaborsplat.renderer.training import checkpoints
from gaborsplat.run_folder import RunFolder
from gaborsplat.scenes import WRITABLE, InputError, demo_path, load_splat_file
from gaborsplat.viewer import Download, NamedCamera, SceneSource, ViewerOptions

FAR = (4e6, 5e5, 100.0)
"""An origin at which float32 knows no more than half a metre."""


class Stage:
    """Stands in for the viewer, and remembers what it is to show."""

    url = "http://nowhere"

    def __init__(
        self,
        source: SceneSource,
        *,
        cameras: Sequence[NamedCamera],
        options: ViewerOptions,
        **_: object,
    ) -> None:
        self.source, self.cameras, self.options = source, cameras, options

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def splats(self) -> Splats:
        return shown(self.source)

    @property
    def beside(self) -> Splats:
        assert self.options.beside is not None
        return shown(self.options.beside)

    def download(self, label: str = "Download PLY") -> Download:
        (result,) = (each.run() for each in self.options.actions if each.label == label)
        assert isinstance(result, Download)
        return result


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """`View` gets a `Stage` for a viewer."""
    monkeypatch.setattr(viewing, "Viewer", Stage)


def shown(source: SceneSource) -> Splats:
    assert source.current is not None
    return source.current.splats


def assert_same(splats: Splats, expected: Splats) -> None:
    """Whatever the length of their quaternions, which files do not keep."""
    pair = [replace(each, quats=F.normalize(each.quats, dim=1)) for each in (splats, expected)]
    for name, tensor in pair[1].tensors().items():
        torch.testing.assert_close(pair[0].tensors()[name], tensor)


def served(path: Path, **options: Any) -> Any:
    """A context that gives what `view` shows, and its look at the files."""
    return ViewCommand(path, port=0, device="cpu", **options).served()


def twice(look: Callable[[], None]) -> None:
    """A change counts once it has stood still for a look."""
    look()
    look()


# Runs.


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run with a checkpoint every other step."""
    out = tmp_path_factory.mktemp("runs") / "demo"
    quick = ["--max-size", "64", "--max-splats", "300", "--steps", "4", "--no-viewer"]
    often = ["--checkpoint-every", "2", "--eval-every", "0"]
    assert main(["train", str(demo_path()), "--out", str(out), *quick, *often]) == DONE
    return out


@pytest.fixture
def unfinished(run: Path, tmp_path: Path) -> Path:
    """A run that has a checkpoint and no splats.ply yet."""
    copy = Path(shutil.copytree(run, tmp_path / "unfinished"))
    (copy / "splats.ply").unlink()
    return copy


def add_checkpoint(run: Path, step: int, splats: int) -> None:
    """As training would, with the first `splats` of those in the last one."""
    state = torch.load(checkpoints(run / "checkpoints")[-1], weights_only=True)
    for rows in (state["raw"], *state["moments"].values()):
        rows |= {name: tensor[:splats] for name, tensor in rows.items()}
    draft = run / "draft"
    torch.save(state, draft)
    draft.rename(run / "checkpoints" / f"step-{step:08d}.pt")


def test_a_checkpoint_holds_the_splats_of_its_step(run: Path, unfinished: Path):
    scene = load_scene(unfinished)
    assert scene.settings == RunFolder(run).render_settings()
    assert_same(scene.splats, gs.load_splats(run / "splats.ply"))


def test_a_run_grows_while_it_is_shown(unfinished: Path, stage: None):
    with served(unfinished) as (viewer, look):
        assert len(viewer.splats) == 300
        assert len(viewer.cameras) == 12
        add_checkpoint(unfinished, 6, splats=200)
        twice(look)
        assert len(viewer.splats) == 200
        add_checkpoint(unfinished, 8, splats=100)
        checkpoints(unfinished / "checkpoints")[0].unlink()
        twice(look)
        assert len(viewer.splats) == 100
        gs.save_splats(cloud(50), unfinished / "splats.ply")
        twice(look)
        assert len(viewer.splats) == 50


def test_a_damaged_checkpoint_leaves_what_was_shown(
    unfinished: Path, stage: None, capsys: pytest.CaptureFixture[str]
):
    with served(unfinished) as (viewer, look):
        (unfinished / "checkpoints" / "step-00000006.pt").write_bytes(b"damaged")
        capsys.readouterr()
        for _ in range(4):
            look()
        (line,) = capsys.readouterr().err.splitlines()
        assert "step-00000006.pt" in line
        assert len(viewer.splats) == 300


def test_splats_of_a_checkpoint_are_exported_in_the_captures_frame(
    unfinished: Path, tmp_path: Path
):
    config = unfinished / "config.json"
    document = json.loads(config.read_text())
    config.write_text(json.dumps({**document, "origin": FAR}))
    assert main(["export", str(unfinished), "-o", str(tmp_path / "a.ply")]) == DONE
    assert load_scene(tmp_path / "a.ply").metadata.origin == FAR
    config.write_text(json.dumps({**document, "origin": "nowhere"}))
    with pytest.raises(InputError, match=r"config\.json: damaged \(origin 'nowhere'\)"):
        load_scene(unfinished)


def empty_folder(folder: Path) -> Path:
    return folder


def folder_of_photos(folder: Path) -> Path:
    (folder / "photo.jpg").touch()
    return folder


def nothing(folder: Path) -> Path:
    return folder / "nowhere"


def missing_ply(folder: Path) -> Path:
    return folder / "missing.ply"


def unknown_format(folder: Path) -> Path:
    (folder / "a.obj").touch()
    return folder / "a.obj"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (empty_folder, "not a run folder, it has no config.json; name one that"),
        (folder_of_photos, "not a run folder, it has no config.json; name one that"),
        (nothing, "no such file"),
        (missing_ply, "no such file"),
        (unknown_format, "cannot be read; known are .ply"),
    ],
)
@pytest.mark.parametrize("option", ["", "--beside"])
def test_what_cannot_be_shown_is_said_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[Path], Path],
    said: str,
    option: str,
):
    good, folder = tmp_path / "good.ply", tmp_path / "folder"
    gs.save_splats(cloud(3), good)
    folder.mkdir()
    path = make(folder)
    words = [str(good), option, str(path)] if option else [str(path)]
    assert main(["view", *words, "--port", "0"]) == BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"gaborsplat: {path}: {said}")


def test_a_run_without_splats_says_so(unfinished: Path, capsys: pytest.CaptureFixture[str]):
    shutil.rmtree(unfinished / "checkpoints")
    assert main(["view", str(unfinished), "--port", "0"]) == BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert "holds no splats yet, neither splats.ply nor a checkpoint" in line


# Two scenes.


def test_the_scene_beside_is_followed_too(tmp_path: Path, stage: None):
    one, other = tmp_path / "one.ply", tmp_path / "other.ply"
    gs.save_splats(cloud(3), one)
    gs.save_splats(cloud(4, waves=1), other)
    with served(one, beside=other) as (viewer, look):
        assert (len(viewer.splats), len(viewer.beside)) == (3, 4)
        gs.save_splats(cloud(5), other, antialiased=True)
        twice(look)
        assert (len(viewer.splats), len(viewer.beside)) == (3, 5)
        assert viewer.options.beside.current.settings.antialiased
        other.write_bytes(b"ply")
        gs.save_splats(cloud(6), one)
        twice(look)
        assert (len(viewer.splats), len(viewer.beside)) == (6, 5)


def test_all_stays_in_the_frame_of_the_first_scene(tmp_path: Path, stage: None):
    one, other = tmp_path / "one.ply", tmp_path / "other.ply"
    near = (FAR[0] + 2, FAR[1], FAR[2])
    gs.save_splats(cloud(3), one, origin=FAR)
    gs.save_splats(cloud(3), other, origin=near)
    shifted = cloud(3).means + torch.tensor([2.0, 0, 0])
    with served(one, beside=other) as (viewer, look):
        torch.testing.assert_close(viewer.splats.means, cloud(3).means)
        torch.testing.assert_close(viewer.beside.means, shifted)
        gs.save_splats(cloud(3), one, origin=near)
        gs.save_splats(cloud(3), other, origin=FAR)
        twice(look)
        torch.testing.assert_close(viewer.splats.means, shifted)
        torch.testing.assert_close(viewer.beside.means, cloud(3).means)


def test_without_another_scene_there_is_none_and_the_page_can_stay_visers(
    tmp_path: Path, stage: None
):
    gs.save_splats(cloud(3), tmp_path / "a.ply")
    with served(tmp_path / "a.ply") as (viewer, _):
        assert viewer.options.beside is None
        assert not viewer.options.stock_page
    with served(tmp_path / "a.ply", stock_page=True) as (viewer, _):
        assert viewer.options.stock_page


# Formats.


@pytest.mark.parametrize("ending", WRITABLE)
def test_every_format_that_is_exported_is_shown_and_followed(
    tmp_path: Path, stage: None, ending: str
):
    source, path = tmp_path / "source.ply", tmp_path / f"scene{ending}"
    gs.save_splats(cloud(30), source)
    assert main(["export", str(source), "-o", str(path)]) == DONE
    with served(path) as (viewer, look):
        assert len(viewer.splats) == 30
        assert viewer.download().name == "scene.ply"
        gs.save_splats(cloud(20), source)
        assert main(["export", str(source), "-o", str(path)]) == DONE
        twice(look)
        assert len(viewer.splats) == 20


def test_a_scene_is_saved_as_a_page(tmp_path: Path, stage: None):
    gs.save_splats(cloud(30), tmp_path / "scene.ply")
    with served(tmp_path / "scene.ply") as (viewer, _):
        page = viewer.download("Save page")
    assert (page.name, page.content[:15]) == ("scene.html", b"<!doctype html>")


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("converted/playbot_lod4.sog", "playbot_lod4"),
        ("playcanvas-engine/playbot/4_0", "4_0"),
        ("playcanvas-engine/playbot/4_0/meta.json", "4_0"),
    ],
)
def test_sog_is_shown_bundled_or_not(shared_data: Path, stage: None, name: str, title: str):
    path = shared_data / "splats" / name
    with served(path) as (viewer, look):
        assert len(viewer.splats) > 1000
        before = viewer.source.current
        twice(look)
        assert viewer.source.current is before
    assert name_of(path) == title


def test_a_part_of_an_unbundled_sog_that_changed_is_noticed(
    shared_data: Path, tmp_path: Path, stage: None
):
    original = shared_data / "splats" / "playcanvas-engine" / "playbot" / "4_0"
    folder = Path(shutil.copytree(original, tmp_path / "robot"))
    with served(folder) as (viewer, look):
        before = viewer.source.current
        os.utime(next(folder.glob("sh0*")))
        twice(look)
        assert viewer.source.current is not before


# Downloads.


@pytest.mark.parametrize("antialiased", [False, True])
def test_a_download_is_the_scene_that_is_shown(tmp_path: Path, stage: None, antialiased: bool):
    path = tmp_path / "a scene.PLY"
    splats = cloud(5, waves=2)
    gs.save_splats(splats, path, origin=FAR, antialiased=antialiased)
    with served(path) as (viewer, _):
        path.unlink()
        download = viewer.download()
    assert download.name == "a scene.ply"
    got = tmp_path / "got.ply"
    got.write_bytes(download.content)
    assert load_scene(got).metadata.origin == FAR
    assert load_splat_file(got).antialiased == antialiased
    assert_same(gs.load_splats(got), splats)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs/fox-1.2", "fox-1.2"),
        ("a/b.compressed.ply", "b"),
        ("b.v2.splat", "b.v2"),
        ("x/meta.json", "x"),
        (".ply", "splats"),
    ],
)
def test_names_are_without_folders_and_endings(path: str, name: str):
    assert name_of(Path(path)) == name


# In a page.


def test_a_page_sees_the_file_change_and_can_download_it(tmp_path: Path):
    path = tmp_path / "a.ply"
    splats = cloud(30)
    gs.save_splats(splats, path)
    with served(path) as (viewer, look), opened(viewer) as page:
        first = page.picture(0)
        assert first.shape == (CANVAS[1], CANVAS[0], 3)
        assert first.any()
        gs.save_splats(replace(splats, opacities=torch.zeros(30)), path)
        twice(look)
        page.until(lambda: not page.picture(len(page.pictures) - 1).any())
        page.until(lambda: page.has("Download PLY"))
        page.click("Download PLY")
        page.until(lambda: downloads(page))
    ((name, content),) = downloads(page)
    assert name == "a.ply"
    assert content.startswith(b"ply\n")


def test_ctrl_c_is_waited_for_with_a_look_every_so_often():
    looks = threading.Semaphore(3)

    def look() -> None:
        if not looks.acquire(blocking=False):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        viewing.wait_for_ctrl_c(look, 0.001)
