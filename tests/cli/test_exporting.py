"""What people do to a scene before they share it, and what they are told that it costs."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import synthetic
import torch
from fitting import blobs
from tolerances import IMAGE, assert_frames_close
from torch import Tensor

import gaborsplat as gs
from gaborsplat.cli import BAD_INPUT, DONE, main
from gaborsplat.renderer.editing.moving import Similarity, transformed_camera


def cloud(waves: int = 1, degree: int = 2, seed: int = 0) -> gs.Splats:
    return synthetic.cloud(80, waves, degree=degree, seed=seed, dtype=torch.float32)


def saved(path: Path, splats: gs.Splats, **said: object) -> Path:
    gs.save_splats(splats, path, **said)  # pyright: ignore[reportArgumentType]
    return path


def exported(
    capsys: pytest.CaptureFixture[str], output: Path, *words: object
) -> tuple[gs.SplatFile, str]:
    """What was written, and what was said."""
    assert main(["export", *map(str, words), "-o", str(output)]) == DONE, capsys.readouterr().err
    return gs.load_splat_file(output), capsys.readouterr().out


def with_far_splat(distance: float) -> gs.Splats:
    splats = cloud(0, 0)
    means = splats.means.clone()
    means[3, 0] = distance
    return replace(splats, means=means)


def test_several_files_become_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first = saved(tmp_path / "a.ply", cloud(2, 1, seed=1))
    second = saved(tmp_path / "b.ply", cloud(0, 3, seed=2).scaled(1.01), origin=(5.0, 0.0, 0.0))
    found, said = exported(capsys, tmp_path / "c.ply", first, second)
    assert "merged: 80 + 80 = 160 splats" in said
    there = cloud(0, 3, seed=2).scaled(1.01)
    there = replace(there, means=there.means + torch.tensor([5.0, 0.0, 0.0]))
    expected = gs.merged([cloud(2, 1, seed=1), there])
    camera = synthetic.camera(dtype=torch.float32)
    assert_frames_close(gs.render(found.splats, camera), gs.render(expected, camera), IMAGE)


def test_files_that_are_not_to_be_shown_alike_are_merged_only_when_told_how(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    smooth = saved(tmp_path / "smooth.ply", cloud(), antialiased=True)
    plain = saved(tmp_path / "plain.ply", cloud(seed=1))
    words = ["export", str(plain), str(smooth), "-o", str(tmp_path / "both.ply")]
    assert main(words) == BAD_INPUT
    said = capsys.readouterr().err
    assert f"{smooth}: is to be shown with antialiasing, and {plain} without" in said
    assert main([*words, "--antialiased"]) == DONE
    assert gs.load_splat_file(tmp_path / "both.ply").antialiased


def test_each_choice_says_what_is_left_and_what_it_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    splats = cloud()
    source = saved(tmp_path / "a.ply", splats)
    box = (-1.0, -1.5, -9.0, 1.5, 1.0, 9.0)
    options = ["--crop", *box, "--min-opacity", 0.5, "--max-scale", 0.5, "--sh-degree", 1]
    found, said = exported(capsys, tmp_path / "b.ply", source, *options)
    steps = [splats, gs.cropped(splats, box[:3], box[3:])]
    steps.append(gs.pruned(steps[-1], min_opacity=0.5))
    steps.append(gs.pruned(steps[-1], max_scale=0.5))
    counts = re.findall(r"^--.*?: (\d+) splats before, (\d+) after; ", said, re.MULTILINE)
    expected = [(str(len(a)), str(len(b))) for a, b in pairwise(steps)]
    assert counts == [*expected, (str(len(steps[-1])),) * 2]
    assert len(re.findall(r"(dB PSNR|the same pictures) on 8 views around", said)) == 5
    assert 0 < len(steps[-1]) < len(steps[1]) < 80
    assert torch.equal(found.splats.means, steps[-1].means)
    assert found.splats.sh_degree == 1


def test_a_scene_is_turned_and_moved_with_all_that_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = saved(tmp_path / "a.ply", cloud(2, 3))
    matrix = [0, 0, 1, 0.5, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1]
    options = ["--rotate", 0, 0, 90, "--scale", 2, "--transform", *matrix]
    found, said = exported(capsys, tmp_path / "b.ply", source, *options)
    assert re.search(r"moved: 80 splats; (the same pictures|[6-9]\d\.\d\d dB)", said)
    quarter = torch.tensor([[0.0, -2, 0, 0], [2, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]])
    whole = torch.tensor(matrix).reshape(4, 4).float() @ quarter
    camera = synthetic.camera(dtype=torch.float32)
    after = transformed_camera(camera, Similarity.of(whole))
    settings = gs.RenderSettings()
    expected = gs.render(cloud(2, 3), camera, settings)
    shown = gs.render(found.splats, after, settings.scaled(2.0))
    assert_frames_close(replace(shown, depth=expected.depth), expected, IMAGE)


def test_what_is_up_is_turned_to_where_viewers_have_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    splats = cloud(0, 0)
    source = saved(tmp_path / "a.ply", splats)
    for options in (["--align-up", "z"], ["--up", "z", "--align-up", "auto"]):
        found, _ = exported(capsys, tmp_path / "b.ply", source, *options)
        assert torch.allclose(-found.splats.means[:, 1], splats.means[:, 2], rtol=0, atol=1e-5)
    words = ["export", str(source), "-o", str(tmp_path / "c.ply"), "--align-up", "auto"]
    assert main(words) == BAD_INPUT
    assert "nothing says what is up; name an axis" in capsys.readouterr().err


def test_places_are_those_of_the_captures_own_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Far from zero, where float32 has steps of a quarter."""
    splats, origin = cloud(0, 0), (4e6, -5e5, 3.0)
    source = saved(tmp_path / "a.ply", splats, origin=origin)
    inside = (splats.means[:, 0] > 0.1) & (splats.means[:, 1].abs() < 2)
    crop = [4e6 + 0.1, -5e5 - 2, -1e3, 4e6 + 1e3, -5e5 + 2, 1e3]
    found, said = exported(capsys, tmp_path / "b.ply", source, "--crop", *crop)
    assert f"80 splats before, {int(inside.sum())} after" in said
    assert found.origin == pytest.approx(origin)
    home = [1, 0, 0, -4e6, 0, 1, 0, 5e5, 0, 0, 1, -3, 0, 0, 0, 1]
    found, said = exported(capsys, tmp_path / "c.spz", source, "--transform", *home)
    assert "80 splats; the same pictures" in said
    assert not any(found.origin)
    assert torch.allclose(found.splats.means, splats.means, rtol=0, atol=1e-3)
    found, said = exported(capsys, tmp_path / "d.splat", source)
    assert "relative to 4000000 -500000 3, as" in said
    assert found.origin == pytest.approx(origin)
    assert (tmp_path / "d.splat.origin.json").is_file()


