"""Exposure and white balance of each photo: a gain for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Parameter

from ..data import TrainingView
from .correction import Correction

RATE = 0.06
"""Adam's step size, at most."""
WAY = 1.2
"""Logarithm that all steps with one photo together may go at the first one's size."""
LEAST = 0.003
"""Adam's step size, at least."""
PRIOR = 0.01
"""Weight of the squares of a photo's own logarithms."""


def rate_of(turns: float) -> float:
    """Adam's step size in a run that comes to each photo so many times."""
    return max(LEAST, min(RATE, WAY / turns))


class ExposureGain(Correction):
    """A gain for each channel of each photo, on its colours as they are encoded.

    What counts are gains relative to their geometric mean over the views: splats, and so novel
    views, are as bright as the photos are on average. Where a photo would be brighter than white it
    is white.

    Attributes:
        log_gains: [V, 3] logarithms of the gains.
    """

    name = "exposure"

    def __init__(self, rate: float = RATE, prior: float = PRIOR) -> None:
        super().__init__()
        self.rate = rate
        self._prior = prior

    def build(self, views: Sequence[TrainingView]) -> None:
        """See `Correction`."""
        self.log_gains = Parameter(torch.zeros(len(views), 3, dtype=torch.float32, device="cpu"))

    def color(self, color: Tensor, view: int) -> Tensor:
        """See `Correction`."""
        return at_most_white(color * self._relative(view).exp())

    def prior(self, view: int) -> Tensor:
        """Gains are near their mean unless photos say otherwise."""
        return self._prior * self._relative(view).square().sum()

    def document(self, views: Sequence[str]) -> dict[str, Any]:
        """The gains themselves, by the names of the views."""
        gains = (self.log_gains - self.log_gains.mean(0)).detach().exp().cpu().tolist()
        return {"gains": dict(zip(views, gains, strict=True))}

    def _relative(self, view: int) -> Tensor:
        """[3] logarithm of one photo's gain by the mean of all."""
        return self.log_gains[view] - self.log_gains.detach().mean(0)


def at_most_white(color: Tensor) -> Tensor:
    """Colours as a sensor clips them, at 1. The gradient makes those beyond it darker where a
    photo is, and never brighter."""
    return _AtMostWhite.apply(color)


class _AtMostWhite(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, color: Tensor) -> Tensor:
        ctx.save_for_backward(color > 1)
        return color.clamp_max(1.0)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *v_color: Tensor
    ) -> Tensor:
        (beyond,) = ctx.saved_tensors
        return torch.where(beyond, v_color[0].clamp_min(0.0), v_color[0])
