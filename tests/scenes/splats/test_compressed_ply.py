"""Compressed PLY of any age, read as it was written, and written as gsply reads it."""

from __future__ import annotations

import re
from pathlib import Path

import gsply
import numpy as np
import pytest
import torch

from gaborsplat.renderer.splats import Splats
from gaborsplat.scenes import InputError, load_splats, save_splats
from gaborsplat.scenes.ply import read_header
from gaborsplat.scenes.splats.formats.compressed_ply import read_compressed_ply
from gaborsplat.scenes.splats.formats.through_gsply import read_through_gsply
from gaborsplat.scenes.splats.raw_splats import RawSplats
from tests.support.splat_files.ply_files import INRIA, random_columns, write_ply

COLORS = tuple(f"{side}_{color}" for side in ("min", "max") for color in "rgb")


def random_splats(folder: Path, n: int = 700, degree: int = 3) -> Splats:
    splats = load_splats(write_ply(folder / "in.ply", random_columns(INRIA, n)))
    return Splats(**{**splats.tensors(), "sh": splats.sh[:, : (degree + 1) ** 2].clone()})


def without(path: Path, names: tuple[str, ...], element: str) -> None:
    """Takes columns of an element of floats out of a compressed PLY."""
    header, mark, body = path.read_bytes().partition(b"end_header\n")
    text = header.decode()
    block = re.search(rf"element {element} (\d+)\n((?:property float \w+\n)+)", text)
    assert block is not None, "the element is there"
    columns = re.findall(r"property float (\w+)", block[2])
    size = 4 * int(block[1]) * len(columns)
    table = np.frombuffer(body[:size], "<f4").reshape(-1, len(columns))
    kept = [i for i, name in enumerate(columns) if name not in names]
    for name in names:
        text = text.replace(f"property float {name}\n", "")
    path.write_bytes(text.encode() + mark + table[:, kept].tobytes() + body[size:])


def by_gsply(path: Path) -> RawSplats:
    return read_through_gsply(path, lambda: gsply.plyread(path))


@pytest.mark.parametrize("degree", range(4))
def test_gsply_reads_what_we_read_of_what_we_wrote(tmp_path: Path, degree: int):
    path = tmp_path / "a.compressed.ply"
    save_splats(random_splats(tmp_path, degree=degree), path)
    ours, theirs = (
        read_compressed_ply(read_header(path)).raw,
        read_through_gsply(path, lambda: gsply.plyread(path)),
    )
    assert ours.sh.shape == theirs.sh.shape == (700, (degree + 1) ** 2, 3)
    for name in ("means", "quats", "log_scales"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=2e-6)
    np.testing.assert_allclose(ours.logits.clip(-10, 10), theirs.logits, atol=2e-6)
    np.testing.assert_allclose(ours.sh, theirs.sh, atol=1 / 63)  # of bytes 0 and 255


@pytest.mark.parametrize(
    "name",
    [
        "converted/guitar40k.compressed.ply",
        "converted/playbot_lod4.compressed.ply",
        "playcanvas-engine/guitar.compressed.ply",
        "playcanvas-engine/test.ply",
    ],
)
def test_files_of_supersplat_are_read_as_gsply_reads_them(shared_data: Path, name: str):
    path = shared_data / "splats" / name
    ours, theirs = (
        read_compressed_ply(read_header(path)).raw,
        read_through_gsply(path, lambda: gsply.plyread(path)),
    )
    for field in ("means", "quats", "log_scales"):
        np.testing.assert_allclose(getattr(ours, field), getattr(theirs, field), atol=2e-6)
    np.testing.assert_allclose(ours.sh, theirs.sh, atol=1 / 63)


def test_splats_come_back_within_the_steps_of_their_chunk(tmp_path: Path):
    splats = random_splats(tmp_path)
    save_splats(splats, tmp_path / "a.compressed.ply")
    read = load_splats(tmp_path / "a.compressed.ply")
    nearest = torch.cdist(splats.means.double(), read.means.double()).argmin(1)
    assert len(nearest.unique()) == 700
    read = read.select(nearest)
    assert (read.means - splats.means).abs().max() < 8 / 1023
    assert (read.scales.log() - splats.scales.log()).abs().max() < 8 / 1023
    alike = torch.nn.functional.cosine_similarity(read.quats, splats.quats, dim=1)
    assert (alike.abs() > 0.9999).all()
    within = splats.sh[:, 1:].clamp(-4, 4)
    assert (read.sh[:, 1:] - within).abs().max() <= 1 / 32
    assert (read.opacities - splats.opacities).abs().max() < 0.002


def test_flat_splats_leave_the_sizes_of_the_others_alone(tmp_path: Path):
    splats = random_splats(tmp_path)
    splats.scales[::3, 2] = 0
    save_splats(splats, tmp_path / "a.compressed.ply")
    read = load_splats(tmp_path / "a.compressed.ply")
    read = read.select(torch.cdist(splats.means.double(), read.means.double()).argmin(1))
    assert (read.scales.log() - splats.scales.log())[:, :2].abs().max() < 8 / 1023
    assert (read.scales[::3, 2] < 1e-8).all()


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_chunks_of_older_programs_have_no_bounds_of_colours(tmp_path: Path, newline: bytes):
    splats = random_splats(tmp_path)
    path = tmp_path / "a.compressed.ply"
    # Bounds 0 and 1, which are those of a file that names none.
    splats.sh[:, 0] = (torch.rand(700, 3) - 0.5) / 0.2820948
    splats.sh[:, 0] = torch.where(torch.rand(700, 3) < 0.1, -0.5 / 0.2820948, splats.sh[:, 0])
    splats.sh[:, 0] = torch.where(torch.rand(700, 3) < 0.1, 0.5 / 0.2820948, splats.sh[:, 0])
    save_splats(splats, path)
    newer = load_splats(path)
    without(path, COLORS, "chunk")
    header, mark, body = path.read_bytes().partition(b"end_header\n")
    path.write_bytes((header + mark).replace(b"\n", newline) + body)
    older = load_splats(path)
    torch.testing.assert_close(older.tensors(), newer.tensors(), atol=1e-5, rtol=0)


def test_chunks_that_do_not_fit_are_refused(tmp_path: Path):
    path = tmp_path / "a.compressed.ply"
    save_splats(random_splats(tmp_path), path)
    whole = path.read_bytes()
    for old, new, told in (
        (b"element chunk 3", b"element chunk 2", "2 chunks hold at most 512 splats, not 700"),
        (b"element sh 700", b"element sh 70", "harmonics of 70 splats for 700"),
        (b"property float max_x", b"property float mix_x", 'no property "max_x"; splats in chunks'),
        (b"property float max_b", b"property float mix_b", 'no property "max_b"; splats in chunks'),
        (b"uint packed_scale", b"uint packed_score", 'no property "packed_scale"'),
        (b"uchar f_rest_44", b"uchar f_rest_45", 'no property "f_rest_44"'),
        (b"property uchar f_rest_44\n", b"", "44 properties of harmonics; degrees 0 to 3"),
        (b"binary_little_endian", b"ascii", "is ascii; splats in chunks are binary"),
        (whole[-1000:], b"", "cut short"),
    ):
        path.write_bytes(whole.replace(old, new, 1))
        with pytest.raises(InputError, match=re.escape(told)):
            load_splats(path)
