"""By how much photos of a capture differ in exposure, before anything is fitted."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor

from ...raster.light import to_linear
from ..data import FitInput, TrainingView, load_photo

VIEWS, POINTS = 100, 4000
"""How many are looked at, at most, spread evenly."""
DARKEST, BRIGHTEST = 12, 243
"""Levels of 255 between which a pixel says how much light there was."""
FEWEST_VIEWS = 3
"""Photos that must show a point, so that their median is one of several."""
FEWEST_POINTS = 50
"""Points that a photo must share with others."""
ROUNDS = 10
_NORMAL = 1.2533
"""Standard deviation per mean absolute deviation of normal numbers. That of the median would need
more photos than some captures have."""


def exposure_spread(data: FitInput) -> float | None:
    """Standard deviation of the exposures of the training photos [EV]; None where photos share too
    few points to tell.

    Light of the same point in several photos differs by their exposures, but for gloss and for what
    hides the point in some: medians over points, and over photos, pass over that. Both are found in
    turn, so that photos need not all show the same. White balance counts as exposure of a channel.
    """
    points = data.points[:: -(-len(data.points) // POINTS) or 1]
    views = data.train[:: -(-len(data.train) // VIEWS)]
    if not len(points):
        return None
    stops = torch.stack([_stops(view, points) for view in views])
    shared = (~stops.isnan()).sum(0) >= FEWEST_VIEWS
    stops = stops.where(shared, torch.nan)
    known = (~stops.isnan()).sum(1).amin(-1) >= FEWEST_POINTS
    stops = stops[known]
    if len(stops) < FEWEST_VIEWS:
        return None
    exposures = stops.new_zeros(len(stops), 1, 3)
    for _ in range(ROUNDS):
        level = (stops - exposures).nanmedian(0, keepdim=True).values
        exposures = (stops - level).nanmedian(1, keepdim=True).values
        exposures = exposures - exposures.median(0, keepdim=True).values
    return float(_NORMAL * exposures.abs().mean())


def _stops(view: TrainingView, points: Tensor) -> Tensor:
    """[P, 3] logarithm to base 2 of the light of `points` [P, 3] in a photo; NaN where it does not
    tell, or cannot be read."""
    nothing = points.new_full((len(points), 3), torch.nan)
    with suppress(OSError, ValueError):
        photo = load_photo(view, torch.device("cpu"))
        row, column, inside = view.camera.pixels_of(points)
        counting = photo.counting()
        if counting is not None:
            inside &= counting[row, column]
        levels = photo.image[row, column]
        told = (levels >= DARKEST).all(-1) & (levels <= BRIGHTEST).all(-1) & inside
        return to_linear(levels.float() / 255).log2().where(told[:, None], nothing)
    return nothing
