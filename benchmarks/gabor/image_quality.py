"""Measures of a rendering that training does not need: of fine detail, as people see it, and far
away. Images are [H, W, 3] in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from flip_evaluator import evaluate as flip
from torch import Tensor

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.frequency import NYQUIST, waves_on_image
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats
from gaborsplat.renderer.training import psnr
from gaborsplat.renderer.training.data import TrainingView

FINE = 0.25
"""Cycles per pixel where the upper half of the spectrum begins."""
FARTHEST = 8
"""How many times farther away: as many times smaller."""


def fine_psnr(image: Tensor, photo: Tensor) -> float:
    """PSNR [dB] of the upper half of the spectrum: of the error that is left when its frequencies
    below `FINE` cycles per pixel have been taken away."""
    error = torch.fft.rfft2(image - photo, dim=(0, 1))
    height, width = image.shape[:2]
    vertical, horizontal = torch.fft.fftfreq(height), torch.fft.rfftfreq(width)
    error[torch.hypot(vertical[:, None], horizontal[None]) < FINE] = 0
    left = torch.fft.irfft2(error, s=(height, width), dim=(0, 1))
    return -10 * math.log10(max(1e-10, float(left.square().mean())))


def flip_error(image: Tensor, photo: Tensor) -> float:
    """Mean FLIP (Andersson et al. 2020) at 67 pixels per degree: 0 where nobody sees a
    difference."""
    _, mean, _ = flip(photo.contiguous().numpy(), image.contiguous().numpy(), "LDR", True, False)
    return float(mean)


def smaller(camera: Camera, times: int) -> Camera:
    """The same view in an image with `times` fewer pixels each way; what is left over at the right
    and the bottom is cut off."""
    width, height = (side // times for side in camera.size)
    intrinsics = camera.intrinsics.clone()
    intrinsics[:2] /= times
    return Camera(camera.world_to_camera, intrinsics, (width, height))


def far_psnr(
    splats: Splats, views: Sequence[TrainingView], settings: RenderSettings, times: int
) -> float:
    """Mean PSNR [dB] of pictures from `times` as far away, against the photos' own pixels
    averaged: what a camera there would see."""
    found: list[float] = []
    for view in views:
        camera = smaller(view.camera, times)
        width, height = camera.size
        photo = view.image()[: height * times, : width * times].float() / 255
        truth = photo.reshape(height, times, width, times, 3).mean(dim=(1, 3))
        with torch.no_grad():
            image = render(splats, camera, settings).color.clamp(0, 1)
        found.append(float(psnr(image, truth.contiguous())))
    return sum(found) / len(found)


def waves_in_use(
    splats: Splats, cameras: Sequence[Camera], settings: RenderSettings
) -> dict[str, float | None]:
    """Share of the waves, of splats that some camera sees, that are never over 1/255 of alpha; and
    of those that are finer than every camera can resolve."""
    if splats.waves == 0:
        return {"dead_waves": None, "too_fine_waves": None}
    shape = (len(splats), splats.waves)
    strongest, coarsest = torch.zeros(shape), torch.full(shape, torch.inf)
    for camera in cameras:
        seen, waves = waves_on_image(splats, camera, settings)
        amplitude, frequency = waves[..., 2:].norm(dim=-1), waves[..., :2].norm(dim=-1)
        strongest[seen] = torch.maximum(strongest, amplitude)[seen]
        coarsest[seen] = torch.minimum(coarsest, frequency)[seen]
    shown = coarsest.isfinite()
    dead, too_fine = strongest[shown] < 1 / 255, coarsest[shown] > NYQUIST * 1.001
    return {
        "dead_waves": float(dead.float().mean()),
        "too_fine_waves": float(too_fine.float().mean()),
    }


def measure(
    splats: Splats, views: Sequence[TrainingView], settings: RenderSettings
) -> dict[str, float]:
    """Means over the views of `fine_psnr` and `flip_error`, and `far_psnr` at `FARTHEST`.

    Raises ValueError if a view has a mask, which these measures know nothing of.
    """
    fine, seen = list[float](), list[float]()
    for view in views:
        if view.mask() is not None:
            raise ValueError(f"{view.name} has pixels without a photo: undistort it before")
        photo = view.image().float() / 255
        with torch.no_grad():
            image = render(splats, view.camera, settings).color.clamp(0, 1)
        fine.append(fine_psnr(image, photo))
        seen.append(flip_error(image, photo))
    return {
        "fine_psnr": sum(fine) / len(fine),
        "flip": sum(seen) / len(seen),
        "far_psnr": far_psnr(splats, views, settings, FARTHEST),
    }
