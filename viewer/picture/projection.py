"""Pictures of all directions, and of a fisheye: drawn in parts by pinholes and resampled.

What a splat looks like is approximated about the axis of its camera, so two parts do not quite
agree where they meet: they are narrow, and go over into each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from ...renderer.cameras import Camera
from ...renderer.frame import Frame

Wide = Literal["equirectangular", "fisheye"]
Projection = Literal["perspective", "equirectangular", "fisheye"]

_MARGIN = math.radians(4)
"""How much farther from its axis than from the nearest one a direction is still taken from a
part."""
_BAND = 1 << 18
"""Directions whose shares are found at once."""
_EDGE = 2
"""Pixels around what is taken from a part, for interpolation."""


@dataclass(frozen=True)
class WideLens:
    """What a pinhole is not. Axes as a camera's: x right, y down, z forward.

    Attributes:
        kind: "equirectangular": longitude across, all 360 degrees, latitude down, all 180, with the
            camera's axis in the middle. "fisheye": equidistant, the distance from the middle goes
            with the angle from the axis; outside a circle as wide as the shorter side is nothing.
        fov: angle across the fisheye's circle [radians], up to 2 pi.
    """

    kind: Wide
    fov: float = math.pi

    def focal(self, size: tuple[int, int]) -> tuple[float, float]:
        """Pixels a radian in a picture of `size`, across and down, in its middle."""
        if self.kind == "fisheye":
            return min(size) / self.fov, min(size) / self.fov
        return size[0] / (2 * math.pi), size[1] / math.pi

    def intrinsics(self, size: tuple[int, int]) -> dict[str, float | str]:
        """What transforms.json says of a picture of `size`. nerfstudio counts a panorama's focal
        lengths so that they are half its width, and its height."""
        fx, fy = self.focal(size)
        model = {"camera_model": "OPENCV_FISHEYE", "k1": 0.0, "k2": 0.0, "k3": 0.0, "k4": 0.0}
        if self.kind == "equirectangular":
            fx, fy = size[0] / 2, float(size[1])
            model = {"camera_model": "EQUIRECTANGULAR"}
        return {**model, "fl_x": fx, "fl_y": fy, "cx": size[0] / 2, "cy": size[1] / 2}

    def rays(self, size: tuple[int, int], place: tuple[float, float]) -> Tensor:
        """[H * W, 3] unit directions of a picture of `size` (width, height), float64; NaN where it
        shows nothing. `place` in each pixel is from 0 to 1."""
        across, down = (
            (torch.arange(side, dtype=torch.float64, device="cpu") + offset - side / 2) / focal
            for side, offset, focal in zip(size, place, self.focal(size), strict=True)
        )
        x, y = across.expand(size[1], -1).flatten(), down[:, None].expand(-1, size[0]).flatten()
        if self.kind == "equirectangular":
            level = y.cos()
            return torch.stack([x.sin() * level, y.sin(), x.cos() * level], dim=-1)
        angle = torch.hypot(x, y)
        # sin(angle) / angle, also in the middle.
        aside = torch.sinc(angle / math.pi)
        rays = torch.stack([x * aside, y * aside, angle.cos()], dim=-1)
        return torch.where((angle <= self.fov / 2)[:, None], rays, torch.nan)


@dataclass(frozen=True)
class _Samples:
    """What is taken from a part of a picture, at one place in each pixel."""

    pixels: Tensor  # [P] int64
    shares: Tensor  # [P] of the part in the pixel
    slopes: Tensor  # [P, 2] x / z and y / z in the part's camera


@dataclass(frozen=True)
class Part:
    """A pinhole camera about the same centre, as small as what is taken from it allows.

    Attributes:
        turn: [3, 3] from the axes of the whole picture's camera to its own.
        intrinsics: [3, 3] K [px].
        size: (width, height) [px].
        samples: what is taken from it.
    """

    turn: Tensor
    intrinsics: Tensor
    size: tuple[int, int]
    samples: list[_Samples]

    def camera(self, whole: Camera) -> Camera:
        """The pinhole camera, of a picture with the pose of `whole`."""
        pose = whole.world_to_camera.double()
        pose = torch.cat([self.turn.to(pose) @ pose[:3], pose[3:]])
        like = whole.world_to_camera
        return Camera(pose.to(like), self.intrinsics.to(like), self.size)

    def planes(self, frame: Frame) -> Tensor:
        """[5, H, W] what may be averaged: colour, alpha, and alpha times distance."""
        k, (width, height) = self.intrinsics.to(frame.depth), self.size
        x = (torch.arange(width, dtype=k.dtype, device=k.device) + 0.5 - k[0, 2]) / k[0, 0]
        y = (torch.arange(height, dtype=k.dtype, device=k.device) + 0.5 - k[1, 2]) / k[1, 1]
        far = frame.alpha * frame.depth * (1 + x**2 + y[:, None] ** 2).sqrt()
        return torch.cat([frame.color.movedim(-1, 0), frame.alpha[None], far[None]])

    def add(self, planes: Tensor, total: Tensor) -> None:
        """Add what is taken from `planes` [C, H, W] to `total` [pixels, C]."""
        k = self.intrinsics
        for each in self.samples:
            places = each.slopes * k.diagonal()[:2] + k[:2, 2]
            grid = (2 * places / places.new_tensor(self.size) - 1).to(planes)
            taken = grid_sample(
                planes[None], grid[None, None], padding_mode="border", align_corners=False
            )
            pixels = each.pixels.to(total.device)
            total[pixels] += each.shares.to(total)[:, None] * taken[0, :, 0].T


def wide_frames(
    lens: WideLens,
    camera: Camera,
    draw: Callable[[Part], Sequence[Frame]],
    oversampling: int,
) -> list[Frame]:
    """What `lens` takes from the place and with the heading of `camera`, whose own field of view
    does not matter; their depth is the distance from the camera.

    Args:
        camera: with the size of the picture.
        draw: draws frames of one part, with its camera's depth.
        oversampling: how many times finer than the picture, at the least, parts are drawn, and how
            many times across and down each pixel is sampled.
    """
    width, height = camera.size
    total: Tensor | None = None
    for part in _parts(lens, camera.size, oversampling):
        planes = torch.cat([part.planes(frame) for frame in draw(part)])
        if total is None:
            total = planes.new_zeros(height * width, len(planes))
        part.add(planes, total)
    assert total is not None  # every lens looks somewhere
    mean = total.reshape(height, width, -1) / oversampling**2
    return [_frame(each) for each in mean.split(_CHANNELS, dim=-1)]


_CHANNELS = 5  # of `Part.planes`


def _frame(planes: Tensor) -> Frame:
    color, alpha, far = planes[..., :3], planes[..., 3], planes[..., 4]
    return Frame(color, alpha, torch.where(alpha > 0, far / alpha, 0))


@lru_cache(maxsize=1)  # all pictures of a film have the same
def _parts(lens: WideLens, size: tuple[int, int], oversampling: int) -> list[Part]:
    """The parts of which something is taken."""
    axes = _axes()
    steps = [(i + 0.5) / oversampling for i in range(oversampling)]
    taken: list[list[_Samples]] = [[] for _ in axes]
    turns = [_turn_to(axis) for axis in axes]
    for place in ((x, y) for y in steps for x in steps):
        rays = lens.rays(size, place)
        shares = torch.cat([_shares(some, axes) for some in rays.split(_BAND)])
        for part, turn in enumerate(turns):
            pixels = shares[:, part].nonzero()[:, 0]
            seen = rays[pixels] @ turn.T
            slopes = seen[:, :2] / seen[:, 2:]
            taken[part].append(_Samples(pixels, shares[pixels, part], slopes))
    focal = oversampling * max(lens.focal(size))
    return [
        _part(turn, samples, focal)
        for turn, samples in zip(turns, taken, strict=True)
        if any(len(each.pixels) for each in samples)
    ]


def _part(turn: Tensor, samples: list[_Samples], focal: float) -> Part:
    places = focal * torch.cat([each.slopes for each in samples])
    low = (places.amin(dim=0) - _EDGE).floor()
    width, height = ((places.amax(dim=0) + _EDGE).ceil() - low).int().tolist()
    intrinsics = torch.diag(places.new_tensor([focal, focal, 1.0]))
    intrinsics[:2, 2] = -low
    return Part(turn, intrinsics, (width, height), samples)


def _shares(rays: Tensor, axes: Tensor) -> Tensor:
    """[P, A] float32 how much of the directions `rays` [P, 3] is taken from the part about each of
    `axes` [A, 3]; in all it is 1, and of NaN 0."""
    angles = (rays @ axes.T).clamp(-1, 1).acos()
    weights = (1 - (angles - angles.amin(dim=1, keepdim=True)) / _MARGIN).clamp(0, 1)
    return (weights / weights.sum(dim=1, keepdim=True)).nan_to_num(0.0).float()


def _axes() -> Tensor:
    """[32, 3] where parts look: the corners of an icosahedron and of its dual, a dodecahedron.
    No direction is farther than 23 degrees from one of them."""
    golden = (1 + math.sqrt(5)) / 2
    corners = [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    for a in (-1, 1):
        for b in (-golden, golden):
            for x, y in ((a, b), (b, a / golden)):
                corners += [[0, x, y], [x, y, 0], [y, 0, x]]
    return torch.nn.functional.normalize(
        torch.tensor(corners, dtype=torch.float64, device="cpu"), dim=1
    )


def _turn_to(axis: Tensor) -> Tensor:
    """[3, 3] a rotation that leads `axis` to z."""
    aside = torch.eye(3, dtype=axis.dtype, device=axis.device)[axis.abs().argmin()]
    x = torch.nn.functional.normalize(torch.linalg.cross(aside, axis), dim=0)
    return torch.stack([x, torch.linalg.cross(axis, x), axis])
