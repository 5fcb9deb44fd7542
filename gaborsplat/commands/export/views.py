"""From where an export looks at scenes, to fit them and to tell how alike they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ... import camera_path
from ...inputs.loading import LoadedScene
from ...renderer.cameras import Camera
from ...renderer.editing.moving import Similarity, rotation_about, transformed_camera
from ...renderer.raster.render import render
from ...renderer.settings import RenderSettings
from ...renderer.splats import Splats
from ...renderer.training import psnr
from ...viewer.camera import bounds_of_splats

COMPARED = 8
"""Views that are compared, at most: it takes seconds."""
COMPARED_SIZE = (480, 360)
FITTED = 96
"""Views that splats are fitted to, at most."""
FITTED_SIZE = (960, 960)
TILTS = (60.0, 120.0)
"""Degrees by which two rings for fits, around a scene without cameras, are tilted."""
NOTICED = 1e-3
"""Errors of positions, in sizes of the splats, that are worth a line."""
SAME = 99.0
"""PSNR [dB] from which on pictures are the same: off by 1e-5, and psnr ends at 100."""


@dataclass(frozen=True)
class Views:
    """Cameras around a scene, in its frame.

    Attributes:
        compared: views that scenes are compared in.
        fitted: views that splats are fitted to, and that say what they add.
        of_run: whether they are those of a run; else they go around the scene.
    """

    compared: Sequence[Camera]
    fitted: Sequence[Camera]
    of_run: bool
    _made: deque[tuple[tuple[Splats, RenderSettings], list[Tensor]]] = field(
        default_factory=lambda: deque(maxlen=4), init=False, repr=False, compare=False
    )

    @classmethod
    def of_cameras(cls, test: Sequence[Camera], train: Sequence[Camera]) -> Views:
        """Those of a run, bounded in number and size: what is compared is not what is fitted, where
        there are test views."""
        return cls(
            _some(test or train, COMPARED, COMPARED_SIZE),
            _some(train or test, FITTED, FITTED_SIZE),
            of_run=True,
        )

    @classmethod
    def around(cls, scene: LoadedScene) -> Views:
        """A ring of views, and for fits another one between them and two that are tilted."""
        bounds = bounds_of_splats(scene.splats)
        ring = camera_path.orbit((), bounds, 2 * COMPARED, COMPARED_SIZE, scene.metadata.up)
        between = ring[1::2]
        centre = torch.from_numpy(bounds.centre)
        tilted = [
            transformed_camera(camera, _turn_about(centre, axis, tilt))
            for axis, tilt in zip((0, 2), TILTS, strict=True)
            for camera in between
        ]
        return cls(ring[::2], [*between, *tilted], of_run=False)

    def moved(self, similarity: Similarity) -> Views:
        """Views of the moved scene: the same pictures, mirrored if it is."""
        compared, fitted = (
            [transformed_camera(camera, similarity) for camera in cameras]
            for cameras in (self.compared, self.fitted)
        )
        return replace(self, compared=compared, fitted=fitted)

    @property
    def told(self) -> str:
        """What they are, for people."""
        count = len(self.compared)
        where = "views of the run" if self.of_run else "views around the scene"
        return f"{count} {where}"

    @torch.no_grad()
    def pictures(self, splats: Splats, settings: RenderSettings) -> list[Tensor]:
        """[H, W, 3] in [0, 1] of each view that is compared. The last scenes' are kept: what
        comes of a change is what the next one begins with."""
        for scene, made in self._made:
            if scene[0] is splats and scene[1] == settings:
                return made
        cameras = [camera.to(splats.means.device) for camera in self.compared]
        made = [render(splats, camera, settings).color.clamp(0, 1) for camera in cameras]
        self._made.append(((splats, settings), made))
        return made


def agreement(pictures: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """Mean PSNR [dB] of pictures against others of the same views, at most 100."""
    found = [float(psnr(one, other)) for one, other in zip(pictures, others, strict=True)]
    return sum(found) / len(found)


def told_psnr(value: float) -> str:
    """A PSNR [dB] for people."""
    return "the same pictures" if value >= SAME else f"{value:.2f} dB PSNR"


def _some(cameras: Sequence[Camera], most: int, size: tuple[int, int]) -> list[Camera]:
    """At most so many, evenly chosen, whose pictures fit into `size`."""
    step = max(1, -(-len(cameras) // most))
    return [_within(camera, size) for camera in cameras[::step]]


def _within(camera: Camera, size: tuple[int, int]) -> Camera:
    ratio = min(1.0, *(most / side for most, side in zip(size, camera.size, strict=True)))
    width, height = (max(1, round(side * ratio)) for side in camera.size)
    return camera.resized((width, height))


def _turn_about(centre: Tensor, axis: int, degrees: float) -> Similarity:
    turn = rotation_about(axis, degrees)
    return Similarity(1.0, 1.0, turn, centre - turn @ centre)
