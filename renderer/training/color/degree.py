"""The degree of the harmonics that the photos of a capture can tell apart.

Harmonics of degree l change over 180 / l degrees. Where photos see a splat from directions farther
apart than some part of that, their colours leave open what is between them, and a fit fills it with
whatever makes these photos sharper. Photos closer together leave it to degree 3, however few they
are: five before a door will do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...cameras import Camera
from ..config import HIGHEST_DEGREE, Chosen, TrainConfig
from ..data import FitInput

log = logging.getLogger(__name__)

WIDEST = 72.0
"""Directions may be this far apart, per degree of the harmonics [degrees]. With fewer photos of fox
and banana, degree 3 stops to be the best when they are 15 to 30 degrees apart."""
SAME = 2.0
"""Photos whose directions differ by less count as one: bursts, pairs [degrees]."""
POINTS, DIRECTIONS = 256, 256
"""Points that are looked at, and directions of each."""


@dataclass(frozen=True)
class Directions:
    """From where photos see what a capture shows.

    Attributes:
        count: photos that see a point, the median over points; 0 if none sees any.
        apart: angle between a direction and the nearest other one, the median over points and
            photos [degrees]; infinite where most points are seen from one direction alone.
    """

    count: int
    apart: float

    @classmethod
    def of(cls, cameras: Sequence[Camera], points: Tensor) -> Directions:
        """Those in which `cameras` see some of `points` [P, 3]."""
        points = points[:: -(-len(points) // POINTS) or 1]
        counts: list[int] = []
        nearest: list[Tensor] = []
        positions = torch.stack([camera.position for camera in cameras]).to(points)
        seen = torch.stack([camera.pixels_of(points)[2] for camera in cameras])  # [C, P]
        for point, by in zip(points, seen.unbind(1), strict=True):
            if by.any():
                counts.append(int(by.sum()))
                nearest.append(_nearest(point - positions[by]))
        if not counts:
            return cls(0, torch.inf)
        return cls(sorted(counts)[len(counts) // 2], float(torch.cat(nearest).median()))

    @property
    def degree(self) -> int:
        """Of the harmonics that they support; the highest where nothing is known."""
        if self.count == 0:
            return HIGHEST_DEGREE
        return min(HIGHEST_DEGREE, int(WIDEST / self.apart))

    def told(self) -> str:
        """`degree` and its reason, a line."""
        if self.count == 0:
            return f"sh_degree {self.degree}: no photo sees any of the points"
        many = f"{self.count} photo{'' if self.count == 1 else 's'}"
        apart = f", {self.apart:.0f} degrees apart" if self.apart < torch.inf else ""
        return f"sh_degree {self.degree}: a splat is seen by {many}{apart}"


def _nearest(lines: Tensor) -> Tensor:
    """[D] angle of each of D lines of sight [D, 3] to the nearest that is not the same."""
    directions = F.normalize(lines[:: -(-len(lines) // DIRECTIONS)].double(), dim=-1)
    angles = (directions @ directions.T).clamp(-1, 1).arccos().rad2deg()
    return torch.where(angles < SAME, torch.inf, angles).amin(dim=1)


def with_degree(
    config: TrainConfig, data: FitInput, say: Callable[[str], object] = log.info
) -> TrainConfig:
    """`config` with a number for `sh_degree`: where that is "auto", what the photos to train on
    support, which `say` is told in a line."""
    if config.sh_degree != "auto" or not data.train:
        return config
    found = Directions.of([view.camera for view in data.train], data.points)
    say(found.told())
    return replace(config, sh_degree=Chosen(found.degree))
