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
from dataclasses import replace

import torch
from torch import Tensor

from ...splats import WAVE_COUNTS, RawSplats
from ..data import LeftOut, TrainingView, load_photo
from ..step.runner import StepRunner
from .waves import START_FREQUENCY, in_longest_plane

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
PICTURES = PHOTOS * (-(-len(MAGNITUDES) * DIRECTIONS // _AT_ONCE))
"""How many pictures, with their gradients, it takes at most."""


@torch.no_grad()
def init_from_residual(
    raw: RawSplats,
    views: Sequence[TrainingView],
    runner: StepRunner,
    degree: int,
    left_out: LeftOut | None = None,
) -> None:
    """Start the waves [N, K] of `raw` at the candidates that the `views` ask for most.

    Splats that none of the views shows keep the waves they have. Takes a picture and its gradient
    per view and `_AT_ONCE` candidates, by `runner`; `degree` is that of the harmonics. Views whose
    photos cannot be read are `left_out`.
    """
    like = raw.means
    candidates = _candidates().to(like)
    demand = like.new_zeros(len(raw), len(candidates), 2)
    left_out = left_out or LeftOut()
    for view in views:
        photo = left_out.photo(view, lambda each: load_photo(each, like.device))
        if photo is None:
            continue
        photo = photo.over(runner.settings.background)
        for first in range(0, len(candidates), _AT_ONCE):
            trial = _with_waves(raw, candidates[first : first + _AT_ONCE])
            picture = runner.forward(trial, runner.camera_of(photo), sh_degree=degree)
            _, gradients = runner.backward(picture, photo)
            part = gradients["coefficients"].nan_to_num(0.0, 0.0, 0.0)
            demand[:, first : first + _AT_ONCE] += part
            runner.forget()
    _begin(raw, candidates, demand)


def _with_waves(raw: RawSplats, planar: Tensor) -> RawSplats:
    """The same splats with waves `planar` [J, 2] of amplitude zero."""
    count, waves = len(raw), len(planar)
    return replace(
        raw,
        frequencies=in_longest_plane(raw.log_scales.detach(), planar.expand(count, -1, -1)),
        coefficients=planar.new_zeros(count, waves, 2),
    )


def _begin(raw: RawSplats, candidates: Tensor, demand: Tensor) -> None:
    """Set the waves to those of the `candidates` [J, 2] whose `demand` [N, J, 2], the gradient to
    their amplitudes, is longest."""
    strength = demand.norm(dim=-1)
    rows = torch.arange(len(strength), device=strength.device)
    waves = raw.frequencies.shape[1]
    for wave in range(waves):
        most, best = strength.max(dim=1)
        asked = most > 0
        chosen = rows[asked], best[asked]
        direction = -demand[chosen] / most[asked, None]
        raw.coefficients[asked, wave] = AMPLITUDE * direction
        frequency = in_longest_plane(raw.log_scales, candidates[best][:, None])
        raw.frequencies[asked, wave] = frequency[asked, 0]
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
        step = torch.arange(DIRECTIONS, dtype=torch.float32, device="cpu")
        turn = math.pi * (step + 0.5 * (number % 2)) / DIRECTIONS
        rings.append(magnitude * torch.stack([turn.cos(), turn.sin()], dim=-1))
    return torch.cat(rings)
