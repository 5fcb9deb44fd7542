"""Fewer splats: those that add most to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..backends.registry import backend_for
from ..cameras import Camera
from ..raster.backward import blended_backward
from ..raster.forward import RasterOptions, blend_shaded, in_view
from ..raster.passes import Passes
from ..settings import RenderSettings
from ..splats import Splats


@torch.no_grad()
def contributions(
    splats: Splats, cameras: Sequence[Camera], settings: RenderSettings | None = None
) -> Tensor:
    """[N] what each splat adds to the pictures that cameras take: the sum over all pixels of the
    weight, alpha times transmittance, with which its colour is blended.

    Args:
        splats: N splats, on the device that renders them.
        cameras: on any device; each picture counts by its pixels.
        settings: how the splats are rendered; by default `RenderSettings()`.
    """
    # A picture is linear in the colours: the weights' sum is the gradient of the picture's sum.
    on_black = replace(settings or RenderSettings(), background=(0.0, 0.0, 0.0))
    options = RasterOptions.of(on_black, gradient=True)
    passes = Passes(backend_for(splats.means.device))
    total = torch.zeros_like(splats.opacities, dtype=torch.float64)
    white = splats.means.new_ones(1, len(splats), 1)
    for camera in cameras:
        view = in_view(splats, camera.to(splats.means.dtype), on_black, options)
        view = view._replace(harmonics=None)
        drawn = blend_shaded(passes, view, passes.shaded(view), white, options)
        v_drawn = (torch.ones_like(drawn.image), None)
        total += blended_backward(passes, drawn, v_drawn, options).colors[0, :, 0]
    return total


def decimated(
    splats: Splats,
    cameras: Sequence[Camera],
    count: int,
    settings: RenderSettings | None = None,
) -> Splats:
    """The `count` splats that add most to the pictures that cameras take, in their order.

    Args:
        splats: N splats, on the device that renders them.
        cameras: at least one, on any device.
        count: at least 1; all are kept if there are no more.
        settings: how the splats are rendered; by default `RenderSettings()`.

    Raises:
        ValueError: there are no cameras, or the count is less than 1.
    """
    if count < 1:
        raise ValueError(f"at least 1 splat has to be kept, not {count}")
    if not cameras:
        raise ValueError("there are no cameras to say which splats are seen")
    if count >= len(splats):
        return splats
    order = contributions(splats, cameras, settings).argsort(descending=True, stable=True)
    return splats.select(order[:count].sort().values)
