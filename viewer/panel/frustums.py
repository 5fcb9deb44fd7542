"""Frustums of the training cameras in one browser's scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import viser
from torch import Tensor
from viser import transforms

from ...scenes import one_line
from ..camera import (
    Bounds,
    NamedCamera,
    Vector,
    camera_to_world,
    go_to,
    outlook_of,
    vertical_fov,
)
from ..reports import Reports, reported

MAX_DRAWN = 250
"""Largest number of frustums, an even selection of the cameras: more slow the page down."""

PHOTO_SIDE = 192
"""Longest side of the photo in a frustum [px]."""

COLOR = (255, 150, 40)
"""Colour of frustums and crop box, RGB in [0, 255]."""


class Frustums:
    """Camera frustums: built when first shown, their photos one at a time after that.

    A frustum that the browser's camera stands in is hidden, or its photo would cover the view.
    """

    def __init__(
        self,
        client: viser.ClientHandle,
        cameras: Sequence[NamedCamera],
        bounds: Bounds,
        up: Callable[[], Vector],
        reports: Reports,
    ) -> None:
        """`up` gives the axis to orbit around from the camera of a clicked frustum."""
        self._reports = reports
        self._client = client
        self._up = up
        self._cameras = _evenly(cameras, MAX_DRAWN)
        self._bounds = bounds
        self._centres = _centres(self._cameras)
        self._scale = _spacing_scale(self._centres, bounds)
        self._handles: list[viser.CameraFrustumHandle] = []
        self._shown = np.zeros(len(self._cameras), bool)
        self._photos_shown = 0

    def show(self, visible: bool, eye: tuple[float, float, float]) -> None:
        """Show all frustums but those around `eye`, or none."""
        distances = np.linalg.norm(self._centres - np.array(eye), axis=1)
        shown = (distances > 1.5 * self._scale) & visible
        if np.array_equal(shown, self._shown):
            return
        self._shown = shown
        with self._client.atomic():
            if not self._handles:
                self._handles = [self._add(i, each) for i, each in enumerate(self._cameras)]
            for handle, is_shown in zip(self._handles, shown, strict=True):
                handle.visible = bool(is_shown)

    def show_next_photo(self) -> bool:
        """Add one more photo to its frustum; False when none is left."""
        index = self._photos_shown
        if index >= len(self._handles):
            return False
        self._photos_shown += 1
        named = self._cameras[index]
        if named.photo is not None:
            try:
                self._handles[index].image = thumbnail(named.photo())
            except Exception as error:  # a photo may be gone by now; the frustum stays empty
                self._reports.warn(f"photo {named.name}", f"{named.name}: {one_line(error)}")
        return True

    def _add(self, index: int, named: NamedCamera) -> viser.CameraFrustumHandle:
        rotation, position = camera_to_world(named.camera)
        width, height = named.camera.size
        handle = self._client.scene.add_camera_frustum(
            f"/cameras/{index}",
            fov=vertical_fov(named.camera),
            aspect=width / height,
            scale=self._scale,
            thickness=1.5,
            thickness_units="screen",
            color=COLOR,
            format="jpeg",
            wxyz=transforms.SO3.from_matrix(rotation).wxyz,
            position=position,
            cast_shadow=False,
            receive_shadow=False,
        )

        @handle.on_click
        @reported
        async def _(_: Any) -> None:
            go_to(self._client, outlook_of(named.camera, self._up(), self._bounds))

        return handle


def thumbnail(photo: Tensor) -> npt.NDArray[np.uint8]:
    """The photo ([H, W, 3] uint8), shrunk to a longest side of at most PHOTO_SIDE."""
    image = photo.detach().cpu().numpy()
    height, width = image.shape[:2]
    factor = min(1.0, PHOTO_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _evenly(cameras: Sequence[NamedCamera], most: int) -> list[NamedCamera]:
    if len(cameras) <= most:
        return list(cameras)
    return [cameras[round(i * (len(cameras) - 1) / (most - 1))] for i in range(most)]


def _centres(cameras: Sequence[NamedCamera]) -> npt.NDArray[np.float64]:
    """[C, 3] camera centres."""
    centres = [camera_to_world(each.camera)[1] for each in cameras]
    return np.array(centres) if centres else np.zeros((0, 3))


def _spacing_scale(centres: npt.NDArray[np.float64], bounds: Bounds) -> float:
    """Size of frustums: neighbours do not overlap, nor vanish in a large scene."""
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    spacing = float(np.median(distances.min(axis=1))) if len(centres) > 1 else np.inf
    return min(max(0.4 * spacing, 0.02 * bounds.radius), 0.1 * bounds.radius)
