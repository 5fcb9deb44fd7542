"""What a browser asks for: where its camera stands, and what its person chose in the panel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["rgb", "depth", "alpha", "normals", "centres", "frequency"]
MODES: tuple[Mode, ...] = ("rgb", "depth", "alpha", "normals", "centres", "frequency")

Beside = Literal["nothing", "photo", "other"]


@dataclass(frozen=True)
class Pose:
    """Where a browser's camera stands. Axes: x right, y down, z forward."""

    wxyz: tuple[float, float, float, float]  # rotation from camera to world
    position: tuple[float, float, float]  # camera centre in the world
    fov: float  # vertical field of view [radians]
    canvas: tuple[int, int]  # (width, height) of the page's canvas [px]


@dataclass(frozen=True)
class CropBox:
    """A box in the world; splats whose centre is outside of it are not drawn."""

    centre: tuple[float, float, float]
    size: tuple[float, float, float]  # edge lengths, > 0
    wxyz: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)  # from box to world axes


@dataclass(frozen=True)
class ViewSettings:
    """What a person can choose in the panel and changes the picture."""

    mode: Mode = "rgb"
    background: tuple[int, int, int] = (0, 0, 0)
    """RGB in [0, 255]."""
    max_side: int = 1280
    """Longest side of the picture [px]."""
    waves: bool = True
    """Whether the Gabor waves are drawn, or the Gaussian envelopes alone."""
    sh_degree: int = 3
    """Highest degree of the spherical harmonics that is drawn."""
    near: float = 0.0
    """Splats nearer than this are not drawn, in the units of the capture."""
    crop: CropBox | None = None
    """Only what is in this box is drawn; None: everything."""
    beside: Beside = "nothing"
    """What the right part of the picture shows instead."""
    split: float = 0.5
    """Where the right part begins, as a fraction of the width."""
    cameras: bool = False
    """Whether the training cameras are drawn among the splats."""
    path: bool = False
    """Whether the camera path is drawn among the splats."""

    @property
    def has_objects(self) -> bool:
        """Whether the page draws objects of its own among the splats, which must hide behind
        them."""
        return self.cameras or self.path or self.crop is not None