@pytest.mark.slow
def test_fewer_splats_fitted_to_what_there_was_cost_less(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = saved(tmp_path / "a.ply", blobs(120))
    found, said = exported(capsys, tmp_path / "b.ply", source, "--decimate", 60, "--refit")
    assert len(found.splats) == 60
    costs = re.findall(r"^--.*: 120 splats before, 60 after; ([\d.]+) dB PSNR", said, re.MULTILINE)
    assert len(costs) == 2
    assert float(costs[1]) > float(costs[0]) + 1


def test_one_far_splat_that_costs_all_others_their_places_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = saved(tmp_path / "a.ply", with_far_splat(1e6))
    _, said = exported(capsys, tmp_path / "b.spz", source)
    assert re.search(r"positions: off by up to 0\.\d+; for half of the splats by \d", said)
    assert "because of 1 of 80 splats" in said
    assert "--drop-outliers leaves them out" in said
    found, said = exported(capsys, tmp_path / "c.spz", source, "--drop-outliers")
    assert "80 splats before, 79 after" in said
    assert "because of" not in said
    kept = torch.arange(80) != 3
    assert torch.allclose(found.splats.means, with_far_splat(0).means[kept], rtol=0, atol=1e-4)


def test_positions_that_a_format_cannot_hold_are_refused_with_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source, target = saved(tmp_path / "a.ply", with_far_splat(1e15)), tmp_path / "b.spz"
    assert main(["export", str(source), "-o", str(target)]) == BAD_INPUT
    said = capsys.readouterr().err
    assert str(target) in said
    assert "1 of 80 splats are far from all others: --drop-outliers" in said
    assert not target.exists()


def wide(splats: gs.Splats) -> gs.Splats:
    sh: Tensor = splats.sh.clone()
    sh[::4, 0] = 15.0
    return replace(splats, sh=sh)


@pytest.mark.parametrize(
    ("splats", "name", "facts"),
    [
        (cloud(0, 0), "b.ply", ["the same pictures"]),
        (cloud(2, 3), "b.ply", ["the same pictures", "Read by gsply, without waves"]),
        (cloud(0, 3), "b.splat", ["harmonics: of degree 3 before, 0 in the file"]),
        (wide(cloud(0, 0)), "b.spz", ["colours: clipped, in 25 % of the splats"]),
        (wide(cloud(0, 0)), "b.splat", ["colours: clipped, in"]),
    ],
)
def test_a_file_says_what_it_loses(
    splats: gs.Splats,
    name: str,
    facts: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    _, said = exported(capsys, tmp_path / name, saved(tmp_path / "a.ply", splats))
    assert re.search("Read back and shown as it says: .* on 8 views around the scene", said)
    for fact in facts:
        assert fact in said
    if name.endswith(".ply"):
        assert not re.search("positions|clipped|harmonics|antialiasing|origin", said)


def test_what_is_told_is_what_the_files_own_settings_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    small = replace(cloud(0, 0), scales=cloud(0, 0).scales / 20)
    source = saved(tmp_path / "a.ply", small, antialiased=True)
    _, said = exported(capsys, tmp_path / "b.splat", source)
    assert "antialiasing: the file cannot say" in said
    (told,) = re.findall(r"shown as it says: ([\d.]+) dB", said)
    _, said = exported(capsys, tmp_path / "c.splat", source, "--no-antialiased")
    assert "antialiasing" not in said
    (without,) = re.findall(r"shown as it says: ([\d.]+) dB", said)
    assert float(told) < float(without) - 5


def test_nothing_is_read_back_when_nobody_wants_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = saved(tmp_path / "a.ply", cloud(0, 3))
    _, said = exported(capsys, tmp_path / "b.splat", source, "--no-check")
    assert said.splitlines() == [f"80 splats, 2.6 kB: {tmp_path / 'b.splat'}"]


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        (("--transform", 1, 0, 0), "--transform'. Expected 16 values"),
        (("--transform", *(2, 0, 0, 0), *(0, 1, 0, 0) * 2, *(0, 0, 0, 1)), "--transform: "),
        (("--rotate", 0, math.nan, 0), "--rotate: degrees must be finite"),
        (("--scale", 0), "--scale must be above 0"),
        (("--crop", 0, 0, 0, 1, 0, 1), "--crop: a box has y0 below y1"),
        (("--crop", 90, 90, 90, 91, 91, 91), "--crop: leaves none of 80 splats"),
        (("--min-opacity", 2), "--min-opacity must be between 0 and 1"),
        (("--max-scale", -1), "--max-scale must be above 0"),
        (("--decimate", 0), "--decimate must be at least 1"),
        (("--refit",), "--refit fits what --decimate or --sh-degree left"),
    ],
)
def test_changes_that_make_no_sense_are_refused(
    options: tuple[object, ...], fact: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source, target = saved(tmp_path / "a.ply", cloud()), tmp_path / "b.ply"
    words = ["export", str(source), "-o", str(target), *map(str, options)]
    assert main(words) == BAD_INPUT
    said = capsys.readouterr().err
    assert fact in said
    assert len(said.splitlines()) == 1
    assert not target.exists()


def test_no_input_at_all_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["export", "-o", str(tmp_path / "b.ply")]) == BAD_INPUT
    assert "name a run folder or a splat file" in capsys.readouterr().err


