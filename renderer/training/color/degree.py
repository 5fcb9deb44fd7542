"""The degree of the harmonics that the photos of a capture can tell apart.

Harmonics of degree l change over 180 / l degrees. Where photos see a splat from directions farther
apart than some part of that, their colours leave open what is between them, and a fit fills it with
whatever makes these photos sharper. It does so where splats are many, with hardly more pixels than
harmonics each. Where they are few, each has more to show than a single colour, and all degrees are
of use, as they are where photos are close together, however few: five before a door will do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import mean

import torch
import torch.nn.functional as F
from torch import Tensor

from ...cameras import Camera
from ..config import HIGHEST_DEGREE, Chosen, TrainConfig
from ..data import FitInput

log = logging.getLogger(__name__)

WIDEST = 72.0
"""Degree times angle between directions, at most [degrees]: chosen on all, every second and every
fourth photo of fox, banana and lund_door."""
PLENTY = 24.0
"""With so many pixels a splat, in all photos that see it together, that does not matter."""
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

    def degree(self, pixels: float) -> int:
        """Of the harmonics that they support, for photos of so many pixels a splat; the highest
        where nothing is known."""
        if self.count == 0 or self.count * pixels >= PLENTY:
            return HIGHEST_DEGREE
        return min(HIGHEST_DEGREE, int(WIDEST / self.apart))

    def told(self, pixels: float) -> str:
        """The degree and its reasons, a line."""
        degree = f"sh_degree {self.degree(pixels)}"
        if self.count == 0:
            return f"{degree}: no photo sees any of the points"
        apart = f", {self.apart:.0f} degrees apart" if self.apart < torch.inf else ""
        many = f"{self.count} photo{'' if self.count == 1 else 's'}{apart}"
        return f"{degree}: a splat is seen by {many}, in {self.count * pixels:.0f} pixels"


def _nearest(lines: Tensor) -> Tensor:
    """[D] angle of each of D lines of sight [D, 3] to the nearest that is not the same."""
    directions = F.normalize(lines[:: -(-len(lines) // DIRECTIONS)].double(), dim=-1)
    angles = (directions @ directions.T).clamp(-1, 1).arccos().rad2deg()
    return torch.where(angles < SAME, torch.inf, angles).amin(dim=1)


def with_degree(
    config: TrainConfig,
    data: FitInput,
    say: Callable[[str], object] = log.info,
    sizes: Sequence[tuple[int, int]] | None = None,
) -> TrainConfig:
    """`config` with a number for `sh_degree`: where that is "auto", what the photos to train on
    support, which `say` is told in a line. `sizes` (width, height) [px] are those of the photos
    where these will be others than of the cameras."""
    if config.sh_degree != "auto" or not data.train:
        return config
    cameras = [view.camera for view in data.train]
    sizes = sizes or [camera.size for camera in cameras]
    pixels = mean(width * height for width, height in sizes) / config.max_splats
    found = Directions.of(cameras, data.points)
    say(found.told(pixels))
    return replace(config, sh_degree=Chosen(found.degree(pixels)))
