"""Gabor splats as plain Gaussians that look like them: the crests of waves become splats of their
own, and all are fitted to pictures of the original."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...bake import bake
from ...cameras import Camera
from ...editing.merging import merged
from ...raster.frequency import waves_on_image
from ...rotations import to_matrices, to_quaternions
from ...settings import RenderSettings
from ...splats import Splats
from .refit import STEPS, Progress, refitted

CRESTS = 3
"""Gaussians that a splat is split into, along its strongest wave."""


def to_gaussians(
    splats: Splats,
    cameras: Sequence[Camera],
    budget: int,
    settings: RenderSettings,
    *,
    steps: int = STEPS,
    progress: Progress = lambda done, of: None,
) -> Splats:
    """Plain Gaussians, at most `budget` of them, that look like `splats` from the `cameras`.

    The splats whose waves show most are split into their crests, as many as the budget allows;
    then all are fitted to pictures of `splats`.

    Raises:
        ValueError: the budget is smaller than the number of splats, or there are no cameras.
    """
    if budget < len(splats):
        raise ValueError(f"a budget of {budget} is less than the {len(splats)} splats there are")
    if not cameras:
        raise ValueError("there are no cameras to fit the Gaussians for")
    cameras = [camera.to(splats.means.device).to(splats.means.dtype) for camera in cameras]
    amplitude = strongest_waves(splats, cameras, settings)
    many = min((budget - len(splats)) // (CRESTS - 1), int((amplitude > 0).sum()))
    plain = bake(splats)
    if many > 0:
        order = amplitude.argsort(descending=True, stable=True)
        plain = merged([crests(splats.select(order[:many])), plain.select(order[many:])])
    return refitted(plain, splats, cameras, settings, steps=steps, progress=progress)


@torch.no_grad()
def strongest_waves(splats: Splats, cameras: Sequence[Camera], settings: RenderSettings) -> Tensor:
    """[N] opacity times amplitude of each splat's waves, where they show most."""
    most = torch.zeros_like(splats.opacities)
    for camera in cameras:
        seen, waves = waves_on_image(splats, camera, settings)
        strength = waves[..., 2:].norm(dim=-1).sum(dim=-1)
        most = torch.where(seen, torch.maximum(most, strength), most)
    return most


def crests(splats: Splats) -> Splats:
    """Each splat as the `CRESTS` crests of its strongest wave that are nearest to its centre.

    In whitened space a crest of M = c + A cos(2 pi |kappa| t), at t0 along kappa, is close to a
    Gaussian of variance (c + A) / (A (2 pi |kappa|)^2); times the envelope it is one again.
    """
    amplitude = splats.coefficients.norm(dim=-1)  # [N, K]
    strongest = amplitude.argmax(dim=-1)
    rows = torch.arange(len(splats), device=strongest.device)
    kappa = splats.frequencies[rows, strongest]
    size = kappa.norm(dim=-1).clamp_min(1e-3)
    a, b = splats.coefficients[rows, strongest].unbind(dim=-1)
    peak = amplitude[rows, strongest].clamp_min(1e-6)
    level = 1 - splats.coefficients[..., 0].sum(dim=-1)
    phase = torch.atan2(b, a) / (2 * math.pi)  # of the wave's crest, in cycles
    number = torch.arange(CRESTS, device=size.device) - CRESTS // 2
    at = (phase[:, None] - phase.round()[:, None] + number) / size[:, None]  # [N, CRESTS] sigmas
    highest = (level + peak).clamp_min(1e-3)
    variance = (highest / (peak * (2 * math.pi * size).square()))[:, None]
    inside = variance / (1 + variance)  # of the crest within the envelope
    opacity = splats.opacities * highest
    opacities = opacity[:, None] * torch.exp(-0.5 * at.square() / (1 + variance))

    frames = to_matrices(splats.quats.double()) * splats.scales[:, None].double()  # [N, 3, 3], R S
    along = torch.einsum("nij,nj->ni", frames, (kappa / size[:, None]).double())
    means = splats.means[:, None] + (at / (1 + variance))[..., None] * along[:, None].to(at)
    covariances = frames @ frames.mT - (1 - inside)[..., None] * (
        along[:, :, None] * along[:, None, :]
    )
    # In double precision: in single, the thinnest axis of a flat splat would be noise.
    variances, axes = torch.linalg.eigh(covariances)
    axes = (axes * torch.linalg.det(axes).sign()[:, None, None]).to(splats.means)
    least = 1e-14 * variances[:, -1:]
    scales = torch.maximum(variances, least).sqrt().to(splats.means)

    def repeat(tensor: Tensor) -> Tensor:
        return tensor.repeat_interleave(CRESTS, dim=0)

    count = CRESTS * len(splats)
    return Splats(
        means=means.reshape(count, 3),
        quats=repeat(to_quaternions(axes)),
        scales=repeat(scales),
        opacities=opacities.reshape(count).clamp(0.01, 0.99),
        sh=repeat(splats.sh),
        frequencies=splats.frequencies.new_zeros(count, 0, 3),
        coefficients=splats.coefficients.new_zeros(count, 0, 2),
    )
