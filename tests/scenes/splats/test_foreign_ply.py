"""Splat PLY as others write it: any order, type and encoding. What is wrong is named."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import plyfile
import pytest
import torch

from gaborsplat.scenes import load_splat_file, load_splats, save_splats
from gaborsplat.scenes.errors import InputError
from tests.support.splat_files.ply_files import INRIA, MINIMAL, random_columns, write_ply

# What others write.


@pytest.mark.parametrize("rest", [0, 9, 24, 45])
@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("encoding", ["binary_little_endian", "binary_big_endian", "ascii"])
def test_any_order_degree_type_and_encoding_is_read(
    tmp_path: Path, rest: int, kind: str, encoding: str
):
    names = [*reversed(MINIMAL), *(f"f_rest_{i}" for i in reversed(range(rest)))]
    columns = random_columns(names, kind=kind)
    columns |= {"quality": np.arange(5, dtype="u1"), "id": np.arange(5, dtype="i4")}
    splats = load_splats(write_ply(tmp_path / "a.ply", columns, encoding))
    bands = rest // 3
    assert splats.sh.shape == (5, bands + 1, 3)
    np.testing.assert_allclose(splats.means[:, 2], columns["z"], rtol=1e-7)
    np.testing.assert_allclose(splats.scales[:, 1], np.exp(columns["scale_1"]), rtol=1e-6)
    np.testing.assert_allclose(splats.quats[:, 3], columns["rot_3"], rtol=1e-7)
    np.testing.assert_allclose(splats.sh[:, 0, 2], columns["f_dc_2"], rtol=1e-7)
    for band in range(bands):
        np.testing.assert_allclose(
            splats.sh[:, band + 1, 1], columns[f"f_rest_{bands + band}"], rtol=1e-7
        )


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_any_line_ends_are_read(tmp_path: Path, newline: str):
    columns = random_columns(MINIMAL)
    path = write_ply(tmp_path / "a.ply", columns, newline=newline, extra=("obj_info made by hand",))
    np.testing.assert_array_equal(load_splats(path).means[:, 0], columns["x"])


def test_other_elements_are_passed_over(tmp_path: Path):
    columns = random_columns(MINIMAL)
    before = ("element camera 2", "property uchar id", "property double focal")
    path = write_ply(tmp_path / "a.ply", columns, extra=before)
    header, mark, body = path.read_bytes().partition(b"end_header\n")
    after = b"element face 1\nproperty list uchar int vertex_indices\n"
    path.write_bytes(header + after + mark + b"\x07" * 18 + body + b"\x01\x00\x00\x00\x00")
    np.testing.assert_array_equal(load_splats(path).means[:, 0], columns["x"])


@pytest.mark.parametrize("encoding", ["binary_little_endian", "binary_big_endian"])
def test_lists_before_the_splats_and_among_them_are_passed_over(tmp_path: Path, encoding: str):
    columns = random_columns(MINIMAL)
    extra = ("element face 2", "property list uchar int vertex_indices")
    path = write_ply(tmp_path / "a.ply", columns, encoding, extra=extra)
    header, mark, body = path.read_bytes().partition(b"end_header\n")
    rows = [body[i : i + 4 * len(columns)] for i in range(0, len(body), 4 * len(columns))]
    body = b"".join(row + b"\2\7\7" for row in rows)
    header += b"property list uchar char marks\n"
    faces = b"\3" + bytes(12)
    path.write_bytes(header + mark + faces * 2 + body)
    np.testing.assert_array_equal(load_splats(path).means[:, 0], columns["x"])
    path.write_bytes(header + mark + faces + b"\2" + bytes(12) + body)
    with pytest.raises(InputError, match=r"'face': row 1: .*unexpected list length"):
        load_splats(path)
    path.write_bytes(header + mark + (faces * 2 + body)[:-1])
    with pytest.raises(InputError, match=r"cut short: \d+ bytes are due"):
        load_splats(path)


def test_lists_in_text_are_refused(tmp_path: Path):
    extra = ("element face 1", "property list uchar int vertex_indices")
    path = write_ply(tmp_path / "a.ply", random_columns(MINIMAL), "ascii", extra=extra)
    with pytest.raises(InputError, match='element "face" has a list property; in text only plain'):
        load_splats(path)


def test_an_opacity_of_plus_infinity_is_one_and_a_scale_of_minus_infinity_is_flat(tmp_path: Path):
    columns = random_columns(MINIMAL)
    columns["opacity"][:3] = [np.inf, -np.inf, 0]
    columns["scale_1"][4] = -np.inf
    splats = load_splats(write_ply(tmp_path / "a.ply", columns))
    assert splats.opacities[:3].tolist() == [1.0, 0.0, 0.5]
    assert 0 < splats.scales[4, 1] < 1e-12


def test_padding_of_other_programs_is_kept(tmp_path: Path):
    columns = random_columns(INRIA) | {f"f_rest_{i}": np.zeros(5, "f4") for i in range(45)}
    assert load_splats(write_ply(tmp_path / "a.ply", columns)).sh_degree == 3


@pytest.mark.parametrize(
    ("name", "count", "degree"),
    [
        ("converted/guitar40k.ply", 40_000, 0),
        ("converted/playbot_lod4.ply", 8_406, 2),
        ("gaussian-splatting-web/pc_short.ply", 100, 3),
        ("jsplat/unitCube-ascii.ply", 20, 0),
        ("metalsplatter/test-splat.3-points-from-train.ply", 3, 3),
        ("splatapult/test.ply", 16, 3),
    ],
)
def test_files_of_other_programs_read_as_an_independent_reader_reads_them(
    shared_data: Path, name: str, count: int, degree: int
):
    path = shared_data / "splats" / name
    splats = load_splats(path)
    assert (len(splats), splats.sh_degree, splats.waves) == (count, degree, 0)
    vertex = plyfile.PlyData.read(str(path))["vertex"]
    np.testing.assert_array_equal(splats.means[:, 1], vertex["y"])
    np.testing.assert_array_equal(splats.quats[:, 2], vertex["rot_2"])
    bands = splats.sh.shape[1] - 1
    for channel in range(3 if bands else 0):
        np.testing.assert_array_equal(
            splats.sh[:, bands, channel], vertex[f"f_rest_{(channel + 1) * bands - 1}"]
        )
    opaque = np.isposinf(vertex["opacity"])
    assert (splats.opacities[torch.from_numpy(opaque)] == 1).all()


# What is refused.


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.ply: no such file"):
        load_splats(tmp_path / "none.ply")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n", b"plyx\n", b"ply"])
def test_a_file_that_is_not_ply_is_refused_with_its_first_bytes(tmp_path: Path, content: bytes):
    (tmp_path / "a.ply").write_bytes(content)
    with pytest.raises(
        InputError, match="not a PLY file: it begins with " + re.escape(repr(content))
    ):
        load_splats(tmp_path / "a.ply")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("end_header", "end_heads", 'the PLY header is cut short: no "end_header"'),
        (
            "property float x",
            "property float32x",
            "a.ply:4: bad 'property' line: \"property float32x\"",
        ),
        ("property float x", "property quad x", "a.ply:4: field type 'quad' not in"),
        ("property float x", "propertee float x", "a.ply:4: not a line of a PLY header"),
        (
            "property float x",
            "property float y",
            "header cannot be read: two properties with same name",
        ),
        ("property float x", "property float u", 'no property "x"; a splat PLY must have it'),
        ("property float rot_3", "property float q_3", 'no property "rot_3"'),
        ("element vertex 5", "element vertex five", "a.ply:3: not a line of a PLY header"),
        ("element vertex 5", "element point 5", 'no element "vertex"; a splat file has one row'),
        ("format binary_little_endian", "format morse", "a.ply:2: not a line of a PLY header"),
        ("format binary_little_endian 1.0", "comment", "the PLY header names no format"),
    ],
)
def test_a_wrong_header_is_refused_with_its_line(tmp_path: Path, old: str, new: str, message: str):
    path = write_ply(tmp_path / "a.ply", random_columns(MINIMAL))
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode(), 1))
    with pytest.raises(InputError, match=re.escape(message)):
        load_splats(path)


def test_a_file_cut_in_half_is_refused_with_both_lengths(tmp_path: Path):
    path = write_ply(tmp_path / "a.ply", random_columns(INRIA, n=100))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError) as error:
        load_splats(path)
    assert str(error.value) == (
        f"{path}: cut short: {len(whole)} bytes are due, but the file has only {len(whole) // 2}"
    )


def test_ascii_cut_short_is_refused(tmp_path: Path):
    path = write_ply(tmp_path / "a.ply", random_columns(MINIMAL), "ascii")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="cut short: 70 values are due, but the file has only 6"):
        load_splats(path)
    path.write_bytes(path.read_bytes() + b" x y z")
    with pytest.raises(InputError, match="not a number among the values"):
        load_splats(path)


@pytest.mark.parametrize("count", [3, 48])
def test_a_degree_that_does_not_exist_is_refused(tmp_path: Path, count: int):
    columns = random_columns([*MINIMAL, *(f"f_rest_{i}" for i in range(count))])
    with pytest.raises(InputError, match=f"{count} properties f_rest; degrees 0 to 4 have 0, 9"):
        load_splats(write_ply(tmp_path / "a.ply", columns))


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("y", np.nan, "a position that is not finite"),
        ("z", -np.inf, "a position that is not finite"),
        ("opacity", np.nan, "an opacity that is not a number"),
        ("scale_0", np.inf, "a scale that is not finite"),
        ("rot_1", np.inf, "a rotation that is zero or not finite"),
        ("f_dc_0", -np.inf, "a colour that is not finite"),
    ],
)
def test_rows_with_values_that_mean_nothing_are_dropped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, value: float, what: str
):
    columns = random_columns(MINIMAL)
    sound = load_splats(write_ply(tmp_path / "sound.ply", columns))
    columns[name][[2, 4]] = value
    splats = load_splats(write_ply(tmp_path / "a.ply", columns))
    assert torch.equal(splats.means, sound.means[[0, 1, 3]])
    assert torch.equal(splats.sh, sound.sh[[0, 1, 3]])
    assert f"a.ply: 2 of 5 splats dropped: 2 with {what} (first: 2)" in caplog.text
    columns[name][:] = value
    with pytest.raises(InputError, match=f"no splat can be shown: 5 with {what}"):
        load_splats(write_ply(tmp_path / "a.ply", columns))


def test_rotations_of_zero_are_dropped(tmp_path: Path):
    columns = random_columns(MINIMAL)
    for i in range(4):
        columns[f"rot_{i}"][3] = 0
    assert len(load_splats(write_ply(tmp_path / "a.ply", columns))) == 4


def test_doubles_too_large_for_float_are_dropped(tmp_path: Path):
    columns = random_columns(MINIMAL, kind="f8")
    columns["x"][1] = 1e300
    assert len(load_splats(write_ply(tmp_path / "a.ply", columns))) == 4


def test_doubles_far_from_zero_keep_their_detail(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    columns = random_columns(MINIMAL, kind="f8")
    near = load_splats(write_ply(tmp_path / "near.ply", columns))
    shift = np.array([4.5e5, -5.2e6, 300.25])
    for axis, value in zip("xyz", shift, strict=True):
        columns[axis] = columns[axis] + value
    path = write_ply(tmp_path / "far.ply", columns)
    file = load_splat_file(path)
    assert caplog.text == ""
    exact = near.means.double() + torch.from_numpy(shift - np.array(file.origin))
    torch.testing.assert_close(file.splats.means.double(), exact, atol=1e-6, rtol=0)
    assert torch.equal(load_splats(path).means, file.splats.means)
    assert "far.ply: float32 cannot hold its positions" in caplog.text
    save_splats(file.splats, tmp_path / "again.ply", metadata=file.metadata)
    again = load_splat_file(tmp_path / "again.ply")
    assert again.origin == file.origin
    torch.testing.assert_close(again.splats.means, file.splats.means, atol=1e-6, rtol=0)


def test_floats_far_from_zero_are_shown_near_it_and_read_as_they_are(tmp_path: Path):
    columns = random_columns(MINIMAL)
    columns["x"] = (columns["x"] + 30000).astype(np.float32)
    path = write_ply(tmp_path / "a.ply", columns)
    assert np.array_equal(load_splats(path).means[:, 0], columns["x"])
    file = load_splat_file(path)
    assert file.splats.means.abs().max() < 100
    whole = file.splats.means.double() + torch.tensor(file.origin).double()
    assert np.array_equal(whole[:, 0].float(), columns["x"])


@pytest.mark.parametrize(
    ("waves", "drop", "comment", "message"),
    [
        (
            1,
            "gabor_frequency_0_y",
            "",
            'no property "gabor_frequency_0_y"; its waves are incomplete',
        ),
        (2, "gabor_coefficient_1_sin", "", 'no property "gabor_coefficient_1_sin"'),
        (3, "", "", "3 waves per splat; known are 0, 1, 2 and 4"),
        (1, "", "comment gabor_mode colour", 'waves of mode "colour"; known is opacity'),
    ],
)
def test_waves_that_cannot_be_shown_are_refused(
    tmp_path: Path, waves: int, drop: str, comment: str, message: str
):
    names = [
        f"gabor_{part}"
        for k in range(waves)
        for part in (
            *(f"frequency_{k}_{axis}" for axis in "xyz"),
            f"coefficient_{k}_cos",
            f"coefficient_{k}_sin",
        )
    ]
    columns = random_columns([*MINIMAL, *(name for name in names if name != drop)])
    path = write_ply(tmp_path / "a.ply", columns, extra=(comment,) if comment else ())
    with pytest.raises(InputError, match=re.escape(message)):
        load_splats(path)
