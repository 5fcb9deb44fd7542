"""Commands on captures and splat files in units of length that are tiny or huge."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from colmap_files import ring, write_capture

import gaborsplat as gs
from gaborsplat.cli import DONE, main
from gaborsplat.inputs.loading import load_scene
from gaborsplat.scenes import load_capture, load_splat_file

QUICK = ["--steps", "60", "--max-splats", "300", "--no-viewer", "--gabor", "0"]


def trained(folder: Path, factor: float) -> Path:
    model = ring(points=200)
    views = [replace(view, tvec=view.tvec * factor) for view in model.views]
    scene = write_capture(replace(model, views=views, xyz=model.xyz * factor), folder / "scene")
    assert main(["train", str(scene), "--out", str(folder / "run"), *QUICK]) == DONE
    return folder / "run"


@pytest.mark.parametrize("factor", [1e-5, 1e5])
def test_a_run_in_any_unit_is_evaluated_rendered_and_exported_as_it_was_trained(
    tmp_path: Path, factor: float, capsys: pytest.CaptureFixture[str]
):
    usual = json.loads((trained(tmp_path / "usual", 1.0) / "metrics.json").read_text())
    run = trained(tmp_path, factor)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["psnr"] == pytest.approx(usual["test"]["psnr"], abs=0.5)
    assert main(["eval", str(run)]) == DONE
    again = json.loads((run / "metrics.json").read_text())
    assert again["test"]["psnr"] == pytest.approx(metrics["test"]["psnr"], abs=0.02)

    assert main(["export", str(run), "-o", str(tmp_path / "out.ply")]) == DONE
    camera = load_capture(tmp_path / "scene").views[0].camera
    pictures = [
        gs.render_bytes(scene.splats, camera, scene.settings)
        for scene in (load_scene(run), load_scene(tmp_path / "out.ply"))
    ]
    assert pictures[0].float().std() > 5
    assert torch.equal(*pictures)

    frames = tmp_path / "frames"
    words = ["--path", "cameras", "--seconds", "0.1", "--fps", "20", "--size", "64x48"]
    assert main(["render", str(run), "-o", str(frames), *words]) == DONE
    first = cv2.imread(str(sorted(frames.iterdir())[0]))
    assert first.std() > 5
    capsys.readouterr()


def test_the_near_plane_of_a_file_shrinks_with_its_splats_and_never_grows(tmp_path: Path):
    cloud = gs.Splats(
        means=torch.randn(50, 3),
        quats=torch.randn(50, 4),
        scales=torch.full((50, 3), 0.1),
        opacities=torch.full((50,), 0.5),
        sh=torch.zeros(50, 1, 3),
        frequencies=torch.zeros(50, 0, 3),
        coefficients=torch.zeros(50, 0, 2),
    )

    def near(factor: float) -> float:
        gs.save_splats(cloud.scaled(factor), tmp_path / "a.ply")
        return load_splat_file(tmp_path / "a.ply").settings.near_plane

    assert near(10.0) == near(1e6) == gs.RenderSettings().near_plane
    assert near(1e-3) == pytest.approx(1e-3 * 0.0075, rel=0.3)
