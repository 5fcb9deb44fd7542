"""Photos and cameras with the faults that captures have, put there on purpose.

Each function takes data and a seed and gives other data; nothing is written. The same seed gives
the same faults.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.support.fit_data import FitData
from benchmarks.training.light import in_linear_light
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.rotations import to_matrices
from gaborsplat.renderer.training import FitInput, TrainingView
from gaborsplat.renderer.training.data import scene_scale

EXPOSURE = 0.5
"""Most by which an exposure is off, up or down [EV]."""
WHITE_BALANCE = 0.05
"""Standard deviation of the logarithm of each channel's factor: two thirds are within 5 %."""
ROTATION = 0.25
"""By which every camera is turned [degrees]."""
TRANSLATION = 0.005
"""By which every camera is moved, per scene scale."""
MOVING = 1 / 3
"""Share of the training photos that something runs through."""
SQUARE = 0.2
"""Its side, per side of a square as large as the photo."""
CHECKS = 8
"""Coloured fields along its side."""
BLURRED = 0.05
"""Share of the training photos that are blurred, at least one."""
MOTION = 0.03
"""Length of the blur, per width of the photo."""

Change = Callable[[Tensor], Tensor]
"""From the pixels of a photo, [H, W, 3] uint8, to others."""


@dataclass(frozen=True, eq=False)
class DisturbedView:
    """A view with another camera or other pixels. All else is what `view` has.

    Attributes:
        view: as it was.
        camera: that is said to have taken it.
        change: of its pixels; None leaves them.
    """

    view: TrainingView
    camera: Camera
    change: Change | None = None

    @property
    def name(self) -> str:
        """Of the view."""
        return self.view.name

    def image(self) -> Tensor:
        """[H, W, 3] uint8; changed pixels are kept, and not to be written to."""
        return self.view.image() if self.change is None else self._changed

    def mask(self) -> Tensor | None:
        """[H, W] of the view."""
        return self.view.mask()

    @cached_property
    def _changed(self) -> Tensor:
        assert self.change is not None
        return self.change(self.view.image())

    def __getattr__(self, name: str) -> Any:
        """What only some views have, such as `alpha`."""
        if name.startswith("__"):  # asked for by copy and pickle, before there is a view
            raise AttributeError(name)
        return getattr(self.view, name)


Disturb = Callable[[TrainingView], DisturbedView]


def undisturbed(data: FitInput, seed: int) -> FitInput:
    """The data as they are."""
    return data


def exposure(data: FitInput, seed: int) -> FitInput:
    """Every photo, those for testing too, as a camera that chooses exposure and white balance for
    each by itself: another gain for each channel, in linear light, clipped where it is too much."""
    drawn = _random(seed)

    def disturbed(view: TrainingView) -> DisturbedView:
        stops = EXPOSURE * (2 * torch.rand((), generator=drawn) - 1)
        balance = WHITE_BALANCE * torch.randn(3, generator=drawn)
        gains = torch.exp2(stops) * torch.exp(balance)
        return _changed(view, partial(in_linear_light, change=lambda light: light * gains))

    return _all(data, disturbed)


def poses(data: FitInput, seed: int) -> FitInput:
    """Every camera, those for testing too, turned about a random axis through its centre and moved
    in a random direction."""
    drawn = _random(seed)
    scale = scene_scale([view.camera for view in data.train], data.points)

    def disturbed(view: TrainingView) -> DisturbedView:
        axis, direction = F.normalize(
            torch.randn(2, 3, generator=drawn, dtype=torch.float64), dim=-1
        )
        return DisturbedView(view, moved(view.camera, axis, TRANSLATION * scale * direction))

    return _all(data, disturbed)


def moving(data: FitInput, seed: int) -> FitInput:
    """A square of many colours, the same in each but somewhere else, on a third of the training
    photos."""
    drawn = _random(seed)
    colors = torch.randint(256, (CHECKS, CHECKS, 3), generator=drawn, dtype=torch.uint8)

    def disturbed(view: TrainingView) -> DisturbedView:
        at = torch.rand(2, generator=drawn).tolist()
        return _changed(view, partial(with_square, colors=colors, at=at))

    return _some(data, MOVING, drawn, disturbed)


