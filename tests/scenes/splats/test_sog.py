"""SOG: what is written is small, is what was meant, and is read by others; streamed SOG is read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.campaigns.fuzz_splats import Files, streamed_sog
from gaborsplat.inputs.loading import files_of, is_run, name_of
from gaborsplat.renderer.splats import Splats
from gaborsplat.scenes import (
    InputError,
    SplatMetadata,
    load_splat_file,
    load_splats,
    save_splats,
)
from gaborsplat.scenes.splats.formats.sog.clusters import codebook, even_codebook, indices, palette
from gaborsplat.scenes.splats.formats.sog.turns import (
    packed_quats,
    unpacked_quats,
    with_ordered_axes,
)
from tests.support.splat_files.clouds import random_splats


def numbers() -> np.random.Generator:
    """Always the same."""
    return np.random.default_rng(1)


def ellipsoids(quats: np.ndarray, log_scales: np.ndarray) -> np.ndarray:
    """[N, 3, 3] covariances."""
    w, x, y, z = np.asarray(quats, np.float64).T
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    axes = np.stack(rows, 1).reshape(-1, 3, 3) * np.exp(log_scales)[:, None]
    return axes @ axes.transpose(0, 2, 1)


def turned(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Random rotations, and scales from needles to discs."""
    random = numbers()
    quats = random.standard_normal((n, 4)).astype(np.float32)
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    return quats, random.uniform(-4, 0, (n, 3)).astype(np.float32)


# What is written.


def test_the_same_splats_are_the_same_bytes(tmp_path: Path):
    for name in ("a.sog", "b.sog"):
        save_splats(random_splats(3000, degree=3), tmp_path / name)
    assert (tmp_path / "a.sog").read_bytes() == (tmp_path / "b.sog").read_bytes()


def test_splats_of_any_order_are_one_file_as_neighbours_come_together(tmp_path: Path):
    splats = random_splats(3000)
    save_splats(splats, tmp_path / "a.sog")
    read = load_splats(tmp_path / "a.sog").means
    step = (read[1:] - read[:-1]).norm(dim=1).median()
    assert step < 0.3 * (splats.means[1:] - splats.means[:-1]).norm(dim=1).median()


def test_meta_json_is_written_with_its_textures_beside_it(tmp_path: Path):
    splats = random_splats(50, degree=2)
    save_splats(splats, tmp_path / "a.sog")
    save_splats(splats, tmp_path / "scene" / "meta.json")
    with zipfile.ZipFile(tmp_path / "a.sog") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "scene").iterdir()} == members
    packed = load_splats(tmp_path / "a.sog").tensors()
    for path in (tmp_path / "scene", tmp_path / "scene" / "meta.json"):
        torch.testing.assert_close(load_splats(path).tensors(), packed)


@pytest.mark.parametrize("antialiased", [None, False, True])
def test_how_splats_are_to_be_shown_comes_back(tmp_path: Path, antialiased: bool | None):
    shown = SplatMetadata(
        antialiased, "-y", "RDF", (391_000.25, 5_820_000.5, 34.0), (1.0, 0.5, 0.0), "a scene"
    )
    save_splats(random_splats(), tmp_path / "a.sog", metadata=shown)
    read = load_splat_file(tmp_path / "a.sog").metadata
    assert SplatMetadata(**{**vars(read), "frame": "RDF"}) == shown
    with zipfile.ZipFile(tmp_path / "a.sog") as archive:
        meta = json.loads(archive.read("meta.json"))
    assert meta.get("model") == ("antialiased" if antialiased else None)


