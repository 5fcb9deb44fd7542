"""A small ray caller: exact pictures of surfaces with procedural textures.

Points [R, 3] and directions are in world units, textures see the surface's own coordinates (u, v)
in the same units. Everything is lit by one lamp at infinity and looks alike from everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Texture = Callable[[Tensor, Tensor], Tensor]
"""Colours [R, 3] in [0, 1] at (u, v), [R] each."""
Holes = Callable[[Tensor, Tensor], Tensor]
"""[R] bool, where a surface is missing."""

LAMP = F.normalize(torch.tensor([0.4, 0.8, 0.6]), dim=0)
AMBIENT = 0.55


class Surface(Protocol):
    """Something that rays hit."""

    def distance(self, origin: Tensor, directions: Tensor) -> Tensor:
        """[R] along unit rays to the first hit; infinite where there is none."""
        ...

    def color(self, points: Tensor) -> Tensor:
        """[R, 3] of points on the surface, as lit."""
        ...


@dataclass(frozen=True)
class Quad:
    """A rectangle: `across` and `up` are half its sides; (u, v) is 0 in the middle."""

    center: Tensor
    across: Tensor
    up: Tensor
    texture: Texture
    holes: Holes | None = None

    def _at(self, points: Tensor) -> tuple[Tensor, Tensor]:
        from_center = points - self.center
        return from_center @ F.normalize(self.across, dim=0), from_center @ F.normalize(
            self.up, dim=0
        )

    def distance(self, origin: Tensor, directions: Tensor) -> Tensor:
        normal = torch.linalg.cross(self.across, self.up)
        t = ((self.center - origin) @ normal) / (directions @ normal)
        u, v = self._at(origin + t[:, None] * directions)
        hit = (t > 0) & (u.abs() <= self.across.norm()) & (v.abs() <= self.up.norm())
        if self.holes is not None:
            hit &= ~self.holes(u, v)
        return t.masked_fill(~hit, torch.inf)

    def color(self, points: Tensor) -> Tensor:
        normal = F.normalize(torch.linalg.cross(self.across, self.up), dim=0)
        return self.texture(*self._at(points)) * _light(normal.expand_as(points))


@dataclass(frozen=True)
class Ball:
    """A sphere: u runs along the equator, v along the meridians, in units of length."""

    center: Tensor
    radius: float
    texture: Texture

    def distance(self, origin: Tensor, directions: Tensor) -> Tensor:
        to_center = self.center - origin
        along = directions @ to_center
        return _first_root(along, along.square() - to_center @ to_center + self.radius**2)

    def color(self, points: Tensor) -> Tensor:
        normal = (points - self.center) / self.radius
        u = self.radius * torch.atan2(normal[:, 0], normal[:, 2])
        v = self.radius * torch.asin(normal[:, 1].clamp(-1, 1))
        return self.texture(u, v) * _light(normal)


@dataclass(frozen=True)
class Pillar:
    """An upright cylinder without ends: u runs around it, v is the height over its middle."""

    center: Tensor
    radius: float
    half_height: float
    texture: Texture

    def distance(self, origin: Tensor, directions: Tensor) -> Tensor:
        flat = torch.tensor([1.0, 0.0, 1.0])
        to_center, rays = (self.center - origin) * flat, directions * flat
        length = rays.norm(dim=1)
        along = (rays @ to_center) / length
        t = _first_root(along, along.square() - to_center @ to_center + self.radius**2) / length
        height = origin[1] + t * directions[:, 1] - self.center[1]
        return t.masked_fill(~(height.abs() <= self.half_height), torch.inf)

    def color(self, points: Tensor) -> Tensor:
        normal = (points - self.center) * torch.tensor([1.0, 0.0, 1.0]) / self.radius
        u = self.radius * torch.atan2(normal[:, 0], normal[:, 2])
        return self.texture(u, points[:, 1] - self.center[1]) * _light(normal)


def _first_root(along: Tensor, discriminant: Tensor) -> Tensor:
    """Where a ray enters, from half the sum of both crossings and a quarter of their squared
    difference."""
    t = along - discriminant.clamp_min(0).sqrt()
    return t.masked_fill(~((discriminant > 0) & (t > 0)), torch.inf)


def _light(normals: Tensor) -> Tensor:
    return AMBIENT + (1 - AMBIENT) * (normals @ LAMP).clamp_min(0)[:, None]


def cast(scene: Sequence[Surface], origin: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Colours [R, 3] and distances [R] of what unit rays see; black and infinite where nothing."""
    distances = torch.stack([surface.distance(origin, directions) for surface in scene])
    nearest, which = distances.min(dim=0)
    colors = torch.zeros_like(directions)
    for index, surface in enumerate(scene):
        rays = torch.nonzero((which == index) & nearest.isfinite()).squeeze(1)
        if len(rays):
            colors[rays] = surface.color(origin + nearest[rays, None] * directions[rays])
    return colors, nearest


def picture(
    scene: Sequence[Surface],
    world_to_camera: Tensor,
    intrinsics: Tensor,
    size: tuple[int, int],
    samples: int,
) -> Tensor:
    """[H, W, 3] in [0, 1]: the mean over `samples` x `samples` rays a pixel."""
    width, height = size
    rotation = world_to_camera[:3, :3]
    origin = -rotation.T @ world_to_camera[:3, 3]
    x = (torch.arange(width * samples) + 0.5) / samples
    y = (torch.arange(height * samples) + 0.5) / samples
    rays = torch.stack(
        [
            ((x - intrinsics[0, 2]) / intrinsics[0, 0]).expand(len(y), -1),
            ((y - intrinsics[1, 2]) / intrinsics[1, 1])[:, None].expand(-1, len(x)),
            torch.ones(len(y), len(x)),
        ],
        dim=-1,
    )
    directions = F.normalize(rays.reshape(-1, 3) @ rotation, dim=1)
    colors, _ = cast(scene, origin, directions)
    return colors.reshape(height, samples, width, samples, 3).mean(dim=(1, 3))
