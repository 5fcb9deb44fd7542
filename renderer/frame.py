"""What rendering returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """A rendered view.

    Attributes:
        color: [H, W, 3] RGB, background included.
        alpha: [H, W] opacity accumulated along each pixel's ray.
        depth: [H, W] alpha-weighted mean depth of the splats; 0 where nothing is drawn.
    """

    color: Tensor
    alpha: Tensor
    depth: Tensor