def rewritten(path: Path, **changes: Any) -> Path:
    """An unbundled SOG whose meta.json says something else."""
    save_splats(random_splats(), path / "meta.json")
    meta = json.loads((path / "meta.json").read_bytes())
    (path / "meta.json").write_text(json.dumps({**meta, **changes}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("says", "antialiased"),
    [
        ({"model": "antialiased"}, True),
        ({"model": "default"}, False),
        ({"model": "2dgs", "antialias": True}, False),
        ({"antialias": True}, True),
        ({"antialias": None}, None),
    ],
)
def test_what_other_programs_say_of_antialiasing_is_understood(
    tmp_path: Path, says: dict[str, Any], antialiased: bool | None
):
    assert load_splat_file(rewritten(tmp_path, **says)).metadata.antialiased is antialiased


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ({"model": 3}, "model must be text, not 3"),
        ({"gaborsplat": {"up": "w"}}, r"gaborsplat\.up must be one of x, y, z"),
        ({"gaborsplat": {"origin": [1]}}, r"gaborsplat\.origin must have 3 numbers, not 1"),
    ],
)
def test_notes_that_mean_nothing_are_refused(tmp_path: Path, says: dict[str, Any], told: str):
    with pytest.raises(InputError, match=told):
        load_splat_file(rewritten(tmp_path, **says))


def test_a_palette_has_every_splat_of_a_small_scene(tmp_path: Path):
    splats = random_splats(300, degree=3)
    save_splats(splats, tmp_path / "a.sog")
    read = load_splats(tmp_path / "a.sog")
    nearest = torch.cdist(splats.means, read.means).argmin(1)
    assert (read.sh[nearest] - splats.sh).abs().max() < 0.01


@pytest.mark.parametrize("n", [1, 2, 1500])
def test_values_at_the_ends_of_what_there_can_be_are_written(tmp_path: Path, n: int):
    splats = random_splats(n, degree=1)
    splats.sh[0] = 1e30
    splats.sh[-1, 1:] = -1e30
    splats.scales[0] = torch.tensor([0.0, 1e-20, 1e20])
    splats.means[0] = torch.tensor([1e20, 0.0, -1e-20])
    splats.opacities[0] = 0.0
    save_splats(splats, tmp_path / "a.sog")
    read = load_splats(tmp_path / "a.sog")
    assert len(read) == n
    assert all(bool(each.isfinite().all()) for each in read.tensors().values())


# How rotations are written.


def test_the_same_ellipsoid_is_written_in_one_of_many_ways():
    quats, logs = turned(500)
    found, ordered = with_ordered_axes(quats, logs)
    np.testing.assert_allclose(ellipsoids(found, ordered), ellipsoids(quats, logs), atol=1e-5)
    assert (np.diff(ordered, axis=1) <= 0).all()
    assert (found[:, 0] >= np.abs(found).max(axis=1) - 1e-6).all()


def test_rotations_are_rounded_so_that_ellipsoids_move_least():
    quats, logs = with_ordered_axes(*turned(2000))
    logs[:, 1:] = logs[:, 1:2]  # needles
    logs[:, 0] = logs[:, 1] + 4
    plain = np.rint((quats[:, 1:] * np.sqrt(2) + 1) * 127.5).astype(np.uint8)
    plain = np.concatenate([plain, np.full((len(plain), 1), 252, np.uint8)], axis=1)
    true = ellipsoids(quats, logs)
    size = np.linalg.norm(true, axis=(1, 2))

    def error(pixels: np.ndarray) -> float:
        off = np.linalg.norm(ellipsoids(unpacked_quats(pixels), logs) - true, axis=(1, 2)) / size
        return float(np.square(off).mean())

    assert error(packed_quats(quats, logs)) < 0.75 * error(plain)


# Codebooks and palettes.


def test_a_codebook_has_the_least_error_that_theory_allows():
    """Panter and Dite: sqrt(3) pi / 2 / n^2 for normal numbers."""
    values = numbers().standard_normal(200_000).astype(np.float32)
    book = codebook(values, np.ones_like(values), 256)
    assert len(book) == 256
    error = np.square(book[indices(values, book)] - values).mean()
    assert error == pytest.approx(np.sqrt(3) * np.pi / 2 / 256**2, rel=0.06)


def test_numbers_that_count_more_are_met_better():
    values = numbers().standard_normal(50_000).astype(np.float32)
    weights = np.where(values > 1, 1e4, 1).astype(np.float32)
    error = [
        np.square(book[indices(values, book)] - values)[values > 1].mean()
        for book in (codebook(values, weights, 64), codebook(values, np.ones_like(values), 64))
    ]
    assert error[0] < 0.5 * error[1]


