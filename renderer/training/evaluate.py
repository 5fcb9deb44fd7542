"""How good splats are on views they were not fitted to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..losses import quality
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
        aligned: the same after the camera was aligned to the splats; None where it was not.
    """

    psnr: float
    ssim: float
    aligned: Score | None = None

    def as_dict(self) -> dict[str, float]:
        """As in metrics.json."""
        found = {"psnr": self.psnr, "ssim": self.ssim}
        if self.aligned is not None:
            found |= {f"aligned_{name}": value for name, value in self.aligned.as_dict().items()}
        return found


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
        psnr, ssim = _mean([each.psnr for each in found]), _mean([each.ssim for each in found])
        return None if psnr is None or ssim is None else Score(psnr, ssim)

    def as_dict(self) -> dict[str, Any]:
        """`test` and `per_image` as in metrics.json. LPIPS needs weights we do not ship: None."""
        images = {
            name: {**score.as_dict(), "lpips": None} for name, score in self.per_image.items()
        }
        test: dict[str, float | None] = {"psnr": self.psnr, "ssim": self.ssim, "lpips": None}
        if self.aligned is not None:
            test |= {"aligned_psnr": self.aligned.psnr, "aligned_ssim": self.aligned.ssim}
        return {"test": test, "per_image": images}


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
        score = Score(*quality(image, photo.image, counting))
        if alignment is not None:
            aligned = alignment.camera(given)
            there = render(splats, aligned, settings).color.clamp(0.0, 1.0)
            score = replace(score, aligned=Score(*quality(there, photo.image, counting)))
        scores[view.name] = score
        if on_image is not None:
            on_image(view, image.cpu(), photo.image.cpu().float() / 255.0)
    return Evaluation(scores)


def _photo(view: TrainingView, device: torch.device, left_out: LeftOut | None) -> Photo | None:
    if left_out is None:
        return load_photo(view, device)
    return left_out.photo(view, lambda each: load_photo(each, device))


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
