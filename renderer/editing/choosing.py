"""Which splats of a cloud are kept: by where they are, by what they are, and which are strays."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..splats import Splats

FAR = 10.0
"""Strays are this many times farther from the middle than nine tenths of the splats are."""
COMPANY = 1e-4
"""A share of all splats, at least LEAST_COMPANY of them: fewer within half and twice the distance
of a splat, and it is alone there."""
LEAST_COMPANY = 8
DOT = 0.01
"""Second largest standard deviation, over the distance from the middle, of what looks like a dot or
a thread from there. Sky is made of splats that look larger."""
FARTHEST = 2.0**17
"""Median distances from the middle beyond which all splats are strays: of a file that has 24 bits
for a position, one of them would leave 6 to the rest."""
_MEASURED = 1_000_000
"""Of more splats, an even selection is measured."""


def cropped(splats: Splats, low: Sequence[float], high: Sequence[float]) -> Splats:
    """The splats whose centres are in a box.

    Args:
        splats: N splats.
        low: (x, y, z) of one corner.
        high: (x, y, z) of the other; in all three larger.

    Raises:
        ValueError: the corners are no box.
    """
    return splats.select(in_box(splats.means, low, high))


def in_box(means: Tensor, low: Sequence[float], high: Sequence[float]) -> Tensor:
    """[N] bool, whether centres [N, 3] are in a box, border included. Raises as `cropped`."""
    corners = [tuple(map(float, corner)) for corner in (low, high)]
    lowest, highest = corners
    if len(lowest) != 3 or len(highest) != 3 or not all(map(math.isfinite, lowest + highest)):
        raise ValueError(f"a box is x0 y0 z0 x1 y1 z1, six finite numbers, not {low} {high}")
    for axis, first, last in zip("xyz", lowest, highest, strict=True):
        if not first < last:
            raise ValueError(
                f"a box has {axis}0 below {axis}1, not {axis}0 = {first:g} and {axis}1 = {last:g}"
            )
    places = means.double()
    inside = (places >= places.new_tensor(lowest)) & (places <= places.new_tensor(highest))
    return inside.all(dim=1)


def pruned(splats: Splats, *, min_opacity: float = 0.0, max_scale: float = math.inf) -> Splats:
    """The splats that are opaque and small enough.

    Args:
        splats: N splats.
        min_opacity: the least peak opacity that is kept, in [0, 1].
        max_scale: the largest standard deviation that is kept, in the unit of the scene.

    Raises:
        ValueError: one of them is out of its range.
    """
    if not 0 <= min_opacity <= 1:
        raise ValueError(f"the least opacity must be between 0 and 1, not {min_opacity:g}")
    if not max_scale > 0:
        raise ValueError(f"the largest scale must be above 0, not {max_scale:g}")
    small = splats.scales.amax(dim=1) <= max_scale
    return splats.select((splats.opacities >= min_opacity) & small)


def outliers(splats: Splats) -> Tensor:
    """[N] bool, which splats are strays: far from all others, and nothing that one would miss.

    A scene has no edge: sky is a hundred times farther than what stands before it. A splat is a
    stray where it is `FAR`, has little `COMPANY` at its distance and looks like a `DOT`; or where
    it is beyond `FARTHEST`. What is not finite is one too.

    Args:
        splats: N splats.
    """
    finite = torch.isfinite(splats.means).all(dim=1)
    strays = ~finite
    places = splats.means.double()
    known = places[finite]
    if not len(known):
        return strays
    some = known[:: -(-len(known) // _MEASURED)]
    middle = some.median(dim=0).values
    measured = (some - middle).norm(dim=1).sort().values
    typical = float(measured[(len(measured) - 1) // 2])
    bulk = float(measured[(9 * (len(measured) - 1)) // 10])
    if not typical > 0:
        return strays
    distance = (places - middle).norm(dim=1)
    dot = splats.scales.sort(dim=1).values[:, 1] < DOT * distance
    alone = _company(distance, finite) < max(LEAST_COMPANY, COMPANY * len(known))
    strays |= (distance > FAR * bulk) & dot & alone
    return strays | (distance > FARTHEST * typical)


def _company(distance: Tensor, finite: Tensor) -> Tensor:
    """[N] how many finite splats are between half and twice the distance of each, itself too."""
    ordered = distance[finite].sort().values
    nearer = torch.searchsorted(ordered, distance / 2)
    return torch.searchsorted(ordered, 2 * distance, right=True) - nearer
