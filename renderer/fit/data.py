"""What a fit needs to know about its photos. Anything with these members will do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..types import Camera


class View(Protocol):
    """One photograph and where it was taken from."""

    @property
    def name(self) -> str:
        """Unique within its capture."""
        ...

    @property
    def camera(self) -> Camera:
        """Float32, on the CPU; `size` is the size of the image."""
        ...

    def image(self) -> Tensor:
        """[H, W, 3] uint8 RGB; may decode a file at every call."""
        ...

    def mask(self) -> Tensor | None:
        """[H, W] bool, True where the photograph is valid; None where all of it is."""
        ...


class FitInput(Protocol):
    """Photos to learn from, photos to be judged by, and points to start from."""

    @property
    def train(self) -> Sequence[View]:
        """Views that are fitted; at least one."""
        ...

    @property
    def test(self) -> Sequence[View]:
        """Views held out for evaluation; may be empty."""
        ...

    @property
    def points(self) -> Tensor:
        """[P, 3] float32 points on surfaces, P >= 0."""
        ...

    @property
    def point_colors(self) -> Tensor:
        """[P, 3] uint8 RGB."""
        ...


def on_device(view: View, device: torch.device) -> tuple[Camera, Tensor, Tensor | None]:
    """Camera, image and mask of a view, on `device`."""
    mask = view.mask()
    mask = None if mask is None else mask.to(device)
    return view.camera.to(device), view.image().to(device), mask
