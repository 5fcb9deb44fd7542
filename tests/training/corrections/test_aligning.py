"""Cameras of test views, aligned to splats before these are judged."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fitting import blobs, small_capture

from gaborsplat.renderer.training import evaluate
from gaborsplat.renderer.training.corrections.rigid import rigid


@pytest.mark.parametrize("degrees, shift", [(0.5, 0.0), (0.0, 0.03), (0.3, 0.02)])
def test_an_aligned_view_scores_as_if_its_camera_had_never_been_moved(degrees: float, shift: float):
    capture, splats = small_capture(), blobs()
    view = capture.test[0]
    turn = torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64) * degrees / 57.3
    motion = rigid(turn, shift * torch.tensor([0.6, -0.6, 0.5], dtype=torch.float64))
    pose = (motion @ view.camera.world_to_camera.double()).float()
    moved = replace(view, camera=replace(view.camera, world_to_camera=pose))
    true = evaluate(splats, [view]).psnr
    found = evaluate(splats, [moved], align=True)
    assert found.aligned is not None and found.psnr is not None and true is not None
    assert found.psnr < 38
    assert min(found.aligned.psnr, true) > 48
    assert found.aligned.ssim > 0.995


def test_aligning_gives_equal_numbers_and_changes_none_of_the_others():
    capture, splats = small_capture(), blobs()
    splats = replace(splats, means=splats.means + 0.02)
    plain = evaluate(splats, capture.train).as_dict()
    first, second = (evaluate(splats, capture.train, align=True).as_dict() for _ in range(2))
    assert first == second
    for name, score in plain["per_image"].items():
        also = first["per_image"][name]
        assert {key: also[key] for key in score} == score
        assert also["aligned_psnr"] > also["psnr"]
        assert also["aligned_ssim"] > also["ssim"]
    assert "aligned_psnr" not in plain["test"]
    assert first["test"]["aligned_psnr"] > first["test"]["psnr"] == plain["test"]["psnr"]


def test_views_are_aligned_in_inference_mode_too():
    capture, splats = small_capture(), blobs()
    expected = evaluate(splats, capture.test, align=True).as_dict()
    with torch.inference_mode():
        assert evaluate(splats, capture.test, align=True).as_dict() == expected
