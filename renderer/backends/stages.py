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
    from ..types import RenderSettings  # which needs Geometry


@dataclass(frozen=True)
class Geometry:
    """Where splats are, their shape, opacity and waves; all but their colour."""

    means: Tensor  # [N, 3]
    quats: Tensor  # [N, 4] wxyz, any non-zero length
    scales: Tensor  # [N, 3]
    opacities: Tensor  # [N]
    frequencies: Tensor  # [N, K, 3] cycles per sigma
    coefficients: Tensor  # [N, K, 2] cosine, sine

    @property
    def waves(self) -> int:
        """Waves per splat, K."""
        return self.frequencies.shape[1]


@dataclass(frozen=True)
class Views:
    """C pinhole cameras of one image size."""

    viewmats: Tensor  # [C, 4, 4] world to camera
    intrinsics: Tensor  # [C, 3, 3] [px]
    size: tuple[int, int]  # (width, height) [px]


@dataclass(frozen=True)
class Projection:
    """How splats are projected, besides cameras."""

    size: tuple[int, int]  # (width, height) [px]
    settings: RenderSettings
    radius_clip: float = 0.0  # splats of no larger radius are culled [px]
    raw: bool = False  # scales are logarithms and opacities logits, as a fit moves them


def camera_positions(viewmats: Tensor) -> Tensor:
    """Centres [C, 3] in the world, -R^T t, of view matrices [C, 4, 4]."""
    return -(viewmats[:, :3, :3].transpose(1, 2) @ viewmats[:, :3, 3:])[..., 0]


def camera_positions_vjp(viewmats: Tensor, v_positions: Tensor) -> Tensor:
    """Gradient of `camera_positions`."""
    rotations, translations = viewmats[:, :3, :3], viewmats[:, :3, 3:]
    v_viewmats = torch.zeros_like(viewmats)
    v_viewmats[:, :3, :3] = -translations * v_positions[:, None, :]
    v_viewmats[:, :3, 3:] = -rotations @ v_positions[:, :, None]
    return v_viewmats


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
