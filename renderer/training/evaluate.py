"""How good splats are on views they were not fitted to."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..losses import psnr, quality
from ..raster.render import render
from ..settings import RenderSettings
from ..splats import Splats
from .data import LeftOut, Photo, TrainingView, load_photo

log = logging.getLogger(__name__)

OnImage = Callable[[TrainingView, Tensor, Tensor], None]
"""Receives a view, its rendering and its photograph, [H, W, 3] in [0, 1] on the CPU."""


@dataclass(frozen=True)
class Score:
    """Quality of one rendering.

    Attributes:
        psnr: peak signal-to-noise ratio [dB].
        ssim: structural similarity, at most 1.
        cc_psnr: PSNR [dB] of the rendering with one gain for each channel, that which suits the
            photo best: what exposure and white balance of that photo are does not count.
    """

    psnr: float
    ssim: float
    cc_psnr: float = math.nan


@dataclass(frozen=True)
class Evaluation:
    """Quality of renderings of several views.

    Attributes:
        per_image: by name of the photo.
    """

    per_image: dict[str, Score]

    @property
    def psnr(self) -> float | None:
        """Mean over the images [dB]; None without any."""
        return _mean([score.psnr for score in self.per_image.values()])

    @property
    def ssim(self) -> float | None:
        """Mean over the images; None without any."""
        return _mean([score.ssim for score in self.per_image.values()])

    @property
    def cc_psnr(self) -> float | None:
        """Mean over the images [dB]; None without any."""
        return _mean([score.cc_psnr for score in self.per_image.values()])

    def as_dict(self) -> dict[str, Any]:
        """`test` and `per_image` as in metrics.json. LPIPS needs weights we do not ship: None."""
        images = {name: _row(score) for name, score in self.per_image.items()}
        return {"test": _row(self), "per_image": images}


@torch.no_grad()
def evaluate(
    splats: Splats,
    views: Sequence[TrainingView],
    settings: RenderSettings | None = None,
    on_image: OnImage | None = None,
    left_out: LeftOut | None = None,
) -> Evaluation:
    """PSNR and SSIM of splats on views with photos, as the field reports them.

    Both are means over all pixels of the image clamped to [0, 1]; SSIM (Wang et al. 2004) has an
    11-pixel Gaussian window, sigma 1.5, zero padding. Pixels that a view's mask excludes, such as
    the border that undistortion leaves empty, do not count.

    Args:
        splats: on the device that renders them.
        views: such as `Capture.test`.
        settings: how the splats are rendered; by default `RenderSettings()`.
        on_image: gets every view, its rendering and its photo, [H, W, 3] in [0, 1] on the CPU.
        left_out: gets the views whose photos cannot be read; the others are evaluated then.

    Raises:
        ValueError: a photo does not fit its view, or cannot be read and there is no `left_out`.
    """
    device, settings = splats.means.device, settings or RenderSettings()
    scores: dict[str, Score] = {}
    for view in views:
        photo = _photo(view, device, left_out)
        if photo is None:
            continue
        counting = photo.counting()
        if counting is not None and not counting.any():
            log.warning("note: %s counts for nothing: all of it is masked out", view.name)
            continue
        photo = photo.over(settings.background)
        frame = render(splats, photo.camera, settings)
        image = frame.color.clamp(0.0, 1.0)
        matched = psnr(_matched(image, photo.rgb, counting), photo.image, counting)
        scores[view.name] = Score(*quality(image, photo.image, counting), float(matched))
        if on_image is not None:
            on_image(view, image.cpu(), photo.image.cpu().float() / 255.0)
    return Evaluation(scores)


def _photo(view: TrainingView, device: torch.device, left_out: LeftOut | None) -> Photo | None:
    if left_out is None:
        return load_photo(view, device)
    return left_out.photo(view, lambda each: load_photo(each, device))


def _row(quality: Score | Evaluation) -> dict[str, float | None]:
    found = {"psnr": quality.psnr, "ssim": quality.ssim, "cc_psnr": quality.cc_psnr}
    return {**found, "lpips": None}


def _matched(image: Tensor, photo: Tensor, counting: Tensor | None) -> Tensor:
    """[H, W, 3] with one gain for each channel, by least squares over the pixels that count."""
    x, y = (each.flatten(0, 1) if counting is None else each[counting] for each in (image, photo))
    gains = (x * y).sum(0, dtype=torch.float64) / x.square().sum(0, dtype=torch.float64)
    return (image * gains.nan_to_num(1.0).to(image)).clamp(0.0, 1.0)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
