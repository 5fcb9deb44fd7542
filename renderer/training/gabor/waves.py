"""Waves through the life of a splat: how they start, how children inherit them, and how fine they
may become."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...cameras import Camera
from ...raster.frequency import NYQUIST, waves_on_image
from ...settings import RenderSettings
from ...splats import RawSplats

START_FREQUENCY = 0.3
"""Cycles per sigma; measured: from here gradient descent finds most waves up to 1."""
START_COSINE = 0.01
"""Amplitude at the start: visible to the gradient of the frequency, not to the eye."""


@torch.no_grad()
def start_waves(raw: RawSplats, generator: torch.Generator) -> None:
    """Give every splat faint waves in the plane of its two longest axes, in random directions.

    The first direction is uniform, the others divide the half circle evenly: a wave and its
    opposite are the same. A wave across the shortest axis is averaged away in most views.
    """
    frequencies, coefficients = raw.frequencies, raw.coefficients
    count, waves, _ = frequencies.shape
    if waves == 0:
        return
    first = torch.rand(count, 1, generator=generator, dtype=torch.float32, device=generator.device)
    share = torch.arange(waves, dtype=torch.float32, device=frequencies.device) / waves
    turn = math.pi * (first.to(frequencies.device) + share)  # [N, K]
    planar = START_FREQUENCY * torch.stack([turn.cos(), turn.sin()], dim=-1)
    frequencies.copy_(in_longest_plane(raw.log_scales, planar))
    coefficients[..., 0] = START_COSINE
    coefficients[..., 1] = 0.0


def in_longest_plane(scales: Tensor, planar: Tensor) -> Tensor:
    """Vectors [N, K, 3] that have `planar` [N, K, 2] along the longest and the second longest axis
    of `scales` [N, 3]."""
    axes = scales.argsort(dim=-1, descending=True)[:, None, :2]
    vectors = planar.new_zeros(*planar.shape[:2], 3)
    return vectors.scatter_(2, axes.expand_as(planar), planar)


@torch.no_grad()
def carry_waves(raw: RawSplats, anchor_means: Tensor, anchor_log_scales: Tensor) -> None:
    """Keep every splat's waves where they were in the world before it moved and changed size.

    `anchor_means` and `anchor_log_scales`, [N, 3] each, are where each splat's waves come from:
    its own former values, or its parent's. Rotations are the parent's. A frequency in cycles
    per sigma shrinks with sigma, and the coefficients turn by the phase between the two centres
    (docs/mathematics.md, 5). Splats that did not change keep their waves bit for bit.
    """
    frequencies, coefficients = raw.frequencies, raw.coefficients
    offset = _to_splat(raw.quats, raw.means - anchor_means)
    cycles = torch.einsum("nkc,nc->nk", frequencies, offset * torch.exp(-anchor_log_scales))
    cosine, sine = torch.cos(2 * math.pi * cycles), torch.sin(2 * math.pi * cycles)
    a, b = coefficients.unbind(-1)
    coefficients.copy_(torch.stack([a * cosine + b * sine, b * cosine - a * sine], dim=-1))
    frequencies.mul_(torch.exp(raw.log_scales - anchor_log_scales).unsqueeze(1))


@torch.no_grad()
def limit_waves(raw: RawSplats, cameras: Sequence[Camera], settings: RenderSettings) -> None:
    """Shorten frequencies to what at least one of the cameras can resolve: half a cycle a pixel.

    Finer waves cannot be learnt from the photos; they would show when zooming in. What counts is
    the wave on the image, so that a component along the ray, which no camera sees, is free. Waves
    of splats that no camera has in its image are left as they are.
    """
    least = torch.full_like(raw.coefficients[..., 0], torch.inf)  # [N, K] cycles per pixel
    splats = raw.activated()
    for camera in cameras:
        seen, waves = waves_on_image(splats, camera, settings)
        frequency = waves[..., :2].norm(dim=-1)
        least = torch.where(seen[:, None], torch.minimum(least, frequency), least)
    excess = torch.where(least.isfinite(), least / NYQUIST, 1.0).clamp_min(1.0)
    raw.frequencies.div_(excess[..., None])


def _to_splat(quats: Tensor, vectors: Tensor) -> Tensor:
    """R^T v for quaternions wxyz [N, 4] of any non-zero length and vectors [N, 3] in the world."""
    unit = F.normalize(quats, dim=-1)
    w, axis = unit[:, :1], -unit[:, 1:]
    twice = 2 * torch.linalg.cross(axis, vectors)
    return vectors + w * twice + torch.linalg.cross(axis, twice)
