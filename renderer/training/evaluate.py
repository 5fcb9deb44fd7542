"""How good splats are on views they were not fitted to."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..losses import psnr, quality
from ..raster.render import render
from ..settings import RenderSettings
from ..splats import Splats
from .corrections.aligning import Alignment
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
        aligned: the same after the camera was aligned to the splats; None where it was not.
    """

    psnr: float
    ssim: float
    cc_psnr: float = math.nan
    aligned: Score | None = None


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
    def aligned(self) -> Score | None:
        """Means over the images, with their cameras aligned; None where they were not."""
        found = [score.aligned for score in self.per_image.values() if score.aligned is not None]
        if not found:
            return None
        figures = zip(*((each.psnr, each.ssim, each.cc_psnr) for each in found), strict=True)
        psnr, ssim, cc_psnr = (sum(column) / len(found) for column in figures)
        return Score(psnr, ssim, cc_psnr)

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
    align: bool = False,
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
        align: score each view again with its camera aligned to the splats, as the field does where
            cameras are refined: photos then are not judged by where they are said to be from.

    Raises:
        ValueError: a photo does not fit its view, or cannot be read and there is no `left_out`.
    """
    device, settings = splats.means.device, settings or RenderSettings()
    alignment = Alignment(splats, settings) if align else None
    scores: dict[str, Score] = {}
    for view in views:
        photo = _photo(view, device, left_out)
        if photo is None:
            continue
        counting = photo.counting()
        if counting is not None and not counting.any():
            log.warning("note: %s counts for nothing: all of it is masked out", view.name)
            continue
        given, photo = photo, photo.over(settings.background)
        frame = render(splats, photo.camera, settings)
        image = frame.color.clamp(0.0, 1.0)
        score = _score(image, photo.image, counting)
        if alignment is not None:
            aligned = alignment.camera(given)
            there = render(splats, aligned, settings).color.clamp(0.0, 1.0)
            score = replace(score, aligned=_score(there, photo.image, counting))
        scores[view.name] = score
        if on_image is not None:
            on_image(view, image.cpu(), photo.image.cpu().float() / 255.0)
    return Evaluation(scores)


def _photo(view: TrainingView, device: torch.device, left_out: LeftOut | None) -> Photo | None:
    if left_out is None:
        return load_photo(view, device)
    return left_out.photo(view, lambda each: load_photo(each, device))


def _score(image: Tensor, photo: Tensor, counting: Tensor | None) -> Score:
    """Of a rendering [H, W, 3] against its photo [H, W, 3] uint8."""
    matched = psnr(_matched(image, photo.float() / 255, counting), photo, counting)
    return Score(*quality(image, photo, counting), float(matched))


def _row(quality: Score | Evaluation) -> dict[str, float | None]:
    """As in metrics.json."""
    found = {"psnr": quality.psnr, "ssim": quality.ssim, "cc_psnr": quality.cc_psnr, "lpips": None}
    if quality.aligned is not None:
        aligned = _row(quality.aligned)
        found |= {f"aligned_{name}": aligned[name] for name in ("psnr", "ssim", "cc_psnr")}
    return found


def _matched(image: Tensor, photo: Tensor, counting: Tensor | None) -> Tensor:
    """[H, W, 3] with one gain for each channel, by least squares over the pixels that count."""
    x, y = (each.flatten(0, 1) if counting is None else each[counting] for each in (image, photo))
    gains = (x * y).sum(0, dtype=torch.float64) / x.square().sum(0, dtype=torch.float64)
    return (image * gains.nan_to_num(1.0).to(image)).clamp(0.0, 1.0)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
