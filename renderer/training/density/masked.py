"""Which points to begin with lie on what photos are masked to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor

from ..data import TrainingView, alpha_of, where_counts

_VOTERS = 100
"""Views that are asked, evenly from all: their masks have to be decoded before the first step."""


def counting(views: Sequence[TrainingView], points: Tensor) -> Tensor:
    """[P] bool: a view counts what is at the point, or no view with a mask has it in its picture.
    Where masks say that nothing is outside, half of the views have to: they look past it.

    Photos that cannot be read do not vote. `points` [P, 3] are on the CPU.
    """
    seen, inside = torch.zeros(2, len(points), dtype=torch.int32, device="cpu")
    needed = 0.5 if any(getattr(view, "transparent", False) for view in views) else 0.0
    for view in views[:: -(-len(views) // _VOTERS)]:
        with suppress(OSError, ValueError):
            alpha = alpha_of(view)
            if alpha is not None:
                row, column, shown = view.camera.pixels_of(points)
                seen += shown
                inside += shown & where_counts(alpha)[row, column]
    return (inside >= needed * seen) & ((inside > 0) | (seen == 0))
