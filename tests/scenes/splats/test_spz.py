"""SPZ: every version and container, antialiasing, axes, and harmonics of degree 4."""

from __future__ import annotations

import gzip
import logging
import struct
from dataclasses import fields
from pathlib import Path

import gsply
import numpy as np
import pytest
import torch
import zstandard

from gaborsplat.renderer.splats import Splats
from gaborsplat.scenes import InputError, load_splat_file, load_splats, save_splats
from gaborsplat.scenes.splats.files import read_independently
from tests.support.splat_files.clouds import random_splats

ENDINGS = (".spz", ".v4.spz")
AXES = 0xADBE0003


def assert_same(splats: Splats, other: Splats) -> None:
    for field in fields(Splats):
        values, others = getattr(splats, field.name), getattr(other, field.name)
        torch.testing.assert_close(values, others, atol=3e-6, rtol=1e-6)


def raw_file(path: Path) -> bytes:
    """What is in the gzip stream of a file of ours."""
    save_splats(random_splats(6, 2), path, antialiased=True)
    return gzip.decompress(path.read_bytes())


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("antialiased", [False, True])
def test_gsply_reads_what_is_written(tmp_path: Path, ending: str, degree: int, antialiased: bool):
    path = tmp_path / f"a{ending}"
    save_splats(random_splats(50, degree), path, antialiased=antialiased)
    file = load_splat_file(path)
    assert file.metadata.antialiased is antialiased
    assert_same(file.splats, read_independently(path))


@pytest.mark.parametrize("version", [3, 4])
def test_what_gsply_writes_is_read(tmp_path: Path, version: int):
    save_splats(random_splats(50, 3), tmp_path / "a.spz")
    gsply.write_spz(tmp_path / "b.spz", gsply.read_spz(tmp_path / "a.spz"), version=version)
    assert_same(load_splats(tmp_path / "b.spz"), read_independently(tmp_path / "b.spz"))


def test_a_stream_that_is_not_in_gzip_is_read(tmp_path: Path):
    data = raw_file(tmp_path / "a.spz")
    (tmp_path / "b.spz").write_bytes(data)
    packed, plain = (load_splat_file(tmp_path / f"{name}.spz") for name in "ab")
    assert plain.metadata == packed.metadata
    assert_same(plain.splats, packed.splats)
    (tmp_path / "b.spz").write_bytes(data[:-1])
    with pytest.raises(InputError, match="cut short: 6 splats take"):
        load_splats(tmp_path / "b.spz")


def test_version_1_has_positions_of_two_bytes(tmp_path: Path):
    position = np.array([1.5, -2.25, 0.125], "<f2").tobytes()
    rest = bytes([255, 128, 128, 128, 160, 160, 160, 128, 128, 128])
    head = struct.pack("<4sIIBBBB", b"NGSP", 1, 1, 0, 0, 1, 0)
    (tmp_path / "a.spz").write_bytes(gzip.compress(head + position + rest))
    file = load_splat_file(tmp_path / "a.spz")
    assert file.splats.means.tolist() == [[1.5, 2.25, -0.125]]
    assert file.splats.opacities.tolist() == [1.0]
    assert file.antialiased


def test_rotations_come_back_whichever_component_is_the_largest(tmp_path: Path):
    splats = random_splats(8, 0)
    quats = torch.eye(4).repeat(2, 1) + 0.3 * torch.tensor([1.0, -1.0]).repeat(16).view(8, 4)
    quats *= torch.tensor([1.0, -1.0]).repeat_interleave(4)[:, None]
    for ending in ENDINGS:
        save_splats(Splats(**{**splats.tensors(), "quats": quats}), tmp_path / f"a{ending}")
        read = load_splats(tmp_path / f"a{ending}").quats
        alike = torch.nn.functional.cosine_similarity(read, quats, dim=1)
        assert alike.abs().min() > 0.99999


def renamed_axes(path: Path, number: int) -> None:
    """Changes what a file of version 4 says of its axes, not its numbers."""
    data = bytearray(path.read_bytes())
    assert struct.unpack_from("<II", data, 32) == (AXES, 4)
    data[40:44] = struct.pack("<I", number)
    path.write_bytes(data)


