"""Splat PLY as we write it: the agreed layout, whole or not at all, and open to every reader."""

from __future__ import annotations

import re
from pathlib import Path

import gsply
import numpy as np
import plyfile
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gaborsplat.renderer.splats import WAVE_COUNTS, Splats
from gaborsplat.scenes import load_splats, save_splats, stated_origin
from gaborsplat.scenes.errors import InputError
from gaborsplat.scenes.ply import read_columns, read_header
from tests.support.splat_files.ply_files import INRIA

fuzz = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def random_splats(n: int = 7, degree: int = 3, waves: int = 2, seed: int = 0) -> Splats:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return Splats(
        means=normal(n, 3),
        quats=torch.nn.functional.normalize(normal(n, 4)),
        scales=normal(n, 3).exp(),
        opacities=torch.rand(n, generator=generator),
        sh=normal(n, (degree + 1) ** 2, 3),
        frequencies=normal(n, waves, 3),
        coefficients=normal(n, waves, 2),
    )


def assert_same(read: Splats, written: Splats) -> None:
    for name, expected in written.tensors().items():
        actual = read.tensors()[name]
        exact = name in ("means", "sh", "frequencies", "coefficients")
        # Logarithms and logits cost a few units in the last place.
        tolerance = {"rtol": 0.0, "atol": 0.0} if exact else {"rtol": 3e-6, "atol": 3e-7}
        torch.testing.assert_close(actual, expected, **tolerance, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("degree", range(4))
def test_what_is_written_reads_back(tmp_path: Path, degree: int, waves: int):
    splats = random_splats(degree=degree, waves=waves)
    save_splats(splats, tmp_path / "a.ply")
    assert_same(load_splats(tmp_path / "a.ply"), splats)


@fuzz
@given(data=st.data())
def test_any_finite_splats_read_back(tmp_path: Path, data: st.DataObject):
    n = data.draw(st.integers(0, 5), label="n")
    degree, waves = data.draw(st.integers(0, 3)), data.draw(st.sampled_from(WAVE_COUNTS))
    # Subnormal quaternions have no direction left once they are normalised.
    numbers = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)

    def array(*shape: int, elements: st.SearchStrategy[float] = numbers) -> torch.Tensor:
        return torch.from_numpy(data.draw(hnp.arrays(np.float32, shape, elements=elements)))

    quats = array(n, 4)
    quats[quats.norm(dim=1) < 1e-6] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    splats = Splats(
        means=array(n, 3),
        quats=torch.nn.functional.normalize(quats.double()).float(),
        scales=array(n, 3, elements=st.floats(float(np.float32(1e-12)), 1e6, width=32)),
        opacities=array(n, elements=st.floats(0, 1, width=32)),
        sh=array(n, (degree + 1) ** 2, 3),
        frequencies=array(n, waves, 3),
        coefficients=array(n, waves, 2),
    )
    save_splats(splats, tmp_path / "a.ply")
    read = load_splats(tmp_path / "a.ply")
    assert (read.waves, read.sh_degree) == (waves, degree)
    assert_same(read, splats)


def test_the_header_is_the_agreed_one(tmp_path: Path):
    save_splats(random_splats(waves=1), tmp_path / "a.ply", comments=["made by\na test"])
    header, _, body = (tmp_path / "a.ply").read_bytes().partition(b"end_header\n")
    lines = header.decode("ascii").split("\n")
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    assert re.fullmatch(r"comment gaborsplat \S+", lines[2])
    assert lines[3:6] == [
        "comment SH degree: 3",
        "comment gabor_mode opacity",
        "comment made by a test",
    ]
    assert lines[6] == "element vertex 7"
    gabor = [*(f"gabor_frequency_0_{axis}" for axis in "xyz")]
    gabor += ["gabor_coefficient_0_cos", "gabor_coefficient_0_sin"]
    assert lines[7:-1] == [f"property float {name}" for name in [*INRIA, *gabor]]
    assert len(body) == 7 * 4 * (62 + 5)


