"""Where waves begin: at the frequencies that the residual asks for.

A wave without amplitude changes no picture, but the loss has a gradient to its amplitudes: how well
it would explain what is left of the photos, as every camera sees it, hidden where it is hidden and
damped as it is damped. So every splat is given candidates, in its own frame; the gradients are
added up over several photos, and where they are longest a wave begins, its phase included. This is
matching pursuit's choice (Mallat and Zhang 1993), of the loss that is minimised, not of a distance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..gabor.waves import START_FREQUENCY, in_longest_plane
from ..parameters import Parameters
from ..raster.gradient import compare, draw
from ..settings import RenderSettings
from ..splats import WAVE_COUNTS
from .data import View, on_device

MAGNITUDES = (START_FREQUENCY, 0.5, 0.7)
"""Cycles per sigma of the candidates."""
DIRECTIONS = 8
"""Of each magnitude, over the half circle."""
AMPLITUDE = 0.02
"""Of a wave at its birth."""
PHOTOS = 8
"""How many photos are asked."""
APART = {1: 0.4, 2: 0.4, 4: 0.2}
"""Cycles per sigma by which the waves of one splat differ at their birth, by their number: so far
that there are enough candidates for all."""
_AT_ONCE = max(WAVE_COUNTS)


@torch.no_grad()
def start_where_asked(
    raw: Parameters,
    views: Sequence[View],
    settings: RenderSettings,
    ssim_weight: float,
    degree: int,
) -> None:
    """Start the waves [N, K] of `raw` at the candidates that the `views` ask for most.

    Splats that none of the views shows keep the waves they have. Takes a picture and its gradient
    per view and `_AT_ONCE` candidates; `degree` is that of the harmonics.
    """
    candidates = _candidates().to(raw["means"])
    demand = torch.zeros(len(raw["means"]), len(candidates), 2).to(raw["means"])
    for view in views:
        camera, photo, mask = on_device(view, demand.device)
        for first in range(0, len(candidates), _AT_ONCE):
            trial = _with_waves(raw, candidates[first : first + _AT_ONCE])
            picture = draw(trial, camera, settings, sh_degree=degree, waves=True)
            _, gradients = compare(picture, photo, mask, ssim_weight)
            part = gradients["coefficients"].nan_to_num(0.0, 0.0, 0.0)
            demand[:, first : first + _AT_ONCE] += part
    _begin(raw, candidates, demand)


def _with_waves(raw: Parameters, planar: Tensor) -> dict[str, Tensor]:
    """The same splats with waves `planar` [J, 2] of amplitude zero."""
    trial = {name: parameter.detach() for name, parameter in raw.items()}
    count, waves = len(trial["means"]), len(planar)
    trial["frequencies"] = in_longest_plane(trial["scales"], planar.expand(count, -1, -1))
    trial["coefficients"] = torch.zeros(count, waves, 2).to(planar)
    return trial


def _begin(raw: Parameters, candidates: Tensor, demand: Tensor) -> None:
    """Set the waves to those of the `candidates` [J, 2] whose `demand` [N, J, 2], the gradient to
    their amplitudes, is longest."""
    strength = demand.norm(dim=-1)
    rows = torch.arange(len(strength), device=strength.device)
    waves = raw["frequencies"].shape[1]
    for wave in range(waves):
        most, best = strength.max(dim=1)
        asked = most > 0
        chosen = rows[asked], best[asked]
        direction = -demand[chosen] / most[asked, None]
        raw["coefficients"][asked, wave] = AMPLITUDE * direction
        frequency = in_longest_plane(raw["scales"], candidates[best][:, None])
        raw["frequencies"][asked, wave] = frequency[asked, 0]
        # A wave and its opposite are the same.
        apart = torch.minimum(
            torch.cdist(candidates[best], candidates), torch.cdist(-candidates[best], candidates)
        )
        strength = strength.masked_fill(apart < APART[waves], -1.0)


def _candidates() -> Tensor:
    """[J, 2] frequencies in the plane of a splat's two longest axes; every second ring is turned by
    half a step, so that they cover the plane evenly."""
    rings: list[Tensor] = []
    for number, magnitude in enumerate(MAGNITUDES):
        turn = math.pi * (torch.arange(DIRECTIONS) + 0.5 * (number % 2)) / DIRECTIONS
        rings.append(magnitude * torch.stack([turn.cos(), turn.sin()], dim=-1))
    return torch.cat(rings)
