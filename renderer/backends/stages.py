"""What the stages of the pipeline hand to each other: project -> shade -> bin -> blend.

C cameras, N splats, K waves, F numbers of modulation per splat on the image. M counts what is
blended: C * N, or fewer when invisible splats have been dropped ("packed").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ..settings import RenderSettings  # which needs SplatShape


@dataclass(frozen=True)
class Projection:
    """How splats are projected, besides cameras."""

    size: tuple[int, int]  # (width, height) [px]
    settings: RenderSettings
    radius_clip: float = 0.0  # splats of no larger radius are culled [px]
    raw: bool = False  # scales are logarithms and opacities logits, as a fit moves them


@dataclass(frozen=True)
class Projected:
    """Splats on the image. A culled splat has radius 0."""

    radii: Tensor  # [..., 2] int32, half extents [px]
    means2d: Tensor  # [..., 2] px; the gradient is that of the envelope alone
    depths: Tensor  # [...] camera z
    conics: Tensor  # [..., 3] inverse 2D covariance: xx, xy, yy [px^-2]
    opacities: Tensor  # [...] compensated when antialiased
    cutoffs: Tensor  # [...] envelope power beyond which alpha is under alpha_min
    screen: Tensor  # [..., F] the waves on the image, their own phase centre included

    @classmethod
    def empty(cls, like: Tensor, cameras: int, numbers: int) -> Projected:
        """Of all splats, a row of `like` each, in `cameras` views; for a backend to fill. `numbers`
        is F."""
        shape = (cameras, len(like))
        return cls(
            radii=like.new_empty(*shape, 2, dtype=torch.int32),
            means2d=like.new_empty(*shape, 2),
            depths=like.new_empty(*shape),
            conics=like.new_empty(*shape, 3),
            opacities=like.new_empty(*shape),
            cutoffs=like.new_empty(*shape),
            screen=like.new_empty(*shape, numbers),
        )

    def tensors(self) -> tuple[Tensor, ...]:
        """All fields, in order."""
        return tuple(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class Tiles:
    """Which splats touch which tile, front to back."""

    splat_ids: Tensor  # [instances] int32 into M, by (camera, tile), then by depth
    offsets: Tensor  # [C * tiles + 1] int64 into splat_ids
    # For the gradient; empty where none was asked for.
    slots: Tensor  # [instances] int32, place of each instance among those of its splat
    first_slot: Tensor  # [M + 1] int64, running total of tiles per splat
    length: Callable[[], int] | None = None
    """Waits for the number of instances, where the lists may be longer, or too short for it."""

    def whole(self) -> Tiles | None:
        """The same with lists of the right length; None if they were too short."""
        if self.length is None:
            return self
        length = self.length()
        if length > len(self.splat_ids):
            return None
        ids, slots = self.splat_ids[:length], self.slots[:length]
        return replace(self, splat_ids=ids, slots=slots, length=None)
