"""Pictures of all directions, and of a fisheye: drawn in parts by pinholes and resampled.

What a splat looks like is approximated about the axis of its camera, so two parts do not quite
agree where they meet: they are narrow, and go over into each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from ...renderer.cameras import Camera
from ...renderer.editing.moving import rotation_between
from ...renderer.frame import Frame

Wide = Literal["equirectangular", "fisheye"]
Projection = Literal["perspective", "equirectangular", "fisheye"]

_MARGIN = math.radians(4)
"""How much farther from its axis than from the nearest one a direction is still taken from a
part."""
_BAND = 1 << 18
"""About as many directions are looked at at once."""
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

    def rays(
        self, size: tuple[int, int], place: tuple[float, float], rows: range | None = None
    ) -> Tensor:
        """[rows * W, 3] unit directions of a picture of `size` (width, height), or of some of its
        rows, float64; NaN where it shows nothing. `place` in each pixel is from 0 to 1."""
        rows = range(size[1]) if rows is None else rows
        across, down = (
            (torch.arange(side, dtype=torch.float64, device="cpu") + offset - side / 2) / focal
            for side, offset, focal in zip(size, place, self.focal(size), strict=True)
        )
        down = down[rows.start : rows.stop]
        x, y = across.expand(len(rows), -1).flatten(), down[:, None].expand(-1, size[0]).flatten()
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
    """What is taken from a part of a picture, at one place in each of P pixels."""

    pixels: Tensor  # [P] int32, each once
    shares: Tensor  # [P] float32 of the part in the pixel
    places: Tensor  # [P, 2] float32 in the part's picture, from -1 to 1


@dataclass(frozen=True)
class Part:
    """A pinhole camera about the same centre, as small as what is taken from it allows.

    Attributes:
        turn: [3, 3] float64 from the axes of the whole picture's camera to its own.
        intrinsics: [3, 3] float64 K [px].
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
        for each in self.samples:
            grid = each.places.to(planes)[None, None]
            taken = grid_sample(planes[None], grid, padding_mode="border", align_corners=False)
            total[each.pixels] += each.shares.to(total)[:, None] * taken[0, :, 0].T


def wide_frames(
    parts: Sequence[Part], size: tuple[int, int], draw: Callable[[Part], Sequence[Frame]]
) -> list[Frame]:
    """The frames of a whole picture of `size`; their depth is the distance from the camera.

    Args:
        parts: of `parts_of`.
        size: (width, height) [px].
        draw: draws frames of one part, with its camera's depth, and colours that are multiplied by
            alpha.
    """
    width, height = size
    total: Tensor | None = None
    for part in parts:
        planes = torch.cat([part.planes(frame) for frame in draw(part)])
        if total is None:
            total = planes.new_zeros(height * width, len(planes))
        part.add(planes, total)
    assert total is not None  # every lens looks somewhere
    return [_frame(each) for each in total.reshape(height, width, -1).split(_CHANNELS, dim=-1)]


_CHANNELS = 5  # of `Part.planes`


def _frame(planes: Tensor) -> Frame:
    color, alpha, far = planes[..., :3], planes[..., 3], planes[..., 4]
    return Frame(color, alpha, torch.where(alpha > 0, far / alpha, 0))


def parts_of(
    lens: WideLens, size: tuple[int, int], oversampling: int, device: torch.device
) -> list[Part]:
    """The parts of a picture of `size` by `lens` of which something is taken, on `device`.

    They are `oversampling` times finer than the picture, at the least, and each of its pixels is
    sampled as often across and down. `memory_of_parts` is what they take.
    """
    axes = _axes()
    ahead = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64, device="cpu")
    turns = [rotation_between(axis, ahead) for axis in axes]
    steps = [(i + 0.5) / oversampling for i in range(oversampling)]
    found = [_found(lens, size, (x, y), turns, device) for y in steps for x in steps]
    focal = oversampling * max(lens.focal(size))
    return [
        _part(turn, some, focal, oversampling**2)
        for turn, *places in zip(turns, *found, strict=True)
        if (some := [each for each in places if len(each[0])])
    ]


