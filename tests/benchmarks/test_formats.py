"""The table of formats: it has every format that can be written, and its figures are right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import synthetic
import torch

from benchmarks.scenes import formats
from benchmarks.scenes.format_tables import titled
from benchmarks.support.tables import BEGIN, END, document
from gaborsplat.renderer.splats import Splats
from gaborsplat.scenes import InputError, SplatFile, save_splats
from gaborsplat.scenes.splats.registry import FORMATS

REPOSITORY = Path(__file__).resolve().parents[2]
TRIALS = ["degree 0", "degree 1", "degree 2", "degree 3", "waves", "antialiased", "UTM"]


def cloud(n: int = 60) -> Splats:
    """Splats with all harmonics and waves."""
    return synthetic.cloud(n, 2, degree=3, dtype=torch.float32)


def test_every_format_that_can_be_written_is_in_the_tables(tmp_path: Path):
    save_splats(cloud(), tmp_path / "a.ply")
    docs = tmp_path / "a.md"
    docs.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    out = tmp_path / "a.json"
    formats.main(formats.Options(tmp_path / "a.ply", size=(48, 36), out=out, docs=docs))
    runs = json.loads(out.read_text(encoding="utf-8"))["runs"]
    writable = [form.name for form in FORMATS if form.write]
    assert list(runs["formats"]) == writable
    ply = runs["formats"]["PLY"]
    assert all(ply[each]["psnr"] > 90 for each in TRIALS)
    assert ply["degree 3"]["psnr_by_gsply"] > 90
    for found in runs["formats"].values():
        assert all(found[each]["bytes_a_splat"] > 0 for each in TRIALS)
        assert found["degree 0"]["psnr"] > 25
        assert found["degree 0"]["position_error"] < 0.01
        assert found["UTM"]["position_error"] < 0.01
    text = docs.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert all(f"| {name} |" in text for name in writable)


def test_what_is_lost_is_seen():
    splats = cloud()
    camera = synthetic.camera(dtype=torch.float32)
    trial = formats.Trial(splats)
    views = list(zip([camera], trial.pictures([camera]), strict=True))
    moved = Splats(**{**splats.tensors(), "means": splats.means + torch.tensor([0.1, 0, 0])})
    same, other = (SplatFile(each) for each in (splats, moved))
    assert formats.agreement(trial, same, views) == pytest.approx(100)
    assert formats.agreement(trial, other, views) < 40
    assert formats.position_error(trial, same) == 0
    size = (splats.means - splats.means.median(0).values).norm(dim=1).median()
    assert 0 < formats.position_error(trial, other) <= 0.1 / size + 1e-6


def test_positions_far_from_zero_are_compared_in_double_precision():
    splats = cloud()
    trial = formats.Trial(splats, formats.SplatMetadata(origin=formats.UTM))
    x, y, z = formats.UTM
    shifted = Splats(**{**splats.tensors(), "means": splats.means - torch.tensor([1.0, 0, 0])})
    read = SplatFile(shifted, formats.SplatMetadata(origin=(x + 1.0, y, z)))
    assert formats.position_error(trial, read) < 1e-6


@pytest.mark.slow
def test_time_and_memory_are_those_of_processes_of_their_own():
    forms = [form for form in FORMATS if form.endings[0] == ".ply"]
    found = formats.measure_large(forms, formats.many(cloud(), 2000))["PLY"]
    assert set(found) == {"ours", "gsply"}
    for figures in found.values():
        for what in ("save", "load"):
            assert 0 < figures[what]["seconds"] < 60
            assert figures[what]["peak_bytes"] > 1e8


def test_a_page_without_marks_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="has no lines"):
        document(tmp_path / "none.md", {})


def test_the_page_has_the_figures_of_the_results():
    results = json.loads((REPOSITORY / "benchmarks/results/formats.json").read_text())["runs"]
    text = (REPOSITORY / "docs/formats.md").read_text(encoding="utf-8")
    for title, rows in titled(results).items():
        assert f"**{title}**" in text
        assert all(f"| {' | '.join(cells)} |" in text for cells in rows)
