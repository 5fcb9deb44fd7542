"""Which points cameras see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .model import ColmapCamera, ColmapImage

_POINTS = 2000
"""A share is found from this many, evenly from all."""


def seen_share(
    cameras: Mapping[int, ColmapCamera],
    images: Sequence[ColmapImage],
    xyz: NDArray[np.float64],
) -> float:
    """The share of points [P, 3] that lie in front of a camera and in the square around its photo,
    distortion and an axis off the centre aside; 0 without points."""
    finite = xyz[np.isfinite(xyz).all(1)]
    if not len(finite) or not images:
        return 0.0
    points = finite[:: -(-len(finite) // _POINTS)]
    count = len(points)
    # Of large surveys each image sees little: all are asked, for what none before has seen; first
    # those from all over it.
    steps = max(1, round(len(images) ** 0.5))
    for image in (each for first in range(steps) for each in images[first::steps]):
        with np.errstate(over="ignore", invalid="ignore"):  # points may be any numbers
            seen = _inside(cameras[image.camera_id], points @ image.rotation.T + image.tvec)
        points = points[~seen]
        if not len(points):
            break
    return 1.0 - len(points) / count


def _inside(camera: ColmapCamera, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[P] of points [P, 3] in a camera's frame."""
    if camera.model == "EQUIRECTANGULAR":
        return np.ones(len(points), bool)
    focal, side = camera.params[0], max(camera.width, camera.height)
    depth = points[:, 2]
    return (depth > 0) & (np.abs(points[:, :2]).max(1) * focal < depth * side / 2)
