"""A run whose poses are refined, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from colmap_files import ring, write_capture

from gaborsplat.cli import main
from gaborsplat.scenes import load_capture


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_capture(ring(), tmp_path_factory.mktemp("ring"))


def train(scene: Path, out: Path, *options: str) -> None:
    fixed = ["--steps", "30", "--max-splats", "60", "--no-viewer", "--device", "cpu"]
    assert main(["train", str(scene), "--out", str(out), *fixed, *options]) == 0


def test_refined_cameras_are_a_model_beside_the_splats(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "run"
    train(scene, out, "--refine-poses", "on")
    assert "poses refined: cameras moved by" in capsys.readouterr().out
    given = load_capture(scene)
    found = load_capture(out / "refined", images=scene / "images")
    assert [view.name for view in found.views] == [view.name for view in given.views]
    for view, before in zip(found.views, given.views, strict=True):
        poses = view.camera.world_to_camera, before.camera.world_to_camera
        torch.testing.assert_close(*poses, rtol=0, atol=0.5)
        assert torch.allclose(*poses, rtol=0, atol=1e-6) is before.held_out
    metrics = json.loads((out / "metrics.json").read_text())
    for scores in (metrics["test"], *metrics["per_image"].values()):
        assert {"psnr", "ssim", "aligned_psnr", "aligned_ssim"} <= scores.keys()
    assert main(["eval", str(out), "--device", "cpu"]) == 0
    again = json.loads((out / "metrics.json").read_text())["test"]
    for name in ("psnr", "ssim", "aligned_psnr", "aligned_ssim"):
        assert again[name] == pytest.approx(metrics["test"][name], abs=1e-3), name
    assert "aligned PSNR" in capsys.readouterr().out


def test_cameras_that_are_taken_as_given_are_written_nowhere(scene: Path, tmp_path: Path):
    out = tmp_path / "run"
    train(scene, out, "--refine-poses", "off")
    assert not (out / "refined").exists()
    metrics = json.loads((out / "metrics.json").read_text())
    assert "aligned_psnr" not in metrics["test"]
    assert main(["eval", str(out), "--device", "cpu", "--align"]) == 0
    assert "aligned_psnr" in json.loads((out / "metrics.json").read_text())["test"]
