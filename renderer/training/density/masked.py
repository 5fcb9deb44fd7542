"""Which points to begin with lie on what photos are masked to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor

from ..data import HALF, TrainingView, alpha_of


def counting(views: Sequence[TrainingView], points: Tensor) -> Tensor:
    """[P] bool: a view counts what is at the point, or no view with a mask has it in its picture.
    Where masks say that nothing is outside, half of the views have to: they look past it.

    Photos that cannot be read do not vote. `points` [P, 3] are on the CPU.
    """
    seen, inside = torch.zeros(2, len(points), dtype=torch.int32)
    needed = 0.5 if any(getattr(view, "transparent", False) for view in views) else 0.0
    for view in views:
        with suppress(OSError, ValueError):
            alpha = alpha_of(view)
            if alpha is not None:
                _vote(view, alpha, points, seen, inside)
    return (inside >= needed * seen) & ((inside > 0) | (seen == 0))


def _vote(view: TrainingView, alpha: Tensor, points: Tensor, seen: Tensor, inside: Tensor) -> None:
    width, height = view.camera.size
    pose = view.camera.world_to_camera.to(points)
    x, y, z = (
        view.camera.intrinsics.to(points) @ (points @ pose[:3, :3].T + pose[:3, 3]).T
    ).unbind()
    ahead = z > 0
    column, row = (torch.where(ahead, each / z, -1).floor() for each in (x, y))
    shown = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    at = torch.nonzero(shown).squeeze(-1)
    seen[at] += 1
    inside[at] += (alpha[row[at].long(), column[at].long()] >= HALF).int()