@pytest.mark.parametrize("degree", range(4))
def test_an_independent_reader_sees_the_same_values(tmp_path: Path, degree: int):
    splats = random_splats(degree=degree, waves=4)
    save_splats(splats, tmp_path / "a.ply")
    vertex = plyfile.PlyData.read(str(tmp_path / "a.ply"))["vertex"]
    assert [p.name for p in vertex.properties][:62] == INRIA
    np.testing.assert_array_equal(vertex["y"], splats.means[:, 1])
    np.testing.assert_allclose(vertex["scale_2"], splats.scales[:, 2].log(), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(vertex["opacity"], splats.opacities.logit(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(vertex["rot_0"], splats.quats[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(vertex["f_dc_1"], splats.sh[:, 0, 1])
    for channel in range(3):
        for band in range(1, 16):
            expected = splats.sh[:, band, channel] if band < splats.sh.shape[1] else torch.zeros(7)
            np.testing.assert_array_equal(vertex[f"f_rest_{channel * 15 + band - 1}"], expected)
    np.testing.assert_array_equal(vertex["gabor_frequency_3_z"], splats.frequencies[:, 3, 2])
    np.testing.assert_array_equal(vertex["gabor_coefficient_2_sin"], splats.coefficients[:, 2, 1])


def test_a_gaussian_viewer_sees_the_envelopes(tmp_path: Path, waves: int):
    splats = random_splats(waves=waves)
    save_splats(splats, tmp_path / "a.ply")
    seen = gsply.plyread(tmp_path / "a.ply")
    np.testing.assert_array_equal(seen.means, splats.means)
    np.testing.assert_allclose(np.exp(seen.scales), splats.scales, rtol=1e-5)
    np.testing.assert_allclose(1 / (1 + np.exp(-seen.opacities)), splats.opacities, atol=1e-6)
    np.testing.assert_array_equal(seen.sh0, splats.sh[:, 0])
    np.testing.assert_array_equal(seen.shN, splats.sh[:, 1:])


def test_opacities_of_zero_and_one_stay_finite_and_scales_of_zero_too(tmp_path: Path):
    splats = random_splats(4, 0, 0)
    splats.opacities[:] = torch.tensor([0.0, 1.0, 1 - 2**-24, 1e-30])
    splats.scales[1, 2] = 0.0
    save_splats(splats, tmp_path / "a.ply")
    columns = read_columns(read_header(tmp_path / "a.ply"))
    assert all(np.isfinite(column).all() for column in columns.values())
    read = load_splats(tmp_path / "a.ply")
    assert read.opacities[1] == 1.0
    torch.testing.assert_close(read.opacities, splats.opacities, rtol=0, atol=6e-8)
    assert 0 < read.scales[1, 2] < 1e-12


def test_quaternions_are_written_with_length_one(tmp_path: Path):
    splats = random_splats()
    save_splats(Splats(**{**splats.tensors(), "quats": splats.quats * 1e-20}), tmp_path / "a.ply")
    torch.testing.assert_close(load_splats(tmp_path / "a.ply").quats, splats.quats)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "means",
            float("nan"),
            "Splats.means must be finite: 1 of 7 splats break this (first at 3)",
        ),
        ("sh", float("inf"), "Splats.sh must be finite: 1 of 7"),
        ("coefficients", float("nan"), "Splats.coefficients must be finite"),
        ("scales", -1.0, "Splats.scales must not be negative"),
        ("quats", 0.0, "Splats.quats must not be zero"),
    ],
)
def test_what_no_viewer_could_show_is_refused_and_the_old_file_stays(
    tmp_path: Path, name: str, value: float, message: str
):
    path = tmp_path / "a.ply"
    path.write_bytes(b"old")
    splats = random_splats()
    getattr(splats, name)[3] = value
    with pytest.raises(InputError, match=re.escape(f"{path}: {message}")):
        save_splats(splats, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch):
    path = tmp_path / "a.ply"
    save_splats(random_splats(), path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("gaborsplat.renderer.files.os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        save_splats(random_splats(seed=1), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_folder_is_made_and_gradients_are_no_hindrance(tmp_path: Path):
    splats = random_splats().map(lambda tensor: tensor.requires_grad_())
    save_splats(splats, tmp_path / "new" / "deep" / "a.ply")
    assert len(load_splats(tmp_path / "new" / "deep" / "a.ply")) == 7


def test_positions_are_in_the_frame_of_the_capture_and_keep_their_detail(tmp_path: Path):
    splats = random_splats()
    origin = (431_234.1, -4_512_345.0000001, 0.0)
    path = tmp_path / "a.ply"
    save_splats(splats, path, origin=origin)
    assert stated_origin(path) == origin
    # float32 rounds a position twice: where it lies in the capture, and what that lost.
    torch.testing.assert_close(load_splats(path).means, splats.means, atol=1e-6, rtol=1e-6)
    vertices = plyfile.PlyData.read(path)["vertex"]
    for axis, name in enumerate("xyz"):
        expected = splats.means[:, axis].double() + origin[axis]
        np.testing.assert_allclose(vertices[name], expected, rtol=1e-7)
    save_splats(splats, tmp_path / "b.ply")
    assert stated_origin(tmp_path / "b.ply") == (0, 0, 0)
    assert "x_remainder" not in plyfile.PlyData.read(tmp_path / "b.ply")["vertex"].data.dtype.names
