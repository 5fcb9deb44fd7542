"""Where a scene lies, and what is said of it, is not lost, whatever format it is in."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from gaborsplat.scenes import (
    WRITABLE,
    InputError,
    SplatMetadata,
    carries,
    load_splat_file,
    load_splats,
    save_splats,
)
from tests.support.splat_files.clouds import random_splats

NAMED = tuple(each for each in WRITABLE if carries(Path(f"a{each}"), "name"))


@pytest.mark.parametrize("ending", WRITABLE)
def test_an_origin_stays_with_the_splats_in_every_format(tmp_path: Path, ending: str):
    splats, origin = random_splats(), (4.5e5, -5.2e6, 0.25)
    path = tmp_path / f"a{ending}"
    save_splats(splats, path, origin=origin)
    assert load_splat_file(path).origin == pytest.approx(origin)
    save_splats(splats, path)
    assert load_splat_file(path).origin == (0, 0, 0)
    assert not path.with_name(f"{path.name}.origin.json").exists()


def test_a_damaged_origin_is_refused_and_named(tmp_path: Path):
    save_splats(random_splats(), tmp_path / "a.splat", origin=(1e6, 0, 0))
    (tmp_path / "a.splat.origin.json").write_text('{"origin": [1, "x", 3]}')
    with pytest.raises(InputError, match=r"a\.splat\.origin\.json: .*; remove it, or export again"):
        load_splat_file(tmp_path / "a.splat")


@pytest.mark.parametrize("ending", WRITABLE)
def test_an_origin_stays_with_the_splats_in_an_archive(tmp_path: Path, ending: str):
    origin = (4.5e5, -5.2e6, 0.25)
    save_splats(random_splats(), tmp_path / "in" / f"a{ending}", origin=origin)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in (tmp_path / "in").iterdir():
            archive.write(path, f"deep/{path.name}")
    assert load_splat_file(tmp_path / "a.zip").origin == pytest.approx(origin)


def test_splats_are_never_without_the_origin_that_they_had(tmp_path: Path):
    path = tmp_path / "a.splat"
    save_splats(random_splats(), path)
    before = path.read_bytes()
    (tmp_path / "a.splat.origin.json").mkdir()
    with pytest.raises(OSError, match=r"a\.splat\.origin\.json"):
        save_splats(random_splats(7), path, origin=(1e6, 0, 0))
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_positions_that_float32_can_hold_but_for_a_rounding_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    splats = random_splats()
    splats.means.add_(torch.tensor([9000.0, 0, 0]))
    save_splats(splats, tmp_path / "a.ply", origin=(0.1, 0.2, 0.3))
    assert torch.equal(load_splats(tmp_path / "a.ply").means, splats.means)
    assert "float32 cannot hold" not in caplog.text


def test_an_origin_in_a_comment_of_a_compressed_ply_moves_nothing(tmp_path: Path):
    path = tmp_path / "a.compressed.ply"
    save_splats(random_splats(), path, comments=["origin 1 2 3", "steps 7"])
    assert b"comment steps 7\n" in path.read_bytes()
    stated = load_splat_file(path)
    path.write_bytes(path.read_bytes().replace(b"comment origin 1 2 3\n", b""))
    assert stated.origin == (0, 0, 0)
    assert torch.equal(stated.splats.means, load_splats(path).means)


@pytest.mark.parametrize("ending", NAMED)
@pytest.mark.parametrize(
    ("name", "read"),
    [(" \t", None), ("", None), (" a\nb ", "a b"), ("x" * 300, "x" * 200), ("\x1b[1m", "?[1m")],
)
def test_a_name_is_a_line_or_none(tmp_path: Path, ending: str, name: str, read: str | None):
    path = tmp_path / f"a{ending}"
    save_splats(random_splats(), path, metadata=SplatMetadata(name=name))
    assert load_splat_file(path).metadata.name == read


@pytest.mark.parametrize("ending", NAMED)
def test_a_blank_name_of_another_program_is_none(tmp_path: Path, ending: str):
    save_splats(random_splats(), tmp_path / "a.ply", comments=["name %20"])
    file = load_splat_file(tmp_path / "a.ply")
    assert file.metadata.name is None
    save_splats(file.splats, tmp_path / f"b{ending}", metadata=file.metadata)
    assert load_splat_file(tmp_path / f"b{ending}").metadata.name is None


@pytest.mark.parametrize("name", ["a.glb", "a/meta.json"])
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b'"up":"z"', b'"up":"q"', "up must be one of x, y, z, -x, -y, -z, not q"),
        (b'"background":[1.0', b'"background":[2.0', "background must be of numbers from 0 to 1"),
        (b'"name":"abc"', b'"name":12345', "name must be text, not 12345"),
    ],
)
def test_what_we_have_noted_is_looked_at_in_every_format(
    tmp_path: Path, name: str, old: bytes, new: bytes, told: str
):
    path = tmp_path / name
    metadata = SplatMetadata(up="z", background=(1, 0.5, 0), name="abc")
    save_splats(random_splats(), path, metadata=metadata)
    data = path.read_bytes()
    assert old in data, "it was written so"
    path.write_bytes(data.replace(old, new))
    with pytest.raises(InputError, match=told):
        load_splat_file(path)
