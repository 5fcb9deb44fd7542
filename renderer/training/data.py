"""What a fit needs to know about its photos. Anything with these members will do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..cameras import Camera


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


Seen = tuple[Camera, Tensor, Tensor | None]
"""Camera, image and mask of a view."""

SHARE_OF_MEMORY = 0.25
"""Part of what is free on a GPU that photos may take."""


def on_device(view: View, device: torch.device) -> Seen:
    """What is known of a view, on `device`."""
    mask = view.mask()
    mask = None if mask is None else mask.to(device)
    return view.camera.to(device), view.image().to(device), mask


class PhotosOnDevice:
    """Views on a device, which come back step after step: a photo takes longer to get to a GPU than
    a step with it. The first `budget` bytes of photos stay there; for the CPU they are not copied.
    """

    def __init__(self, device: torch.device, budget: int | None = None) -> None:
        self._device = device
        if budget is None and device.type == "cuda":
            budget = int(SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0])
        self._left = budget or 0
        self._kept: dict[str, Seen] = {}

    def get(self, view: View) -> Seen:
        """What is known of a view. Not to be written to."""
        if view.name in self._kept:
            return self._kept[view.name]
        seen = on_device(view, self._device)
        _, image, mask = seen
        size = image.nbytes + (0 if mask is None else mask.nbytes)
        if size <= self._left:
            self._left -= size
            self._kept[view.name] = seen
        return seen
