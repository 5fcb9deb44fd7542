"""Splat formats: one scene in many files is one scene, and only PLY and GLB carry waves."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from damaging import assert_survives_damage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gaborsplat.renderer.editing.merging import with_sh_degree
from gaborsplat.renderer.rotations import to_matrices
from gaborsplat.renderer.splats import Splats
from gaborsplat.scenes import (
    READABLE,
    WRITABLE,
    InputError,
    bake,
    carries,
    load_splat_file,
    load_splats,
    save_splats,
)

OTHERS = tuple(ending for ending in WRITABLE if ending not in (".ply", ".glb"))
fuzz = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=15,
)


def random_splats(n: int = 300, degree: int = 3, waves: int = 0) -> Splats:
    """Splats of sizes, colours and positions that every format can express; always the same."""
    generator = torch.Generator().manual_seed(5)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    rest = uniform(-0.5, 0.5, n, (degree + 1) ** 2 - 1, 3)
    return Splats(
        means=uniform(-2, 2, n, 3),
        quats=torch.nn.functional.normalize(torch.randn(n, 4, generator=generator)),
        scales=uniform(-4, -1, n, 3).exp(),
        opacities=uniform(0.05, 0.95, n),
        sh=torch.cat([uniform(-1, 1, n, 1, 3), rest], 1),
        frequencies=uniform(0, 1, n, waves, 3),
        coefficients=uniform(0, 0.2, n, waves, 2),
    )


def covariances(splats: Splats) -> torch.Tensor:
    """[N, 3, 3], the same for q and -q and for axes in any order."""
    axes = to_matrices(splats.quats) * splats.scales[:, None]
    return axes @ axes.mT


def matched(splats: Splats, reference: Splats) -> Splats:
    """`splats` in the order of `reference`: some writers sort, so nearest positions are paired."""
    exact = torch.cdist(reference.means.double(), splats.means.double())
    return splats.select(exact.argmin(1))


def assert_alike(splats: Splats, reference: Splats, *, position: float, shape: float) -> None:
    """Equal up to what 8 bits a value (and the format's own positions and shapes) can tell."""
    assert (splats.means - reference.means).abs().max() < position
    difference = (covariances(splats) - covariances(reference)).flatten(1).norm(dim=1)
    relative = difference / covariances(reference).flatten(1).norm(dim=1)
    assert relative.quantile(0.95) < shape
    assert (splats.opacities - reference.opacities).abs().max() < 0.005
    clipped = reference.sh[:, 0].clamp(-0.5 / 0.2820948, 0.5 / 0.2820948)
    colour = splats.sh[:, 0].clamp(-0.5 / 0.2820948, 0.5 / 0.2820948)
    assert (colour - clipped).abs().quantile(0.95) < 0.02
    if splats.sh_degree:
        assert (splats.sh - reference.sh)[:, 1:].abs().mean() < 0.03


# One scene, written by other programs in every format.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "position", "shape"),
    [
        ("guitar40k.compressed.ply", 2.5e-3, 0.01),
        ("guitar40k.splat", 1e-6, 0.02),
        ("guitar40k_v3.spz", 2e-4, 0.08),
        ("guitar40k_v4.spz", 2e-4, 0.08),
        ("guitar40k.sog", 2e-4, 0.05),
    ],
)
def test_the_guitar_is_one_scene_in_every_format(
    shared_data: Path, name: str, position: float, shape: float
):
    folder = shared_data / "splats" / "converted"
    reference = load_splats(folder / "guitar40k.ply")
    splats = load_splats(folder / name)
    assert len(splats) == len(reference) == 40_000
    some = reference.select(torch.arange(0, 40_000, 40))
    assert_alike(matched(splats, some), some, position=position, shape=shape)


