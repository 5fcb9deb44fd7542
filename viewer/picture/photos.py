"""The training photo nearest to a camera, warped into the view of that camera."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch

from ...renderer.cameras import Camera
from ..camera import Matrix, NamedCamera, camera_to_world
from .paint import Picture

MAX_DECODED = 4
"""Number of decoded photos that are kept."""

ROUNDING = 1e-5
"""Relative difference between equal centres, which poses in float32 leave."""

SMALLEST = 64
"""Shorter side below which a photo is not halved [px]."""


class NearestPhoto:
    """Nearest training photo of any view, for use on one thread.

    The nearest camera has the smallest |c - c'| / spread + angle, where |c - c'| is the distance of
    the centres, spread is the root mean square distance of all candidates from their mean, and
    angle is the one between the optical axes [radians]. Around an object, a step aside and the turn
    that goes with it count about the same. Cameras without a photo are no candidates.
    """

    def __init__(self, cameras: Sequence[NamedCamera]) -> None:
        self._candidates = [each for each in cameras if each.photo is not None]
        poses = [camera_to_world(each.camera) for each in self._candidates]
        self._centres = np.array([centre for _, centre in poses]).reshape(-1, 3)
        self._axes = np.array([rotation[:, 2] for rotation, _ in poses]).reshape(-1, 3)
        self._spread = _spread(self._centres)
        self._decoded: OrderedDict[int, list[Picture]] = OrderedDict()  # the last used at the end

    def show(self, camera: Camera) -> Picture:
        """The nearest photo in the view of `camera`, [H, W, 3], as if everything were far away.

        Black where the photo has no pixels, and everywhere without candidates. Raises what loading
        the photo raises.
        """
        width, height = camera.size
        if not self._candidates:
            return np.zeros((height, width, 3), np.uint8)
        index = self._nearest(camera)
        taken_by = self._candidates[index].camera
        levels = [
            (each, taken_by.resized((each.shape[1], each.shape[0]))) for each in self._levels(index)
        ]
        # The smallest level that is no coarser than the view.
        fine = [each for each in levels if each[1].intrinsics[0, 0] >= camera.intrinsics[0, 0]]
        photo, source = fine[-1] if fine else levels[0]
        return warped(photo, source, camera)

    def _nearest(self, camera: Camera) -> int:
        rotation, centre = camera_to_world(camera)
        distances = np.linalg.norm(self._centres - centre, axis=1)
        angles = np.arccos(np.clip(self._axes @ rotation[:, 2], -1, 1))
        return int(np.argmin(distances / self._spread + angles))

    def _levels(self, index: int) -> list[Picture]:
        """Mip levels of a photo, cached."""
        if index not in self._decoded:
            self._decoded[index] = self._load(index)
            if len(self._decoded) > MAX_DECODED:
                self._decoded.popitem(last=False)
        self._decoded.move_to_end(index)
        return self._decoded[index]

    def _load(self, index: int) -> list[Picture]:
        """Mip levels of a photo, each half as large as the one before.

        In a photo much finer than the view, interpolation would skip pixels.
        """
        photo = self._candidates[index].photo
        assert photo is not None
        levels = [photo().detach().to("cpu", torch.uint8).numpy()]
        while min(levels[-1].shape[:2]) >= SMALLEST:
            height, width = levels[-1].shape[:2]
            size = (width // 2, height // 2)
            half = cv2.resize(levels[-1], size, interpolation=cv2.INTER_AREA)
            levels.append(half.astype(np.uint8))
        return levels


def warped(photo: Picture, source: Camera, view: Camera) -> Picture:
    """The photo of the camera `source`, rotated about its centre into `view`, [H, W, 3].

    Black where the photo has no pixels.
    """
    to_photo = _to_photo(source, view)
    picture = cv2.warpPerspective(
        photo, to_photo, view.size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    # What lies behind the photo's camera has coordinates in the photo too.
    x, y = np.arange(view.size[0]), np.arange(view.size[1])
    behind = to_photo[2, 0] * x + (to_photo[2, 1] * y + to_photo[2, 2])[:, None] <= 0
    picture[behind] = 0
    return picture.astype(np.uint8)


def _to_photo(source: Camera, view: Camera) -> Matrix:
    """[3, 3] homography from pixels of `view` to those of `source` at infinity, K' R' R^T K^-1.

    Pixel centres are at whole numbers, as in OpenCV.
    """
    half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    to_view = np.linalg.inv(_intrinsics(view)) @ half
    from_photo = np.linalg.inv(half) @ _intrinsics(source)
    turn = camera_to_world(source)[0].T @ camera_to_world(view)[0]
    return from_photo @ turn @ to_view


def _intrinsics(camera: Camera) -> Matrix:
    return np.asarray(camera.intrinsics.detach().to("cpu", torch.float64), np.float64)


def _spread(centres: npt.NDArray[np.float64]) -> float:
    """Root mean square distance of `centres` [C, 3] from their mean; 1 if they are all the same."""
    if len(centres) == 0:
        return 1.0
    squares = np.sum((centres - centres.mean(axis=0)) ** 2, axis=1)
    spread = float(np.sqrt(squares.mean()))
    return spread if spread > ROUNDING * np.abs(centres).max() else 1.0