def memory_of_parts(size: tuple[int, int], oversampling: int) -> int:
    """Bytes that `parts_of` a picture of `size` take, at the most: an int32 and three floats for
    each sample, and the half again while they are found."""
    return int(size[0] * size[1] * oversampling**2 * _PARTS_OF_DIRECTION * 16 * 1.5)


_PARTS_OF_DIRECTION = 1.3
"""From how many parts a direction is taken in the mean; 1.26 were counted of a panorama."""


def _found(
    lens: WideLens,
    size: tuple[int, int],
    place: tuple[float, float],
    turns: Sequence[Tensor],
    device: torch.device,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """What is taken from each part, seen with each of `turns`, at one place in each pixel: pixels
    [P] int32, shares [P], and slopes [P, 2], x / z and y / z in the part's camera, float32."""
    width, height = size
    step = max(1, _BAND // width)
    turned = [turn.to(device) for turn in turns]
    axes = torch.stack([turn[2] for turn in turned])
    bands: list[list[tuple[Tensor, Tensor, Tensor]]] = []
    for first in range(0, height, step):
        rays = lens.rays(size, place, range(first, min(first + step, height))).to(device)
        parts, pixels, shares = _shares(rays, axes)
        counts = parts.bincount(minlength=len(turns)).tolist()
        seen = [
            some @ turn.T for some, turn in zip(rays[pixels].split(counts), turned, strict=True)
        ]
        slopes = [(each[:, :2] / each[:, 2:]).float() for each in seen]
        pixels = (pixels + first * width).int()
        bands.append(list(zip(pixels.split(counts), shares.split(counts), slopes, strict=True)))
    return [
        (torch.cat(pixels), torch.cat(shares), torch.cat(slopes))
        for pixels, shares, slopes in (zip(*part, strict=True) for part in zip(*bands, strict=True))
    ]


def _part(
    turn: Tensor, found: Sequence[tuple[Tensor, Tensor, Tensor]], focal: float, often: int
) -> Part:
    """The part of what was `found`, by a camera of `focal` [px]; `often` places are in a pixel. The
    tensors are written over."""
    ends = torch.stack([torch.stack(slopes.aminmax(dim=0)) for _, _, slopes in found])
    ends = ends.double().cpu() * focal
    low = (ends.amin(dim=(0, 1)) - _EDGE).floor()
    extent = (ends.amax(dim=(0, 1)) + _EDGE).ceil() - low
    scale, offset = 2 * focal / extent, -2 * low / extent - 1
    samples = [
        _Samples(pixels, shares.div_(often), slopes.mul_(scale.to(slopes)).add_(offset.to(slopes)))
        for pixels, shares, slopes in found
    ]
    intrinsics = torch.diag(low.new_tensor([focal, focal, 1.0]))
    intrinsics[:2, 2] = -low
    width, height = extent.int().tolist()
    return Part(turn, intrinsics, (width, height), samples)


def _shares(rays: Tensor, axes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How much of the directions `rays` [P, 3] is taken from the part about each of `axes` [A, 3]:
    numbers of parts and of rays, sorted, and shares, float32, which in all are 1 for a ray. Of NaN
    nothing is taken."""
    cosines = axes @ rays.T
    nearest = cosines.amax(dim=0).clamp(-1, 1).acos()
    part, pixel = (cosines > (nearest + _MARGIN).cos()).nonzero(as_tuple=True)
    angles = cosines[part, pixel].clamp(-1, 1).acos()
    weights = 1 - (angles - nearest[pixel]) / _MARGIN
    sums = torch.zeros_like(nearest).index_add_(0, pixel, weights)
    return part, pixel, (weights / sums[pixel]).float()


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
