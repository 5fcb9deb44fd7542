""".ksplat files: every level of compression and degree, in one section or more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from damaging import assert_survives_damage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ksplat_files import ksplat

from gaborsplat.scenes import InputError, load_splats


def arrays(count: int, degree: int, seed: int = 3) -> dict[str, np.ndarray]:
    """A section's splats; positions within 2 of zero."""
    rng = np.random.default_rng(seed)
    return {
        "xyz": rng.uniform(-1, 1, (count, 3)),
        "scales": rng.uniform(0.01, 0.2, (count, 3)),
        "quat": rng.normal(size=(count, 4)),
        "rgba": rng.integers(1, 255, (count, 4)),
        "sh": rng.uniform(-1, 1, (count, (degree + 1) ** 2 - 1, 3)),
    }


@pytest.mark.parametrize(
    ("level", "place", "shape", "harmonic"), [(0, 1e-6, 1e-6, 1e-6), (1, 8e-5, 2e-3, 1e-3)]
)
@pytest.mark.parametrize("degree", [0, 1, 2])
def test_sections_become_one_cloud_in_their_order(
    tmp_path: Path, level: int, place: float, shape: float, harmonic: float, degree: int
):
    sections = [arrays(5, degree), arrays(4, degree, seed=4)]
    (tmp_path / "a.ksplat").write_bytes(ksplat(sections, level))
    splats = load_splats(tmp_path / "a.ksplat")
    whole = {name: np.concatenate([each[name] for each in sections]) for name in sections[0]}
    np.testing.assert_allclose(splats.means, whole["xyz"], atol=place)
    np.testing.assert_allclose(splats.scales, whole["scales"], rtol=shape)
    np.testing.assert_allclose(splats.quats, whole["quat"], atol=shape, rtol=shape)
    np.testing.assert_allclose(splats.opacities, whole["rgba"][:, 3] / 255, atol=1e-6)
    np.testing.assert_allclose(
        0.5 + 0.28209479 * splats.sh[:, 0], whole["rgba"][:, :3] / 255, atol=1e-6
    )
    np.testing.assert_allclose(splats.sh[:, 1:], whole["sh"], atol=harmonic)


def test_level_2_spreads_a_byte_over_the_range_that_the_file_states(tmp_path: Path):
    section = arrays(7, 2)
    (tmp_path / "a.ksplat").write_bytes(ksplat([section], 2))
    splats = load_splats(tmp_path / "a.ksplat")
    np.testing.assert_allclose(splats.sh[:, 1:], section["sh"], atol=0.5 * 4 / 255 + 1e-6)


def test_the_four_splats_of_another_program_are_those_of_its_dot_splat(shared_data: Path):
    folder = shared_data / "splats" / "splat-transform-fixtures"
    read, same = (load_splats(folder / f"minimal.{kind}") for kind in ("ksplat", "splat"))
    for name in ("means", "scales", "opacities", "sh"):
        torch.testing.assert_close(read.tensors()[name], same.tensors()[name])


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, 9, r"version 9\.1; known is 0\.1"),
        (20, 3, "compression level 3; known are 0, 1 and 2"),
        (7, 255, "sections have no room"),
        (4096 + 40, 3, "harmonics of degree 3; known are 0 to 2"),
        (4096 + 7, 200, "cut short: section 1 with 5 splats ends at byte"),
        (4096 + 12, 9, "cut short|more than its buckets hold|it is damaged"),
    ],
)
def test_what_a_damaged_header_says_is_named(tmp_path: Path, at: int, value: int, message: str):
    data = bytearray(ksplat([arrays(5, 1)], 1))
    data[at] = value
    (tmp_path / "a.ksplat").write_bytes(data)
    with pytest.raises(InputError, match=message):
        load_splats(tmp_path / "a.ksplat")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_damage_gives_splats_or_an_input_error_of_one_line(tmp_path: Path, data: st.DataObject):
    raw = ksplat([arrays(5, 1), arrays(3, 1)], data.draw(st.integers(0, 2)))
    path = tmp_path / "a.ksplat"
    path.write_bytes(raw)
    # Rather its headers, which are mostly empty, and splats.
    places = st.one_of(st.integers(0, 48), st.integers(4096, 4140), st.integers(6144, len(raw) - 1))
    assert_survives_damage(path, data, places)
