"""Photos of all directions: each becomes six views, the sides of a cube around the camera.

Together they show every direction once: what one of them holds out, no other of the same photo
has shown to training.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..colmap.model import ColmapImage, rotation_matrix
from .images import Photo

_HALF = math.sqrt(0.5)
SIDES = {
    "front": (1.0, 0.0, 0.0, 0.0),
    "right": (_HALF, 0.0, -_HALF, 0.0),
    "back": (0.0, 0.0, 1.0, 0.0),
    "left": (_HALF, 0.0, _HALF, 0.0),
    "up": (_HALF, -_HALF, 0.0, 0.0),
    "down": (_HALF, _HALF, 0.0, 0.0),
}
"""Rotations from the photo's camera to that of a view, wxyz."""


def cut_panoramas(
    images: Sequence[ColmapImage], photos: Sequence[Photo], repairs: list[str]
) -> list[tuple[ColmapImage, Photo]]:
    """Images with their photos, panoramas replaced by their views, sorted by name."""
    pairs = list(zip(images, photos, strict=True))
    whole = [(image, photo) for image, photo in pairs if photo.lens.is_panorama]
    if not whole:
        return pairs
    taken = {image.name for image in images}
    views = [
        (_turned(image, side, taken), replace(photo, lens=replace(photo.lens, turn=turn)))
        for image, photo in whole
        for side, turn in SIDES.items()
    ]
    repairs.append(
        f"{whole[0][1].path.parent}: cut {len(whole)} panoramas into {len(SIDES)} views of 90 "
        f"degrees each ({', '.join(SIDES)}; the first is {views[0][0].name})"
    )
    views += [(image, photo) for image, photo in pairs if not photo.lens.is_panorama]
    return sorted(views, key=lambda view: view[0].name)


def _turned(image: ColmapImage, side: str, taken: set[str]) -> ColmapImage:
    """The pose and the name of one view of a panorama."""
    stem, ending = os.path.splitext(image.name)
    while (name := f"{stem}_{side}{ending}") in taken:
        stem += "_"
    turn = SIDES[side]
    return replace(
        image,
        qvec=_product(turn, image.qvec),
        tvec=rotation_matrix(turn) @ image.tvec,
        name=name,
    )


def _product(
    first: tuple[float, float, float, float], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[4] the quaternion that turns by `second`, then by `first`."""
    scalar, vector = first[0], np.array(first[1:])
    real = scalar * second[0] - vector @ second[1:]
    rest = scalar * second[1:] + second[0] * vector + np.cross(vector, second[1:])
    return np.array([real, *rest])
