"""Pictures of what the waves do: their direction as hue, their frequency as brightness."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from .._native import constants
from ..backends.registry import backend_for
from ..cameras import Camera
from ..frame import Frame
from ..settings import RenderSettings
from ..splats import Splats
from .forward import RasterOptions, blend_shaded, in_view
from .passes import Passes
from .render import frame_of

NYQUIST = 0.5
"""Cycles per pixel of the finest wave that pixels can show."""
BRIGHTEST = 0.25
"""Cycles per pixel of what is shown as bright as can be."""
STRONG = 0.25
"""Opacity times amplitude of a wave that is seen at full strength."""


@torch.no_grad()
def render_frequencies(splats: Splats, camera: Camera, settings: RenderSettings) -> Frame:
    """The splats' envelopes in the colours of their strongest waves, as `camera` sees them.

    Hue is the direction in which a wave oscillates on the image, red for horizontal, cyan for
    vertical; brightness is its frequency, up to a quarter of a cycle a pixel, times how strongly it
    shows. Alpha and depth are those of the envelopes. Raises as `render` does.
    """
    on_black = replace(settings, background=(0.0, 0.0, 0.0))
    options = RasterOptions.of(on_black, channels="color+depth")
    passes = Passes(backend_for(splats.means.device))
    envelopes = in_view(splats.without_waves(), camera, settings, options)._replace(harmonics=None)
    colors = _colors(splats, camera, settings)[None]
    drawn = blend_shaded(passes, envelopes, passes.shaded(envelopes), colors, options)
    return frame_of(drawn)


@torch.no_grad()
def waves_on_image(
    splats: Splats, camera: Camera, settings: RenderSettings
) -> tuple[Tensor, Tensor]:
    """Whether each splat is in the image [N], and its waves there [N, K, 4]: frequency x, y
    [cycles/px], and the amplitudes of cosine and sine, damped, times the splat's opacity."""
    passes = Passes(backend_for(splats.means.device))
    seen = in_view(splats, camera, settings, RasterOptions.of(settings))
    projected = passes.shaded(seen._replace(harmonics=None)).projected
    waves = projected.modulation2d[0, :, constants.FIRST_WAVE :].unflatten(-1, (splats.waves, 4))
    opacities = projected.opacities[0, :, None, None]
    scaled = torch.cat([waves[..., :2], opacities * waves[..., 2:]], dim=-1)
    return projected.visible[0].bool(), scaled


def _colors(splats: Splats, camera: Camera, settings: RenderSettings) -> Tensor:
    """[N, 3] of the wave of each splat that shows most; black without waves."""
    if splats.waves == 0:
        return torch.zeros_like(splats.means)
    seen, waves = waves_on_image(splats, camera, settings)
    amplitude, strongest = waves[..., 2:].norm(dim=-1).max(dim=-1)
    frequency = waves[torch.arange(len(waves), device=waves.device), strongest, :2]
    brightness = (frequency.norm(dim=-1) / BRIGHTEST).clamp(max=1.0)
    value = brightness * (amplitude / STRONG).clamp(max=1.0)
    # A wave and its opposite are the same: directions go around once in half a turn.
    hue = torch.atan2(frequency[:, 1], frequency[:, 0]) / math.pi % 1.0
    return torch.where(seen[:, None], value[:, None] * _bright(hue), 0.0)


def _bright(hue: Tensor) -> Tensor:
    """[..., 3] saturated colours of hues in turns."""
    offsets = hue.new_tensor([0.0, 2.0, 4.0])
    return (2 - ((6 * hue[..., None] - offsets + 3) % 6 - 3).abs()).clamp(0, 1)
