"""Camera pose and view settings of one browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["rgb", "depth", "alpha", "normals", "centres", "frequency"]
MODES: tuple[Mode, ...] = ("rgb", "depth", "alpha", "normals", "centres", "frequency")

Beside = Literal["nothing", "photo", "other"]


@dataclass(frozen=True)
class Pose:
    """Pose of a browser's camera. Axes: x right, y down, z forward.

    Attributes:
        wxyz: quaternion of the rotation from camera to world axes.
        position: camera centre in the world.
        fov: vertical field of view [radians].
        canvas: (width, height) of the page's canvas [px].
    """

    wxyz: tuple[float, float, float, float]
    position: tuple[float, float, float]
    fov: float
    canvas: tuple[int, int]


@dataclass(frozen=True)
class CropBox:
    """An oriented box; splats whose centre is outside of it are not drawn.

    Attributes:
        centre: centre of the box in the world.
        size: edge lengths, > 0, in the units of the world.
        wxyz: quaternion of the rotation from box to world axes.
    """

    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    wxyz: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class ViewSettings:
    """View settings of one browser: the choices in its panel that change the picture.

    Attributes:
        mode: what the colours show.
        background: colour behind the splats, RGB in [0, 255].
        max_side: longest side of the picture [px].
        waves: whether the Gabor waves are drawn, or the Gaussian envelopes alone.
        sh_degree: highest degree of the spherical harmonics that is drawn.
        near: near plane, in the units of the world; nearer splats are not drawn.
        crop: box outside of which nothing is drawn; None draws everything.
        beside: what the right part of the picture shows instead of the scene.
        split: where the right part begins, as a fraction of the width.
        cameras: whether the training cameras are drawn in the scene.
        path: whether the camera path is drawn in the scene.
    """

    mode: Mode = "rgb"
    background: tuple[int, int, int] = (0, 0, 0)
    max_side: int = 1280
    waves: bool = True
    sh_degree: int = 3
    near: float = 0.0
    crop: CropBox | None = None
    beside: Beside = "nothing"
    split: float = 0.5
    cameras: bool = False
    path: bool = False

    @property
    def has_objects(self) -> bool:
        """Whether the page draws objects of its own in the scene, which the splats must occlude."""
        return self.cameras or self.path or self.crop is not None