def test_few_numbers_are_kept_as_they_are():
    values = numbers().integers(0, 200, 5000).astype(np.float32)
    np.testing.assert_array_equal(codebook(values, np.ones_like(values), 256), np.unique(values))
    book = even_codebook(np.zeros(5, np.float32), 0.0, 256)
    np.testing.assert_array_equal(book[indices(np.zeros(5, np.float32), book)], np.zeros(5))


@pytest.mark.parametrize("step", [0.0, 1e-3, 0.5])
def test_an_even_codebook_reaches_all_numbers(step: float):
    values = numbers().uniform(-3, 1, 1000).astype(np.float32)
    book = even_codebook(values, step, 256)
    assert len(book) <= 256
    error = np.abs(book[indices(values, book)] - values).max()
    assert error <= max(step, 4 / 250) / 2 + 1e-5
    assert 0.0 in book


def test_a_palette_finds_clusters_and_its_error_falls_with_its_size():
    random = numbers()
    middles = random.uniform(-1, 1, (100, 8))
    points = np.repeat(middles, 50, axis=0) + 1e-3 * random.standard_normal((5000, 8))
    points = points[random.permutation(5000)].astype(np.float32)
    errors: list[float] = []
    for size in (50, 400, 1600):
        entries, labels = palette(points, np.ones(5000, np.float32), size)
        assert len(entries) <= size
        errors.append(float(np.square(entries[labels] - points).sum(axis=1).mean()))
    assert errors[0] > 0.1
    assert errors[1] < errors[0] / 10
    assert errors[2] < errors[1]


def test_a_palette_of_equal_or_of_few_points_is_exact():
    same = np.ones((5000, 4), np.float32)
    entries, labels = palette(same, np.ones(5000, np.float32), 2500)
    np.testing.assert_array_equal(entries[labels], same)
    few = numbers().standard_normal((7, 4)).astype(np.float32)
    entries, labels = palette(few, np.zeros(7, np.float32), 1024)
    np.testing.assert_array_equal(entries[labels], few)


# Streamed.


def written(folder: Path, files: Files) -> Path:
    """These files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def with_meta(folder: Path, **changes: Any) -> Path:
    """A streamed SOG of two leaves with another lod-meta.json."""
    files = streamed_sog()
    meta = json.loads(files["lod-meta.json"])
    written(folder, {**files, "lod-meta.json": json.dumps({**meta, **changes}).encode()})
    return folder


def leaf(file: int, offset: int, count: int, level: str = "0") -> dict[str, Any]:
    return {"lods": {level: {"file": file, "offset": offset, "count": count}}}


def test_a_streamed_sog_is_its_finest_leaves_and_its_surroundings(tmp_path: Path):
    folder = written(tmp_path, streamed_sog())
    assert len(load_splats(folder)) == len(load_splats(folder / "lod-meta.json")) == 4 + 1


def test_a_streamed_sog_is_known_by_its_folder(tmp_path: Path):
    folder = written(tmp_path / "robot", streamed_sog())
    for path in (folder, folder / "lod-meta.json"):
        assert not is_run(path)
        assert name_of(path) == "robot"
        assert {each.name for each in files_of(path)} == set(streamed_sog())


@pytest.mark.parametrize(
    ("tree", "count"),
    [
        (leaf(1, 2, 5), 5),
        (leaf(1, 2, 5, "7"), 5),
        ({"children": [leaf(1, 0, 6), leaf(1, 3, 6)]}, 9),  # what two leaves share is there once
        ({"children": [{"children": [leaf(0, 0, 4)]}, leaf(1, 0, 1)]}, 5),
        ({"lods": {"0": {"file": 0, "offset": 0, "count": 0}, **leaf(1, 0, 3, "1")["lods"]}}, 3),
        ({"lods": {"10": leaf(0, 0, 4)["lods"]["0"], "9": leaf(1, 0, 3)["lods"]["0"]}}, 3),
        ({}, 0),
    ],
)
def test_leaves_take_rows_of_the_files_that_they_name(
    tmp_path: Path, tree: dict[str, Any], count: int
):
    assert len(load_splats(with_meta(tmp_path, tree=tree, environment=None))) == count


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"version": 2}, "streamed SOG version 2; known is 1"),
        ({"tree": leaf(0, 0, 5)}, "has 4 splats; a leaf of the tree has some up to 5"),
        ({"tree": leaf(2, 0, 1)}, "file must be a whole number from 0 to 1, not 2"),
        ({"tree": leaf(0, 0, 1, "x")}, "must have numbers of levels, not 'x'"),
        ({"tree": {"children": [3]}}, "a node of tree must be an object"),
        ({"environment": "none.sog"}, r"none\.sog: cannot be read: No such file"),
        (
            {"environment": "../a.sog"},
            r'must be of a meta\.json or \.sog below the folder, not "\.',
        ),
        ({"environment": "/a/meta.json"}, "below the folder"),
        ({"environment": "a.ply"}, "below the folder"),
        ({"filenames": [3]}, "below the folder, not something else"),
    ],
)
def test_a_damaged_streamed_sog_is_refused(tmp_path: Path, changes: dict[str, Any], told: str):
    with pytest.raises(InputError, match=told):
        load_splats(with_meta(tmp_path / "scene", **changes))


def test_many_small_files_may_not_have_more_splats_than_one_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = written(tmp_path, streamed_sog((400, 400)))
    assert len(load_splats(folder)) == 401
    monkeypatch.setattr("gaborsplat.scenes.limits.EXPANSION", 0)
    monkeypatch.setattr("gaborsplat.scenes.limits.EXPANSION_FREE", 4 * 400)
    with pytest.raises(InputError, match="count must be a whole number from 0 to 0"):
        load_splats(folder)


# Another program.


def splat_transform() -> list[str] | None:
    """The command that runs PlayCanvas' converter, if it is here."""
    named = os.environ.get("SPLAT_TRANSFORM")
    command = [named] if named else ["npx", "--no-install", "splat-transform"]
    if shutil.which(command[0]) is None:
        return None
    tried = subprocess.run([*command, "--version"], capture_output=True, check=False, timeout=60)
    return None if tried.returncode else command


