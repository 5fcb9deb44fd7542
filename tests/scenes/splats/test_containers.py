"""Folders of other programs, and archives, that have one splat file in them."""

from __future__ import annotations

import json
import logging
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gaborsplat.inputs.loading import files_of, is_run, load_scene, name_of
from gaborsplat.scenes import InputError, load_splats, save_splats
from tests.support.splat_files.clouds import random_splats
from tests.support.splat_files.gltf_files import Scene, some_arrays
from tests.support.splat_files.ply_files import INRIA, MINIMAL, random_columns, write_ply


def splats(path: Path, n: int) -> Path:
    return write_ply(path, random_columns(MINIMAL, n))


def cloud(path: Path) -> Path:
    return write_ply(path, random_columns(["x", "y", "z", "red"]))


def of_3dgs(folder: Path) -> None:
    """Graphdeco's run: a point cloud to begin with, and the splats of some iterations."""
    cloud(folder / "input.ply")
    cloud(folder / "sparse" / "points.ply")
    for iteration, n in ((7000, 4), (30000, 6), (900, 3)):
        splats(folder / "point_cloud" / f"iteration_{iteration}" / "point_cloud.ply", n)
    (folder / "cfg_args").write_text("Namespace()")


def of_gsplat(folder: Path) -> None:
    for step, n in ((6999, 4), (29999, 6)):
        splats(folder / "ply" / f"point_cloud_{step}.ply", n)
    (folder / "ckpts").mkdir()
    (folder / "ckpts" / "ckpt_29999_rank0.pt").write_bytes(b"PK")


def of_one(folder: Path) -> None:
    splats(folder / "export" / "deep" / "scan.ply", 6)
    splats(folder / ".trash" / "old.ply", 9)


@pytest.mark.parametrize("make", [of_3dgs, of_gsplat, of_one])
def test_the_newest_splats_of_a_folder_are_taken_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make
):
    folder = tmp_path / "garden"
    make(folder)
    assert not is_run(folder)
    assert len(load_scene(folder).splats) == len(load_splats(folder)) == 6
    (taken,) = files_of(folder)
    assert f"garden: took {taken.relative_to(folder)}" in caplog.text
    assert name_of(folder) == "garden"


def test_files_of_several_scenes_are_refused_with_their_names(tmp_path: Path):
    for name in ("b.ply", "a/c.ply", "a/d.splat"):
        splats(tmp_path / name, 3)
    told = r"holds 3 splat files: a/c\.ply, a/d\.splat, b\.ply; name one of them"
    with pytest.raises(InputError, match=told):
        load_splats(tmp_path)
    with pytest.raises(InputError, match=told):
        load_scene(tmp_path)
    for i in range(8):
        splats(tmp_path / f"e{i}.ply", 3)
    with pytest.raises(InputError, match=r"holds 11 splat files: .* and 6 more; name"):
        load_splats(tmp_path)


def test_pickles_are_not_read(tmp_path: Path):
    (tmp_path / "ckpts").mkdir()
    (tmp_path / "ckpts" / "ckpt_1.pt").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"in ckpts/ckpt_1\.pt only, a pickle, .*--save_ply"):
        load_scene(tmp_path)