@pytest.mark.parametrize(
    ("name", "position", "shape"),
    [
        ("playbot_lod4.compressed.ply", 5e-4, 0.01),
        ("playbot_lod4_v3.spz", 2e-4, 0.08),
        ("playbot_lod4.sog", 1e-4, 0.05),
        ("../playcanvas-engine/playbot/4_0", 1e-4, 0.05),
        ("../playcanvas-engine/playbot/4_0/meta.json", 1e-4, 0.05),
    ],
)
def test_the_robot_keeps_its_view_dependent_colour_in_every_format(
    shared_data: Path, name: str, position: float, shape: float
):
    folder = shared_data / "splats" / "converted"
    reference = load_splats(folder / "playbot_lod4.ply")
    splats = load_splats(folder / name)
    assert splats.sh_degree == reference.sh_degree == 2
    some = reference.select(torch.arange(0, 8_406, 10))
    splats = matched(splats, some)
    assert_alike(splats, some, position=position, shape=shape)
    # A wrong sign of any one harmonic would turn its correlation negative.
    for band in range(1, 9):
        pair = torch.stack([splats.sh[:, band].flatten(), some.sh[:, band].flatten()])
        assert torch.corrcoef(pair)[0, 1] > 0.9


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("playcanvas-engine/guitar.compressed.ply", 90_854),
        ("playcanvas-engine/biker.spz", 152_746),
        ("playcanvas-engine/test.ply", 64),
        ("splat-transform-fixtures/minimal.splat", 4),
        ("splat-transform-fixtures/minimal-v2.spz", 4),
        ("splat-transform-fixtures/minimal-v3.spz", 4),
        ("splat-transform-fixtures/minimal-v4.spz", 4),
    ],
)
def test_files_of_other_programs_are_read(shared_data: Path, name: str, count: int):
    splats = load_splats(shared_data / "splats" / name)
    assert len(splats) == count
    assert splats.waves == 0
    assert (splats.scales > 0).all()


def test_three_splats_agree_between_ply_splat_and_spz(shared_data: Path):
    stem = shared_data / "splats" / "metalsplatter" / "test-splat.3-points-from-train"
    ply, splat, spz = (load_splats(f"{stem}.{ending}") for ending in ("ply", "splat", "spz"))
    torch.testing.assert_close(splat.means, ply.means)
    torch.testing.assert_close(spz.means, ply.means, atol=2e-4, rtol=0)
    assert (splat.sh_degree, spz.sh_degree) == (0, 3)
    for other in (splat, spz):
        alike = torch.nn.functional.cosine_similarity(other.quats, ply.quats, dim=1)
        assert (alike.abs() > 0.9999).all()


