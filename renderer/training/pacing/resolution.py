"""Photos that are small early in a run: what is coarse is learnt first, in less time a step.

DashGaussian (arXiv 2503.18402) has the resolution follow how many splats there are to show it.
Here it follows how far the run is.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import TrainConfig
from ..data import CACHE_BYTES, Photo, PhotosOnDevice, TrainingView, load_photo
from .pace import Pace

STAGES = ((4, 0.1), (2, 0.4))
"""How many times smaller the photos are, and until which fraction of the run."""
LEAST_SIDE = 32
"""Pixels of a photo's shorter side that are left at least."""
COARSE_BYTES = CACHE_BYTES // 4
"""Memory for photos on the host that were made smaller: room for all that `CACHE_BYTES` has room
for, at half their size."""


def reduction_at(progress: float) -> int:
    """How many times smaller photos are when this fraction of a run is done."""
    return next((times for times, until in STAGES if progress < until), 1)


def reduced(photo: Photo, times: int) -> Photo:
    """`photo` so many `times` smaller on each side, with the camera that has just these pixels.

    Each pixel is the mean of a square of them, and counts where all of them do; of what is
    transparent, colours are weighted by how much of them there is. Rows and columns at the bottom
    and on the right that do not fill a square are left out. The photo is made less small where too
    few pixels would be left, or none that counts.
    """
    width, height = (side // times for side in photo.camera.size)
    if times == 1:
        return photo
    mask = photo.mask
    if mask is not None:
        mask = ~F.max_pool2d((~mask)[None].float(), times)[0].bool()
    if min(width, height) < LEAST_SIDE or not (mask is None or mask.any()):
        return reduced(photo, times // 2)
    used = replace(photo.camera, size=(times * width, times * height))
    if photo.alpha is None:
        image, alpha = _means(photo.image, times), None
    else:
        weights = photo.alpha[..., None].float()
        weight = _means(weights, times)
        colors = _means(photo.image * weights, times) / weight.clamp_min(1e-6)
        image = torch.where(weight > 0, colors, _means(photo.image, times))
        alpha = _bytes(weight[..., 0])
    return replace(
        photo, camera=used.resized((width, height)), image=_bytes(image), mask=mask, alpha=alpha
    )


def _means(values: Tensor, times: int) -> Tensor:
    """[H // times, W // times, C] means over squares of `values` [H, W, C]."""
    return F.avg_pool2d(values.permute(2, 0, 1).float(), times).permute(1, 2, 0)


def _bytes(values: Tensor) -> Tensor:
    return values.round().to(torch.uint8).contiguous()


def _load(view: TrainingView, device: torch.device, *, times: int) -> Photo:
    return reduced(load_photo(view, device), times)


class PhotosInTime:
    """Photos on a device, as `PhotosOnDevice` keeps them, as large as a run wants them by now. On
    the host those that were made smaller are kept too, in `COARSE_BYTES`."""

    def __init__(self, device: torch.device, config: TrainConfig, pace: Pace) -> None:
        self._device, self._pace = device, pace
        self._coarse = bool(config.coarse_to_fine)
        self._photos, self._times = PhotosOnDevice(device), 1
        self._budget = self._photos.budget

    def get(self, view: TrainingView) -> Photo:
        """The photo of a view. Not to be written to."""
        times = reduction_at(self._pace.progress) if self._coarse else 1
        if times != self._times:
            self._times = times
            on_host = self._device.type == "cpu" and times > 1
            budget = COARSE_BYTES if on_host else self._budget
            del self._photos  # before others come
            self._photos = PhotosOnDevice(self._device, budget, partial(_load, times=times))
        return self._photos.get(view)