@pytest.fixture(scope="module")
def converter() -> list[str]:
    """Skips without splat-transform: `npm install @playcanvas/splat-transform` somewhere, and its
    path in SPLAT_TRANSFORM."""
    command = splat_transform()
    if command is None:
        pytest.skip("needs splat-transform, in SPLAT_TRANSFORM or by npx")
    return [*command, "-q", "-w", "-g", "cpu"]


def order(splats: Splats) -> Splats:
    return splats.select(torch.from_numpy(np.lexsort(splats.means.numpy().T)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.sog", "scene/meta.json"])
@pytest.mark.parametrize("degree", [0, 3])
def test_splat_transform_reads_what_we_write(
    tmp_path: Path, converter: list[str], name: str, degree: int
):
    save_splats(random_splats(500, degree=degree), tmp_path / name, antialiased=True)
    subprocess.run([*converter, tmp_path / name, tmp_path / "b.ply"], check=True, timeout=120)
    ours, theirs = order(load_splats(tmp_path / name)), order(load_splats(tmp_path / "b.ply"))
    for key, tensor in ours.tensors().items():
        torch.testing.assert_close(theirs.tensors()[key], tensor, atol=2e-6, rtol=1e-5)


@pytest.mark.slow
def test_we_read_the_streamed_sog_that_splat_transform_makes(tmp_path: Path, converter: list[str]):
    fine, coarse, around = (random_splats(n) for n in (3000, 700, 30))
    for name, splats in (("0", fine), ("1", coarse), ("env", around)):
        save_splats(splats, tmp_path / f"{name}.ply")
    levels = ["0.ply", "-l", "0", "1.ply", "-l", "1", "env.ply", "-l", "-1"]
    chunks = ["-C", "1", "-X", "1"]
    (tmp_path / "scene").mkdir()
    command = [*converter, *levels, *chunks, "scene/lod-meta.json"]
    subprocess.run(command, check=True, timeout=300, cwd=tmp_path)
    read = load_splats(tmp_path / "scene")
    assert len(read) == 3000 + 30
    wanted = torch.cat([fine.means, around.means])
    assert torch.cdist(wanted.double(), read.means.double()).min(dim=1).values.max() < 2e-4