# Where the file's x, y and z go, by Niantic's own library (npm @adobe/spz 0.2.2).
@pytest.mark.parametrize(
    ("number", "frame", "turn"),
    [
        (0, None, [(1, 0, 0), (0, -1, 0), (0, 0, -1)]),
        (6, "RDF", [(1, 0, 0), (0, 1, 0), (0, 0, 1)]),
        (7, "LUF", [(-1, 0, 0), (0, -1, 0), (0, 0, 1)]),
        (9, "RUB", [(-1, 0, 0), (0, 0, -1), (0, -1, 0)]),
        (12, "RUB", [(1, 0, 0), (0, 0, 1), (0, -1, 0)]),
        (13, "RUB", [(-1, 0, 0), (0, 0, -1), (0, 1, 0)]),
        (16, "RUB", [(1, 0, 0), (0, 0, 1), (0, 1, 0)]),
        (99, None, [(1, 0, 0), (0, -1, 0), (0, 0, -1)]),
    ],
)
def test_the_axes_that_a_file_names_are_taken(
    tmp_path: Path, number: int, frame: str | None, turn: list[tuple[int, int, int]]
):
    path = tmp_path / "a.v4.spz"
    save_splats(random_splats(9, 3), path)
    renamed_axes(path, 6)
    numbers = load_splats(path)
    renamed_axes(path, number)
    file = load_splat_file(path)
    assert file.metadata.frame == frame
    matrix = torch.tensor(turn, dtype=torch.float32)
    torch.testing.assert_close(file.splats.means, numbers.means @ matrix, atol=1e-6, rtol=0)
    # Degree 1 is a vector, of -y, z and -x.
    after, before = (
        each.sh[:, [3, 1, 2], 0] * torch.tensor([-1.0, -1.0, 1.0])
        for each in (file.splats, numbers)
    )
    torch.testing.assert_close(after, before @ matrix, atol=1e-6, rtol=0)


def test_a_file_that_names_no_axes_is_taken_to_have_those_of_spz(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    save_splats(random_splats(), tmp_path / "a.spz")
    with caplog.at_level(logging.INFO):
        assert load_splat_file(tmp_path / "a.spz").metadata.frame is None
    assert "does not name its axes; taken to be RUB" in caplog.text


@pytest.mark.parametrize("version", [3, 4])
def test_harmonics_of_degree_4_are_cut_to_3_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, version: int
):
    path = tmp_path / ("a.spz" if version == 3 else "a.v4.spz")
    save_splats(random_splats(5, 3), path)
    whole, extra = load_splats(path), bytes(5 * 27)
    data = gzip.decompress(path.read_bytes()) if version == 3 else path.read_bytes()
    head, size = bytearray(data), 5 * 45
    head[12] = 4
    if version == 3:
        rest = np.frombuffer(data[-size:], np.uint8).reshape(5, 45)
        more = np.concatenate([rest, np.frombuffer(extra, np.uint8).reshape(5, 27)], axis=1)
        path.write_bytes(gzip.compress(bytes(head[:-size]) + more.tobytes()))
    else:
        table = struct.unpack_from("<I", data, 16)[0]
        entries = list(struct.iter_unpack("<QQ", data[table : table + 96]))
        end = table + 96 + sum(packed for packed, _ in entries[:-1])
        rest = np.frombuffer(zstandard.decompress(data[end:]), np.uint8).reshape(5, 45)
        more = np.concatenate([rest, np.frombuffer(extra, np.uint8).reshape(5, 27)], axis=1)
        stream = zstandard.compress(more.tobytes())
        head[table + 80 : table + 96] = struct.pack("<QQ", len(stream), more.size)
        path.write_bytes(bytes(head[:end]) + stream)
    assert_same(load_splats(path), whole)
    assert "harmonics of degree 4 are cut to degree 3" in caplog.text


def test_an_unknown_extension_is_passed_over(tmp_path: Path):
    data = bytearray(raw_file(tmp_path / "a.spz"))
    data[14] |= 2
    extensions = struct.pack("<II5s", 0x12340001, 5, b"hello") + struct.pack("<III", AXES, 4, 6)
    (tmp_path / "b.spz").write_bytes(gzip.compress(bytes(data) + extensions))
    file = load_splat_file(tmp_path / "b.spz")
    assert (file.metadata.frame, file.antialiased) == ("RDF", True)


def test_a_flag_of_antialiasing_survives_an_export(tmp_path: Path):
    data = bytearray(raw_file(tmp_path / "a.spz"))
    assert data[14] == 1
    for ending in (*ENDINGS, ".ply", ".glb"):
        save_splats(
            (file := load_splat_file(tmp_path / "a.spz")).splats,
            tmp_path / f"b{ending}",
            metadata=file.metadata,
        )
        assert load_splat_file(tmp_path / f"b{ending}").antialiased
