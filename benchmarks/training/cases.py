"""One training of a capture with its faults, and how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from benchmarks.support.report import commit
from benchmarks.training.disturbances import DISTURBANCES
from benchmarks.training.variants import configured
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats
from gaborsplat.renderer.training import (
    FitInput,
    TrainConfig,
    Trainer,
    TrainingView,
    evaluate,
    psnr,
)
from gaborsplat.renderer.training.data import load_photo


@dataclass(frozen=True)
class Case:
    """What is trained, and how.

    Attributes:
        capture: name of its folder.
        disturbance: of DISTURBANCES.
        variant: name of the options.
        settings: what they are, see `variants`.
        seed: of the faults, and of training.
        size: longest side of the photos [px].
        steps: of training.
        splats: at most.
    """

    capture: str
    disturbance: str
    variant: str
    settings: str
    seed: int
    size: int
    steps: int
    splats: int

    @classmethod
    def of(cls, run: dict[str, Any]) -> Case:
        """The case of a result."""
        return cls(**{item.name: run[item.name] for item in fields(cls)})

    @property
    def label(self) -> str:
        """What tells it from others of one call."""
        return f"{self.capture}/{self.disturbance}/{self.variant}/{self.seed}"


def measured(case: Case, data: FitInput) -> dict[str, Any]:
    """The case, and what came of it with its capture, loaded in its size.

    "true_psnr" is that of the test views as they were before anything was disturbed.

    Raises:
        ArithmeticError: the fit diverges.
    """
    disturbed = DISTURBANCES[case.disturbance](data, case.seed)
    config = TrainConfig(steps=case.steps, max_splats=case.splats, seed=case.seed)
    trainer = Trainer(disturbed, configured(config, case.settings))
    while not trainer.done:
        trainer.step()
    splats = trainer.splats()
    return asdict(case) | {
        "commit": commit(),
        **judged(splats, disturbed.test, trainer.settings),
        "true_psnr": evaluate(splats, data.test, trainer.settings).psnr,
        "splats_made": len(splats),
        "bytes": splats.nbytes,
        "seconds": trainer.seconds,
    }


def judged(
    splats: Splats, views: Sequence[TrainingView], settings: RenderSettings
) -> dict[str, float | None]:
    """Means over the views of PSNR, SSIM, colour-corrected PSNR, and PSNR with cameras aligned to
    the splats, by name."""
    corrected: list[float] = []

    def correct(view: TrainingView, image: Tensor, photo: Tensor) -> None:
        counting = load_photo(view, torch.device("cpu")).counting()
        corrected.append(float(psnr(color_corrected(image, photo, counting), photo, counting)))

    quality = evaluate(splats, views, settings, correct, align=True)
    mean = sum(corrected) / len(corrected) if corrected else None
    aligned = None if quality.aligned is None else quality.aligned.psnr
    return {
        "psnr": quality.psnr,
        "ssim": quality.ssim,
        "cc_psnr": mean,
        "aligned_psnr": aligned,
    }


def color_corrected(image: Tensor, photo: Tensor, counting: Tensor | None = None) -> Tensor:
    """A rendering with the gain of each channel that brings it closest to its photo by least
    squares, in [0, 1].

    So that an exposure that nobody could know costs nothing; in sRGB, where a gain of light is
    almost one of values. gsplat's "cc_psnr" fits more than a gain.

    Args:
        image: [H, W, 3] in [0, 1].
        photo: [H, W, 3] in [0, 1].
        counting: [H, W] bool, True where a pixel counts; None for all.
    """
    weight = 1.0 if counting is None else counting[..., None].to(image)
    dims = (0, 1)
    energy = (weight * image.square()).sum(dims)
    gains = (weight * image * photo).sum(dims) / energy
    return (image * torch.where(energy > 0, gains, 1.0)).clamp(0, 1)