@pytest.mark.parametrize("motion", [("--rotate", 0, 0, 90), ("--scale", 2)])
def test_a_scene_with_an_origin_is_seen_to_move_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], motion: tuple[object, ...]
):
    source = saved(tmp_path / "a.ply", cloud(0, 3), origin=(5.0, 0.0, 0.0))
    _, said = exported(capsys, tmp_path / "b.ply", source, *motion)
    assert "moved: 80 splats; the same pictures" in said


def test_what_was_aligned_is_up_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = saved(tmp_path / "a.ply", cloud(0, 0))
    found, _ = exported(capsys, tmp_path / "b.glb", source, "--align-up", "x")
    assert found.metadata.up == "-y"
    found, _ = exported(capsys, tmp_path / "c.glb", source, "--align-up", "x", "--rotate", 90, 0, 0)
    assert found.metadata.up == "-z"


def test_waves_that_a_format_cannot_carry_are_refused_before_anything_is_fitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = saved(tmp_path / "a.ply", cloud(2, 0))
    words = ["export", str(source), "--decimate", "9", "--refit", "-o", str(tmp_path / "b.spz")]
    assert main(words) == BAD_INPUT
    output = capsys.readouterr()
    assert "cannot carry Gabor waves" in output.err
    assert "after" not in output.out


def test_options_with_several_numbers_may_stand_before_the_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = saved(tmp_path / "a.ply", cloud(0, 0))
    words = ["export", "--crop", *["-9", "-9", "-9", "9", "9", "9"], str(source), "-o"]
    assert main([*words, str(tmp_path / "b.ply")]) == DONE
    assert "80 splats before, 80 after" in capsys.readouterr().out


def test_the_size_of_a_folder_is_that_of_its_own_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "photo.jpg").write_bytes(bytes(10_000_000))
    source = saved(tmp_path / "a.ply", cloud(0, 0))
    _, said = exported(capsys, tmp_path / "meta.json", source)
    assert re.search(r"80 splats, [\d.]+ kB", said)


def test_what_is_lost_by_merging_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first = saved(tmp_path / "a.ply", cloud(0, 0))
    far = saved(tmp_path / "b.ply", cloud(0, 0, seed=2), origin=(4e6, 0.0, 0.0))
    red = tmp_path / "c.ply"
    gs.save_splats(cloud(0, 0), red, metadata=gs.SplatMetadata(background=(1.0, 0.0, 0.0)))
    assert main(["export", *map(str, (first, far, red)), "-o", str(tmp_path / "d.ply")]) == DONE
    said = capsys.readouterr().out
    assert "b.ply: too far from the first for float32" in said
    assert "c.ply: its background, (1.0, 0.0, 0.0), is not kept" in said
