"""What rendering returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """A rendered view."""

    color: Tensor  # [H, W, 3] RGB, background included
    alpha: Tensor  # [H, W] opacity accumulated along each pixel's ray
    depth: Tensor  # [H, W] alpha-weighted mean depth of the splats; 0 where nothing is drawn
