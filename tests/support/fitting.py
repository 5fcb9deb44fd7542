"""A capture small enough to be fitted in a test, with a scene that is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.splats import Splats

SIZE = (40, 30)
"""(width, height) [px] of every photo."""


@dataclass
class Photo:
    """A view whose image is in memory."""

    name: str
    camera: Camera
    pixels: Tensor
    valid: Tensor | None = None

    def image(self) -> Tensor:
        return self.pixels

    def mask(self) -> Tensor | None:
        return self.valid


@dataclass
class SmallCapture:
    """Renderings of a random cloud as photos, and the cloud's centres as points."""

    train: list[Photo] = field(default_factory=list)
    test: list[Photo] = field(default_factory=list)
    points: Tensor = field(default_factory=lambda: torch.zeros(0, 3))
    point_colors: Tensor = field(default_factory=lambda: torch.zeros(0, 3, dtype=torch.uint8))


def looking_at_origin(centre: tuple[float, float, float]) -> Camera:
    """A camera at `centre` that has the origin in the middle of its image."""
    position = torch.tensor(centre)
    forward = F.normalize(-position, dim=0)
    right = F.normalize(torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]), forward), dim=0)
    pose = torch.eye(4)
    pose[:3, :3] = torch.stack([right, torch.linalg.cross(forward, right), forward])
    pose[:3, 3] = -pose[:3, :3] @ position
    intrinsics = torch.tensor([[40.0, 0.0, 20.0], [0.0, 40.0, 15.0], [0.0, 0.0, 1.0]])
    return Camera(pose, intrinsics, SIZE)


def blobs(count: int = 120, seed: int = 0) -> Splats:
    """Coloured Gaussians in the cube [-1, 1]^3."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    return Splats(
        means=2 * uniform(count, 3) - 1,
        quats=torch.randn(count, 4, generator=generator),
        scales=0.05 + 0.2 * uniform(count, 3),
        opacities=0.4 + 0.5 * uniform(count),
        sh=3 * uniform(count, 1, 3) - 1.5,
        frequencies=torch.zeros(count, 0, 3),
        coefficients=torch.zeros(count, 0, 2),
    )


def small_capture(views: int = 6) -> SmallCapture:
    """`views` photos around the blobs, the first of them for testing."""
    scene = blobs()
    photos: list[Photo] = []
    for index in range(views):
        turn = 0.5 * index
        camera = looking_at_origin((4 * math.sin(turn), 0.3 * index, -4 * math.cos(turn)))
        image = render(scene, camera).color.clamp(0, 1)
        photos.append(Photo(f"view {index}", camera, (255 * image).round().to(torch.uint8)))
    colors = (0.5 + scene.sh[:, 0] / (2 * math.sqrt(math.pi))).clamp(0, 1)
    return SmallCapture(photos[1:], photos[:1], scene.means, (255 * colors).to(torch.uint8))