def blurred(data: FitInput, seed: int) -> FitInput:
    """A few of the training photos as taken by a camera that was moving: along a straight line of
    random direction, in linear light."""
    drawn = _random(seed)

    def disturbed(view: TrainingView) -> DisturbedView:
        angle = math.pi * float(torch.rand((), generator=drawn))
        blur = partial(motion_blur, length=MOTION * view.camera.size[0], angle=angle)
        return _changed(view, partial(in_linear_light, change=blur))

    return _some(data, BLURRED, drawn, disturbed)


DISTURBANCES: dict[str, Callable[[FitInput, int], FitInput]] = {
    "none": undisturbed,
    "exposure": exposure,
    "poses": poses,
    "moving": moving,
    "blurred": blurred,
}
"""By the name that results have."""


def moved(camera: Camera, axis: Tensor, shift: Tensor) -> Camera:
    """A camera turned by `ROTATION` about an `axis` [3] of its own, and moved in the world by
    `shift` [3]."""
    half = math.radians(ROTATION) / 2
    quat = torch.cat([axis.new_tensor([math.cos(half)]), math.sin(half) * axis])
    pose = camera.world_to_camera.double()
    turn = to_matrices(quat[None])[0] @ pose[:3, :3]
    centre = -pose[:3, :3].T @ pose[:3, 3] + shift
    pose = pose.clone()
    pose[:3, :3], pose[:3, 3] = turn, -turn @ centre
    return Camera(pose.to(camera.world_to_camera), camera.intrinsics, camera.size)


def with_square(image: Tensor, colors: Tensor, at: Sequence[float]) -> Tensor:
    """A photo [H, W, 3] with a square of `colors` [C, C, 3] on it, `at` shares of the room that
    there is below and to the right of it."""
    height, width, _ = image.shape
    side = min(height, width, round(SQUARE * math.sqrt(height * width)))
    top, left = round(at[0] * (height - side)), round(at[1] * (width - side))
    field = torch.arange(side) * len(colors) // side
    image = image.clone()
    image[top : top + side, left : left + side] = colors[field][:, field]
    return image


def motion_blur(light: Tensor, length: float, angle: float) -> Tensor:
    """[H, W, 3] light of a photo whose every point is a line `length` [px] long; 0 rad is along
    the rows."""
    radius = math.ceil(length / 2) + 1
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.float32)
    samples = 32 * radius
    along = length * ((np.arange(samples) + 0.5) / samples - 0.5)
    x, y = radius + along * math.cos(angle), radius + along * math.sin(angle)
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    for right, below in ((0, 0), (0, 1), (1, 0), (1, 1)):  # each sample's light on four pixels
        share = np.abs(1 - right - (x - column)) * np.abs(1 - below - (y - row))
        np.add.at(kernel, (row + below, column + right), share)
    kernel /= kernel.sum()
    return torch.from_numpy(
        cv2.filter2D(light.numpy(), -1, kernel, borderType=cv2.BORDER_REPLICATE)
    )


def _random(seed: int) -> torch.Generator:
    """Random numbers that a training with the same seed does not draw."""
    return torch.Generator().manual_seed(2**32 + seed)


def _changed(view: TrainingView, change: Change) -> DisturbedView:
    return DisturbedView(view, view.camera, change)


def _all(data: FitInput, disturbed: Disturb) -> FitData:
    """Data of whose views every one is disturbed."""
    train, test = ([disturbed(view) for view in views] for views in (data.train, data.test))
    return FitData(train, test, data.points, data.point_colors)


def _some(data: FitInput, share: float, drawn: torch.Generator, disturbed: Disturb) -> FitData:
    """Data of whose training views a random share, at least one, is disturbed."""
    train = list(data.train)
    count = max(1, round(share * len(train)))
    for index in torch.randperm(len(train), generator=drawn)[:count].tolist():
        train[index] = disturbed(train[index])
    return FitData(train, data.test, data.points, data.point_colors)
