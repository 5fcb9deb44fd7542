"""Cameras of test views, aligned to splats before these are judged."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fitting import blobs, small_capture
from torch import Tensor

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.training import evaluate
from gaborsplat.renderer.training.corrections import aligning
from gaborsplat.renderer.training.corrections.aligning import Alignment
from gaborsplat.renderer.training.corrections.rigid import rigid, shown_motion
from gaborsplat.renderer.training.data import Photo as TakenPhoto
from gaborsplat.renderer.training.data import load_photo

LARGE = (240, 180)
"""(width, height) [px] of photos that are aligned in small first."""


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


def test_small_pictures_find_a_camera_that_is_many_pixels_off(monkeypatch: pytest.MonkeyPatch):
    splats, camera = blobs(), small_capture().test[0].camera.resized(LARGE)
    image = (255 * render(splats, camera).color.clamp(0, 1)).round().to(torch.uint8)
    turn = torch.tensor([0.023, -0.023, 0.012], dtype=torch.float64)
    moved = replace(camera, world_to_camera=turned(camera, turn))

    def off_by() -> float:
        found = Alignment(splats, RenderSettings()).camera(TakenPhoto(moved, image, None))
        change = found.world_to_camera.double() @ torch.linalg.inv(camera.world_to_camera.double())
        return shown_motion(camera, change, 4.0)

    assert off_by() < 0.6
    monkeypatch.setattr(aligning, "SMALLEST", max(LARGE))
    assert off_by() > 2.0


def test_a_camera_that_nothing_improves_stays_as_it_is():
    capture, splats = small_capture(), blobs()
    photo = load_photo(capture.test[0], torch.device("cpu"))
    for camera in (photo.camera, photo.camera.resized(LARGE)):
        image = (255 * render(splats, camera).color.clamp(0, 1)).round().to(torch.uint8)
        found = Alignment(splats, RenderSettings()).camera(TakenPhoto(camera, image, None))
        assert torch.equal(found.world_to_camera, camera.world_to_camera)
        assert torch.equal(found.intrinsics, camera.intrinsics)
        assert found.size == camera.size


def test_what_a_mask_hides_does_not_move_a_camera():
    splats, camera = blobs(), small_capture().test[0].camera.resized(LARGE)
    image = (255 * render(splats, camera).color.clamp(0, 1)).round().to(torch.uint8)
    moved = replace(camera, world_to_camera=turned(camera, torch.tensor([0.0, 0.005, 0.0])))
    mask = torch.ones(LARGE[1], LARGE[0], dtype=torch.bool)
    mask[41:90, 61:150] = False  # cuts through squares of the small pictures

    def aligned(factor: float) -> Tensor:
        pixels = image.where(mask[..., None], (factor * image).to(torch.uint8))
        alignment = Alignment(splats, RenderSettings())
        return alignment.camera(TakenPhoto(moved, pixels, mask)).world_to_camera

    assert not torch.equal(aligned(1.0), moved.world_to_camera)
    assert torch.equal(aligned(1.0), aligned(0.0))


def test_a_mask_that_leaves_no_pixel_of_small_pictures_does_no_harm():
    splats, camera = blobs(), small_capture().test[0].camera.resized(LARGE)
    image = (255 * render(splats, camera).color.clamp(0, 1)).round().to(torch.uint8)
    moved = replace(camera, world_to_camera=turned(camera, torch.tensor([0.0, 0.002, 0.0])))
    mask = torch.zeros(LARGE[1], LARGE[0], dtype=torch.bool)
    mask[::2] = True
    found = Alignment(splats, RenderSettings()).camera(TakenPhoto(moved, image, mask))
    assert found.world_to_camera.isfinite().all()
    assert not torch.equal(found.world_to_camera, moved.world_to_camera)


def test_a_narrow_strip_is_aligned_too():
    splats, camera = blobs(), small_capture().test[0].camera.resized((240, 2))
    image = (255 * render(splats, camera).color.clamp(0, 1)).round().to(torch.uint8)
    moved = replace(camera, world_to_camera=turned(camera, torch.tensor([0.0, 0.005, 0.0])))
    found = Alignment(splats, RenderSettings()).camera(TakenPhoto(moved, image, None))
    assert found.world_to_camera.isfinite().all()
    assert found.size == camera.size


def turned(camera: Camera, turn: Tensor) -> Tensor:
    """[4, 4] pose of a camera turned by a rotation vector [3] [rad]."""
    motion = rigid(turn.double(), torch.zeros(3, dtype=torch.float64))
    return (motion @ camera.world_to_camera.double()).float()


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
