"""Photos of all directions: each becomes six views, the sides of a cube around the camera.

Together they show every direction once: what one of them holds out, no other of the same photo
has shown to training.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..colmap.model import ColmapImage, rotation_matrix
from .images import Photo
from .lenses import Lens

Turn = tuple[float, float, float, float]
_HALF = math.sqrt(0.5)
SIDES: dict[str, Turn] = {
    "front": (1.0, 0.0, 0.0, 0.0),
    "right": (_HALF, 0.0, -_HALF, 0.0),
    "back": (0.0, 0.0, 1.0, 0.0),
    "left": (_HALF, 0.0, _HALF, 0.0),
    "up": (_HALF, -_HALF, 0.0, 0.0),
    "down": (_HALF, _HALF, 0.0, 0.0),
}
"""Rotations from the photo's camera to that of a view, wxyz."""


@dataclass(frozen=True)
class Cut:
    """An image, or one of the views that it is cut into."""

    image: ColmapImage  # with the view's own name and pose
    photo: str  # name of the image in the model
    turn: Turn | None = None  # from the photo's camera to the view's, of a panorama

    def of(self, photo: Photo) -> Photo:
        """The part of its photo that the view shows."""
        if self.turn is None:
            return photo
        return replace(photo, lens=replace(photo.lens, turn=self.turn))


def cut_panoramas(
    images: Sequence[ColmapImage], lenses: Mapping[str, Lens], repairs: list[str]
) -> list[Cut]:
    """Images, panoramas replaced by their views, sorted by name.

    Args:
        images: of a model.
        lenses: of each of them, by its name.
        repairs: gets a line if there are panoramas.
    """
    taken = {image.name for image in images}
    plain = [Cut(image, image.name) for image in images if not lenses[image.name].is_panorama]
    cut = [
        Cut(_turned(image, side, taken), image.name, turn)
        for image in sorted(images, key=lambda image: image.name)
        if lenses[image.name].is_panorama
        for side, turn in SIDES.items()
    ]
    if cut:
        repairs.append(
            f"cut {len(images) - len(plain)} panoramas into {len(SIDES)} views of 90 degrees each "
            f"({', '.join(SIDES)}; the first is {cut[0].image.name})"
        )
    return sorted((*plain, *cut), key=lambda each: each.image.name)


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


def _product(first: Turn, second: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4] the quaternion that turns by `second`, then by `first`."""
    scalar, vector = first[0], np.array(first[1:])
    real = scalar * second[0] - vector @ second[1:]
    rest = scalar * second[1:] + second[0] * vector + np.cross(vector, second[1:])
    return np.array([real, *rest])