def test_a_run_is_a_run_and_a_folder_without_splats_may_become_one(tmp_path: Path):
    assert is_run(tmp_path)
    cloud(tmp_path / "sparse" / "0" / "points3D.ply")
    cloud(tmp_path / "scan.ply")
    assert is_run(tmp_path)
    splats(tmp_path / "splats.ply", 3)
    assert not is_run(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert is_run(tmp_path)


def test_too_many_files_are_not_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gaborsplat.scenes.limits.FOLDER", 3)
    for i in range(4):
        (tmp_path / f"{i}.txt").touch()
    with pytest.raises(InputError, match="more than 3 files lie in it; name the splat file itself"):
        load_splats(tmp_path)


# Files that are several.


def of_sog(folder: Path) -> None:
    save_splats(random_splats(6), folder / "scene" / "meta.json")


def of_sog_in_capitals(folder: Path) -> None:
    of_sog(folder)
    (folder / "scene" / "meta.json").rename(folder / "scene" / "META.JSON")


def of_streamed_sog(folder: Path) -> None:
    """Two SOGs that are folders, one of which has a part of its own name below it."""
    save_splats(random_splats(4), folder / "robot" / "0_0" / "meta.json")
    save_splats(random_splats(2), folder / "robot" / "0_1.sog")
    leaves = [{"lods": {"0": {"file": i, "offset": 0, "count": n}}} for i, n in ((0, 4), (1, 2))]
    meta = {"filenames": ["0_0/meta.json", "0_1.sog"], "tree": {"children": leaves}}
    (folder / "robot" / "lod-meta.json").write_text(json.dumps(meta))


def of_gltf(folder: Path) -> None:
    """A .gltf with its buffer beside it."""
    save_splats(random_splats(6), folder / "a.glb")
    data = (folder / "a.glb").read_bytes()
    (folder / "a.glb").unlink()
    size = int.from_bytes(data[12:16], "little")
    document = json.loads(data[20 : 20 + size])
    document["buffers"][0]["uri"] = "data/a.bin"
    (folder / "room" / "data").mkdir(parents=True)
    (folder / "room" / "data" / "a.bin").write_bytes(data[28 + size :])
    (folder / "room" / "a.gltf").write_text(json.dumps(document))


@pytest.mark.parametrize("make", [of_sog, of_sog_in_capitals, of_streamed_sog, of_gltf])
def test_formats_of_several_files_are_one_in_a_folder_and_in_an_archive(tmp_path: Path, make):
    make(tmp_path / "in")
    assert not is_run(tmp_path / "in")
    read = load_splats(tmp_path / "in")
    assert len(read) == 6
    zipped(tmp_path / "in", tmp_path / "a.zip")
    assert torch.equal(load_splats(tmp_path / "a.zip").means, read.means)


def test_a_sog_beside_a_streamed_one_is_another_scene(tmp_path: Path):
    of_streamed_sog(tmp_path)
    of_sog(tmp_path)
    with pytest.raises(InputError, match=r"2 splat files: robot/lod-meta\.json, scene/meta\.json;"):
        load_splats(tmp_path)


def test_no_texture_is_replaced_before_all_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    save_splats(random_splats(50), tmp_path / "meta.json")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    to_disk, calls = os.fsync, iter(range(100))

    def fsync(handle: int) -> None:
        if next(calls) == len(before) - 1:
            raise OSError(28, "No space left on device")
        to_disk(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        save_splats(random_splats(40), tmp_path / "meta.json")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# Archives.


def zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                out.write(path, path.relative_to(folder).as_posix())
    return archive


def test_an_archive_with_one_splat_file_is_that_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = tmp_path / "in"
    of_3dgs(folder)
    (folder / "sparse" / "points.ply").unlink()
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._b.ply").write_bytes(b"")
    archive = zipped(folder, tmp_path / "garden.zip")
    read = load_splats(archive)
    assert torch.equal(read.means, load_splats(folder).means)
    assert "garden.zip: took point_cloud/iteration_30000/point_cloud.ply" in caplog.text
    assert name_of(archive) == "garden"
    assert list(files_of(archive)) == [archive]


def test_archives_with_none_several_or_a_damaged_one_are_refused(tmp_path: Path):
    folder = tmp_path / "in"
    cloud(folder / "points3D.ply")
    with pytest.raises(InputError, match=r"a\.zip: no splat file in this archive"):
        load_splats(zipped(folder, tmp_path / "a.zip"))
    splats(folder / "a.ply", 3)
    damaged = write_ply(folder / "b.ply", random_columns(INRIA))
    damaged.write_bytes(damaged.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"a\.zip: holds 2 splat files: a\.ply, b\.ply; name"):
        load_splats(zipped(folder, tmp_path / "a.zip"))
    (folder / "a.ply").unlink()
    with pytest.raises(InputError, match=r"a\.zip: b\.ply: cut short: \d+ bytes are due"):
        load_splats(zipped(folder, tmp_path / "a.zip"))
    (tmp_path / "a.zip").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"a\.zip: the ZIP archive has no end"):
        load_splats(tmp_path / "a.zip")


def flat(folder: Path) -> Path:
    return write_ply(folder / "a.ply", random_columns([n for n in MINIMAL if n != "scale_2"]))


def of_degree_4(folder: Path) -> Path:
    names = [*MINIMAL, *(f"f_rest_{i}" for i in range(72))]
    return write_ply(folder / "a.ply", random_columns(names))


def filtered(folder: Path) -> Path:
    return write_ply(folder / "a.ply", random_columns([*MINIMAL, "filter_3D"]))


def with_bad_rows(folder: Path) -> Path:
    columns = random_columns(MINIMAL)
    columns["opacity"][2] = np.nan
    return write_ply(folder / "a.ply", columns)


def far_away(folder: Path) -> Path:
    columns = random_columns(MINIMAL, kind="f8")
    return write_ply(folder / "a.ply", columns | {"x": columns["x"] + 5e6})


def without_axes(folder: Path) -> Path:
    save_splats(random_splats(), folder / "a.spz")
    return folder / "a.spz"


def of_a_draft(folder: Path) -> Path:
    scene = Scene()
    scene.splats(some_arrays() | {"SCALE": np.log(some_arrays()["SCALE"])})
    (folder / "a.glb").write_bytes(scene.glb())
    return folder / "a.glb"


def in_linear_light(folder: Path) -> Path:
    scene = Scene()
    scene.splats(some_arrays(), color_space="lin_rec709_display")
    scene.write(folder / "a.gltf", "a.bin")
    (folder / "a.bin").write_bytes(scene.data)
    return folder / "a.gltf"


@pytest.mark.parametrize("packed", [True, False], ids=["zip", "folder"])
@pytest.mark.parametrize(
    ("make", "what"),
    [
        (flat, "no scale_2"),
        (of_degree_4, "harmonics of degree 4 are cut"),
        (filtered, "filter_3D"),
        (with_bad_rows, "1 of 5 splats dropped"),
        (far_away, "float32 cannot hold its positions"),
        (without_axes, "does not name its axes"),
        (of_a_draft, "scales below 0"),
        (in_linear_light, "its colours are linear light"),
    ],
)
def test_what_is_said_of_a_file_names_where_it_came_from(
    make: Callable[[Path], Path],
    what: str,
    packed: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    inside = tmp_path / "in" / "some" / "scan"
    inside.mkdir(parents=True)
    file = make(inside)
    source = zipped(tmp_path / "in", tmp_path / "a.zip") if packed else tmp_path / "in"
    with caplog.at_level(logging.INFO):
        load_splats(source)
    taken, told = caplog.messages
    assert taken == f"{source}: took some/scan/{file.name}"
    shown = f"{source}: some/scan/{file.name}" if packed else str(file)
    assert told.startswith(f"{shown}: {what}")


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
@pytest.mark.parametrize("packed", [True, False], ids=["zip", "folder"])
def test_names_that_would_disturb_a_terminal_are_not_shown_as_they_are(
    packed: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    inside = tmp_path / "in"
    flat(inside).rename(inside / "a\x1b[2J\nb.ply")
    load_splats(zipped(inside, tmp_path / "a.zip") if packed else inside)
    assert len(caplog.messages) == 2
    assert all("a?[2J b.ply" in told and told.isprintable() for told in caplog.messages)


def test_a_sog_may_be_called_zip(tmp_path: Path, shared_data: Path):
    sog = shared_data / "splats" / "converted" / "playbot_lod4.sog"
    (tmp_path / "robot.zip").write_bytes(sog.read_bytes())
    assert torch.equal(load_splats(tmp_path / "robot.zip").means, load_splats(sog).means)


def test_members_that_would_lie_elsewhere_are_not_unpacked(tmp_path: Path):
    of_sog(tmp_path / "in")
    scene = tmp_path / "in" / "scene"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in scene.iterdir():
            archive.write(path, f"../scene/{path.name}")
        archive.writestr("../scene/../../../elsewhere.webp", b"")
        archive.writestr("/elsewhere.webp", b"")
    assert torch.equal(load_splats(tmp_path / "a.zip").means, load_splats(scene).means)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(scene / "meta.json", "a/meta.json")
        archive.write(scene / "quats.webp", "a/../quats.webp")
    with pytest.raises(InputError, match=r"b\.zip: a/meta\.json: .* is missing"):
        load_splats(tmp_path / "b.zip")


def test_all_that_is_unpacked_has_one_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    of_sog(tmp_path)
    archive = zipped(tmp_path / "scene", tmp_path / "a.zip")
    whole = sum(path.stat().st_size for path in (tmp_path / "scene").iterdir())
    monkeypatch.setattr("gaborsplat.scenes.limits.most_unpacked", lambda _: whole)
    assert len(load_splats(archive)) == 6
    monkeypatch.setattr("gaborsplat.scenes.limits.most_unpacked", lambda _: whole - 1)
    with pytest.raises(InputError, match=r"a\.zip: \S+ has \S+ bytes; \S+ are possible"):
        load_splats(archive)
