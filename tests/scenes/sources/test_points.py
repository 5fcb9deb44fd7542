"""Models that are there twice, and points that lie in another file than COLMAP's."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import trimesh
from colmap_files import Model, ring, write_binary, write_text
from plyfile import PlyData, PlyElement

from gaborsplat.scenes.colmap.model import ColmapModel
from gaborsplat.scenes.colmap.point_clouds import read_ply_points
from gaborsplat.scenes.colmap.reading import read_model
from gaborsplat.scenes.colmap.visibility import seen_share
from gaborsplat.scenes.errors import InputError

LONG_AGO = 1_600_000_000


def written(paths: list[Path], when: int) -> None:
    """Sets when files were last written [s]."""
    for path in paths:
        os.utime(path, (when, when))


def write_ply(path: Path, model: Model, colors: str = "u1", **options: object) -> None:
    """The points of a model, by somebody else's writer."""
    names = [*((axis, "f4") for axis in "xyz"), *((c, colors) for c in ("red", "green", "blue"))]
    table = np.zeros(len(model.xyz), names if colors else names[:3])
    for i, axis in enumerate("xyz"):
        table[axis] = model.xyz[:, i]
    for i, name in enumerate(("red", "green", "blue") if colors else ()):
        table[name] = model.rgb[:, i] / (255 if colors == "f4" else 1)
    PlyData([PlyElement.describe(table, "vertex")], **options).write(str(path))


def assert_points(read: ColmapModel, model: Model, rtol: float = 1e-6) -> None:
    np.testing.assert_allclose(read.points.xyz, model.xyz, rtol=rtol)
    np.testing.assert_array_equal(read.points.rgb, model.rgb)


def test_a_ply_beside_the_model_has_its_points(tmp_path: Path):
    write_binary(ring(), tmp_path)
    (tmp_path / "points3D.bin").unlink()
    write_ply(tmp_path / "points3D.ply", ring())
    read = read_model(tmp_path)
    assert_points(read, ring())
    assert read.files[-1] == tmp_path / "points3D.ply"
    assert read.repairs == [f"{tmp_path}: took the points of points3D.ply; there is no other file"]


def test_points_may_be_text_beside_a_binary_model(tmp_path: Path):
    write_text(ring(), tmp_path / "text")
    write_binary(ring(), tmp_path)
    (tmp_path / "points3D.bin").unlink()
    (tmp_path / "text/points3D.txt").rename(tmp_path / "points3D.txt")
    read = read_model(tmp_path)
    assert_points(read, ring())
    assert read.points.track_images.size
    assert [path.suffix for path in read.files] == [".bin", ".bin", ".txt"]
    assert len(read.repairs) == 1
    assert "took the points of points3D.txt" in read.repairs[0]


@pytest.mark.parametrize("newer", [".bin", ".txt"])
def test_of_a_model_that_is_there_twice_the_newer_is_taken_and_both_are_named(
    tmp_path: Path, newer: str
):
    write_binary(ring(7), tmp_path)
    write_text(ring(5), tmp_path)
    for suffix in (".bin", ".txt"):
        files = sorted(tmp_path.glob(f"*{suffix}"))
        written(files, LONG_AGO + (100 if suffix == newer else 0))
    read = read_model(tmp_path)
    assert len(read.images) == (7 if newer == ".bin" else 5)
    assert {path.suffix for path in read.files} == {newer}
    assert f"twice, as .bin and as .txt; took {newer}, which is newer" in read.repairs[0]
    assert len(read.repairs) == 1


def test_points_that_were_edited_are_taken_and_the_others_counted(tmp_path: Path):
    write_binary(ring(points=50), tmp_path)
    write_text(ring(points=20), tmp_path)
    written(list(tmp_path.iterdir()), LONG_AGO)
    written([tmp_path / "points3D.txt"], LONG_AGO + 100)
    read = read_model(tmp_path)
    assert [path.suffix for path in read.files] == [".bin", ".bin", ".txt"]
    assert len(read.points) == 20
    assert read.repairs[-1] == (
        f"{tmp_path}: took the 20 points of points3D.txt, the newest (points3D.bin has 50)"
    )


