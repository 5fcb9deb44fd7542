"""Which points of a model are of its scene, and where float32 coordinates of it begin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .colmap.model import ColmapModel, ColmapPoints
from .colmap.visibility import seen_share

STRANGERS = 0.02
"""Points of which cameras see no more than this share are not of their scene."""
FAR_FROM_ZERO = 100.0
"""Beyond this many times its own extent from zero, a scene is moved to zero.

float32 resolves 6e-8 of a coordinate: 1e-5 of the extent at this distance, a hundredth of a
typical splat.
"""


def usable_points(model: ColmapModel, repairs: list[str]) -> ColmapPoints:
    """The points that are numbers, and where the cameras look; `repairs` gets lines on others."""
    return _seen(model, _finite(model.points, model.files[-1], repairs), repairs)


def _finite(points: ColmapPoints, path: Path, repairs: list[str]) -> ColmapPoints:
    """The points whose coordinates are numbers."""
    # float32 overflows long before float64 does.
    good = (np.abs(points.xyz) < np.finfo(np.float32).max).all(1)
    bad = int((~good).sum())
    if not bad:
        return points
    repairs.append(
        f"{path}: left out {bad} of {len(points)} points whose coordinates are not finite "
        f"(the first is point {int(np.argmin(good)) + 1} of the file)"
    )
    return ColmapPoints(
        xyz=points.xyz[good],
        rgb=points.rgb[good],
        errors=points.errors[good],
        track_lengths=points.track_lengths[good],
        track_images=points.track_images[np.repeat(good, points.track_lengths)],
    )


def _seen(model: ColmapModel, points: ColmapPoints, repairs: list[str]) -> ColmapPoints:
    """The points, or none if they cannot be where the cameras look."""
    share = seen_share(model.cameras, model.images, points.xyz)
    if share >= STRANGERS or not len(points):
        return points
    repairs.append(
        f"{model.folder}: left out all {len(points)} points: cameras see {100 * share:.2g} % of "
        "them, so they are in another frame; export cameras and points in one step"
    )
    return ColmapPoints.none()


def origin_for(centres: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The middle of a scene that lies far from zero (see FAR_FROM_ZERO), else zeros."""
    places = np.concatenate([centres, points])
    # Medians, so that a few points near infinity do not decide.
    middle = np.median(places, axis=0)
    extent = float(np.median(np.linalg.norm(places - middle, axis=1)))
    if np.linalg.norm(middle) > FAR_FROM_ZERO * extent:
        return middle
    return np.zeros(3)