def test_a_sog_written_from_its_specification_reads_back(tmp_path: Path):
    """Four splats, each with another component of its rotation left out."""
    half = np.sqrt(0.5)
    quats = np.array([[0.9, 0.1, -0.3, 0.2], [0.1, 0.9, 0.2, -0.3], [0, 0, 1, 0], [0.5] * 4])
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    largest = [0, 1, 2, 3]
    small = np.array([np.delete(q, i) for q, i in zip(quats, largest, strict=True)])
    logs = np.array([[0, 65535, 1], [256, 0, 65535], [3, 3, 3], [40_000, 20_000, 10_000]])
    textures = {
        "means_l": np.column_stack([logs % 256, [255] * 4]),
        "means_u": np.column_stack([logs // 256, [255] * 4]),
        "quats": np.column_stack([np.rint((small / half + 1) * 127.5), np.add(252, largest)]),
        "scales": np.array([[0, 1, 2, 255], [2, 1, 0, 255], [0, 0, 0, 255], [1, 1, 1, 255]]),
        "sh0": np.array([[0, 1, 2, 255], [2, 1, 0, 0], [0, 0, 0, 51], [1, 1, 1, 204]]),
    }
    book = [-3.0, -0.5, 0.25]
    meta = {
        "version": 2,
        "count": 4,
        "means": {
            "mins": [-2, -1, 0],
            "maxs": [2, 1, 3],
            "files": ["means_l.webp", "means_u.webp"],
        },
        "quats": {"files": ["quats.webp"]},
        "scales": {"codebook": book, "files": ["scales.webp"]},
        "sh0": {"codebook": book, "files": ["sh0.webp"]},
    }
    with zipfile.ZipFile(tmp_path / "a.sog", "w") as archive:
        archive.writestr("meta.json", json.dumps(meta))
        for name, pixels in textures.items():
            bgra = pixels.reshape(2, 2, 4)[..., [2, 1, 0, 3]].astype(np.uint8)
            lossless = [cv2.IMWRITE_WEBP_QUALITY, 101]
            archive.writestr(f"{name}.webp", cv2.imencode(".webp", bgra, lossless)[1].tobytes())
    splats = load_splats(tmp_path / "a.sog")
    shares = np.array([-2, -1, 0]) + logs / 65535 * np.array([4, 2, 3])
    means = np.sign(shares) * (np.exp(np.abs(shares)) - 1)
    np.testing.assert_allclose(splats.means, means, atol=1e-6)
    np.testing.assert_allclose(splats.quats, quats, atol=0.007)  # 8 bits a component
    np.testing.assert_allclose(splats.scales[0], np.exp(book), rtol=1e-6)
    np.testing.assert_array_equal(splats.sh[0, 0], book)
    np.testing.assert_allclose(splats.opacities, [1, 0, 0.2, 0.8], atol=1e-6)


# Our own files.


@pytest.mark.parametrize(
    ("ending", "position", "shape"),
    [
        (".compressed.ply", 5e-3, 0.05),
        (".splat", 1e-7, 0.03),
        (".spz", 2e-5, 0.1),
        (".v4.spz", 2e-5, 0.1),
        (".glb", 1e-7, 1e-5),
        (".sog", 1e-4, 0.08),
    ],
)
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_what_is_written_reads_back_within_its_quantisation(
    tmp_path: Path, ending: str, position: float, shape: float, degree: int
):
    splats = random_splats(degree=degree)
    save_splats(splats, tmp_path / f"a{ending}")
    read = load_splats(tmp_path / f"a{ending}")
    assert len(read) == len(splats)
    assert read.sh_degree == (0 if ending == ".splat" else degree)
    assert_alike(matched(read, splats), splats, position=position, shape=shape)


@pytest.mark.parametrize("ending", [each for each in WRITABLE if each != ".ply"])
@pytest.mark.parametrize("degree", [0, 1, 3])
def test_harmonics_that_are_all_zero_take_no_room(tmp_path: Path, ending: str, degree: int):
    splats = random_splats(degree=degree)
    for name, each in (("lean", splats), ("padded", with_sh_degree(splats, 3))):
        save_splats(each, tmp_path / f"{name}{ending}")
    lean, padded = (tmp_path / f"{name}{ending}" for name in ("lean", "padded"))
    assert padded.read_bytes() == lean.read_bytes()


def test_all_readable_endings_are_tested_and_writable_ones_are_readable():
    plys, packed = {".ply", ".compressed.ply"}, {".spz", ".v4.spz", ".sog", "lod-meta.json"}
    assert set(READABLE) == {*plys, *packed, ".splat", ".ksplat", ".glb", ".gltf"}
    assert set(WRITABLE) <= set(READABLE)


def test_ply_keeps_waves_origin_and_comments(tmp_path: Path):
    splats = random_splats(waves=2)
    save_splats(splats, tmp_path / "a.PLY", origin=(1e6, 0, 0), comments=["steps 7"])
    assert torch.equal(load_splats(tmp_path / "a.PLY").coefficients, splats.coefficients)
    head = (tmp_path / "a.PLY").read_bytes()[:300]
    assert b"comment origin 1000000.0 0.0 0.0\n" in head
    assert b"comment steps 7\n" in head


@pytest.mark.parametrize("antialiased", [False, True])
def test_a_ply_comes_back_with_how_it_is_to_be_shown(tmp_path: Path, antialiased: bool):
    splats, origin = random_splats(waves=2), (1e6, -20.0, 0.5)
    save_splats(splats, tmp_path / "a.ply", origin=origin, antialiased=antialiased)
    file = load_splat_file(tmp_path / "a.ply")
    assert (file.antialiased, file.origin) == (antialiased, origin)
    assert file.settings.antialiased == antialiased
    save_splats(file.splats, tmp_path / "b.ply", origin=file.origin, antialiased=file.antialiased)
    again = load_splat_file(tmp_path / "b.ply")
    assert (again.antialiased, again.origin) == (antialiased, origin)
    torch.testing.assert_close(again.splats.tensors(), file.splats.tensors())


def test_a_ply_says_nothing_of_a_render_mode_that_nobody_stated(tmp_path: Path):
    save_splats(random_splats(), tmp_path / "a.ply")
    assert b"SplatRenderMode" not in (tmp_path / "a.ply").read_bytes()[:1000]
    save_splats(random_splats(), tmp_path / "a.ply", comments=["SplatRenderMode: mip"])
    assert load_splat_file(tmp_path / "a.ply").antialiased


@pytest.mark.parametrize("ending", OTHERS)
def test_waves_are_never_dropped_unasked(tmp_path: Path, ending: str):
    path = tmp_path / f"a{ending}"
    with pytest.raises(InputError, match=r"cannot carry Gabor waves.* have 2 each; .*--bake"):
        save_splats(random_splats(waves=2), path)
    assert not list(tmp_path.iterdir())
    save_splats(bake(random_splats(waves=2)), path)
    assert len(load_splats(path)) == 300


@pytest.mark.parametrize("ending", WRITABLE)
def test_a_scene_without_splats_is_a_file_without_splats(tmp_path: Path, ending: str):
    save_splats(random_splats(0), tmp_path / f"a{ending}")
    assert len(load_splats(tmp_path / f"a{ending}")) == 0


@pytest.mark.parametrize("ending", OTHERS)
def test_values_that_mean_nothing_are_not_written(tmp_path: Path, ending: str):
    splats = random_splats()
    splats.means[5, 1] = float("nan")
    with pytest.raises(InputError, match=r"Splats\.means must be finite: 1 of 300"):
        save_splats(splats, tmp_path / f"a{ending}")
    assert not list(tmp_path.iterdir())


def test_spz_spends_its_bits_on_the_size_of_the_scene(tmp_path: Path):
    splats = random_splats()
    for size, error in ((1.0, 1e-5), (1e3, 1e-3), (1e6, 1.0)):
        large = Splats(**{**splats.tensors(), "means": splats.means * size})
        save_splats(large, tmp_path / "a.spz")
        read = load_splats(tmp_path / "a.spz")
        assert (read.means - large.means).abs().max() < error
    splats.means[0, 0] = 1e7
    with pytest.raises(InputError, match=r"\.spz cannot hold positions as large as 1e\+07"):
        save_splats(splats, tmp_path / "b.spz")


@pytest.mark.parametrize("name", ["a.obj", "a.usdz", "a.txt", "a"])
def test_other_formats_are_refused_with_what_is_known(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(InputError, match=re.escape(f"{name}: cannot be read; known are .ply, ")):
        load_splats(tmp_path / name)
    with pytest.raises(InputError, match=re.escape(f"{name}: cannot be written; known are .ply, ")):
        save_splats(random_splats(), tmp_path / name)


def test_a_file_or_folder_without_splats_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.spz: no such file"):
        load_splats(tmp_path / "none.spz")
    with pytest.raises(InputError, match="no splat file in this folder"):
        load_splats(tmp_path)


@pytest.mark.parametrize("ending", WRITABLE)
@fuzz
@given(data=st.data())
def test_a_damaged_file_gives_splats_or_an_input_error_of_one_line(
    tmp_path: Path, ending: str, data: st.DataObject
):
    path = tmp_path / f"a{ending}"
    waves = 1 if carries(path, "waves") else 0
    save_splats(random_splats(3, degree=1, waves=waves), path)
    assert_survives_damage(path, data)


# Baking.


def test_baking_multiplies_opacity_by_the_mean_of_the_waves():
    splats = random_splats(4, waves=2)
    offsets = torch.randn(400_000, 3)
    for splat, baked in zip(range(4), bake(splats).opacities, strict=True):
        phase = 2 * torch.pi * offsets @ splats.frequencies[splat].T
        a, b = splats.coefficients[splat].unbind(1)
        modulation = 1 - a.sum() + (a * phase.cos() + b * phase.sin()).sum(1)
        expected = splats.opacities[splat] * modulation.mean()
        assert baked == pytest.approx(float(expected), abs=2e-3)


def test_baking_leaves_gaussians_and_everything_but_opacity_alone():
    plain = random_splats()
    assert torch.equal(bake(plain).opacities, plain.opacities)
    waved = random_splats(waves=4)
    baked = bake(waved)
    assert baked.waves == 0
    for name in ("means", "quats", "scales", "sh"):
        assert torch.equal(baked.tensors()[name], waved.tensors()[name])


def test_baked_opacities_stay_opacities():
    splats = random_splats(waves=1)
    splats.coefficients[:150] = 5.0  # mean far below 0
    splats.coefficients[150:] = -5.0  # mean far above 1
    baked = bake(splats).opacities
    assert baked.min() == 0.0
    assert baked.max() == 1.0
    assert np.isfinite(baked.numpy()).all()