def test_a_ply_that_another_program_made_of_the_points_does_not_replace_their_tracks(
    tmp_path: Path,
):
    write_binary(ring(), tmp_path)
    write_ply(tmp_path / "points3D.ply", ring())
    written([tmp_path / "points3D.ply"], 2 * LONG_AGO)
    read = read_model(tmp_path)
    assert read.files[-1] == tmp_path / "points3D.bin"
    assert not read.repairs


def test_a_denser_ply_put_beside_the_model_replaces_its_points(tmp_path: Path):
    write_binary(ring(), tmp_path)
    write_ply(tmp_path / "points3D.ply", ring(points=500))
    written([tmp_path / "points3D.bin"], LONG_AGO)
    read = read_model(tmp_path)
    assert_points(read, ring(points=500))
    assert "points3D.ply, the newest (points3D.bin has 50)" in read.repairs[0]


@pytest.mark.parametrize("spoil", ["empty", "cut"])
def test_files_without_points_are_passed_over(tmp_path: Path, spoil: str):
    write_binary(ring(), tmp_path)
    write_ply(tmp_path / "points3D.ply", ring(points=0))
    written([tmp_path / "points3D.bin"], LONG_AGO)
    if spoil == "cut":
        (tmp_path / "points3D.ply").write_bytes(b"ply\n")
    read = read_model(tmp_path)
    assert len(read.points) == 50
    assert any("the only file with any (points3D.ply has 0)" in line for line in read.repairs)


# Point clouds.


@pytest.mark.parametrize("options", [{"text": True}, {"byte_order": "<"}, {"byte_order": ">"}])
@pytest.mark.parametrize("colors", ["u1", "f4"])
def test_clouds_of_any_encoding_are_read(tmp_path: Path, options: dict, colors: str):
    write_ply(tmp_path / "a.ply", ring(), colors, **options)
    points = read_ply_points(tmp_path / "a.ply", [])
    np.testing.assert_allclose(points.xyz, ring().xyz, rtol=1e-6)
    np.testing.assert_array_equal(points.rgb, ring().rgb)
    assert points.track_lengths.sum() == 0


def test_a_mesh_gives_its_vertices(tmp_path: Path):
    mesh = trimesh.creation.icosphere()
    mesh.visual.vertex_colors = [10, 20, 30, 255]
    mesh.export(tmp_path / "mesh.ply")
    points = read_ply_points(tmp_path / "mesh.ply", [])
    np.testing.assert_allclose(points.xyz, mesh.vertices, atol=1e-6)
    assert (points.rgb == [10, 20, 30]).all()


def test_a_cloud_without_colours_is_grey_and_says_so(tmp_path: Path):
    write_ply(tmp_path / "a.ply", ring(), "")
    repairs: list[str] = []
    assert (read_ply_points(tmp_path / "a.ply", repairs).rgb == 128).all()
    assert repairs == [f"{tmp_path / 'a.ply'}: its 50 points have no colours; took them as grey"]


def test_a_cloud_without_places_is_refused(tmp_path: Path):
    table = np.zeros(3, [("x", "f4"), ("y", "f4")])
    PlyData([PlyElement.describe(table, "vertex")]).write(str(tmp_path / "a.ply"))
    with pytest.raises(InputError, match=r'a\.ply: no property "z"'):
        read_ply_points(tmp_path / "a.ply", [])


def test_cameras_see_the_points_before_them_and_no_others(tmp_path: Path):
    model = read_model(write_binary(ring(), tmp_path))
    xyz, elsewhere = model.points.xyz, model.points.xyz + np.array([0, 100, 0])
    assert seen_share(model.cameras, model.images, xyz) == 1
    assert seen_share(model.cameras, model.images, elsewhere) == 0
    half = np.concatenate([xyz, elsewhere])
    assert seen_share(model.cameras, model.images, half) == 0.5
    one = [model.images[0]]
    assert seen_share(model.cameras, one, 3 * one[0].centre[None]) == 0  # behind it
    assert seen_share(model.cameras, model.images, np.full((2, 3), np.nan)) == 0
