"""Splats fitted to pictures of others that they are to look like."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import Parameter

from ...cameras import Camera
from ...raster.render import render_bytes
from ...settings import RenderSettings
from ...splats import Parameters, RawSplats, Splats
from ..config import LearningRates
from ..data import Photo, scene_scale
from ..gabor.waves import limit_waves
from ..step.fit import SplatFit
from ..step.runner import StepRunner

STEPS = 400
"""Of the fit."""
LR_SCALE = 2.0
"""Learning rates, as multiples of those of a full run; they fall to a tenth of this."""
SSIM_WEIGHT = 0.2

Progress = Callable[[int, int], None]
"""Receives steps done and steps in all."""


def refitted(
    splats: Splats,
    original: Splats,
    cameras: Sequence[Camera],
    settings: RenderSettings | None = None,
    *,
    steps: int = STEPS,
    progress: Progress = lambda done, of: None,
) -> Splats:
    """`splats`, after `steps` steps towards pictures of `original` from the cameras in turn.

    Their number stays; waves become no finer than the cameras see.

    Args:
        splats: where the fit begins, on the device that computes.
        original: what they are to look like, on the same device.
        cameras: at least one, on any device.
        settings: how both are rendered; by default `RenderSettings()`.
        steps: of the fit.
        progress: is told after each step how many are done, and how many there are.

    Raises:
        ValueError: there are no cameras.
    """
    if not cameras:
        raise ValueError("there are no cameras to fit the splats for")
    settings = settings or RenderSettings()
    cameras = [camera.to(splats.means.device).to(splats.means.dtype) for camera in cameras]
    raw: Parameters = {
        name: Parameter(tensor) for name, tensor in RawSplats.standing_for(splats).tensors().items()
    }
    fit = SplatFit(raw, steps)
    rates = vars(LearningRates())
    size = scene_scale([camera.to("cpu") for camera in cameras], splats.means.cpu())
    photos = [render_bytes(original, camera, settings) for camera in cameras]
    generator = torch.Generator().manual_seed(0)
    runner = StepRunner(splats.means.device, settings)
    order, started = list[int](), None
    for step in range(steps):
        order = (
            order
            or torch.randperm(len(cameras), generator=generator, device=generator.device).tolist()
        )
        view = order.pop()
        fading = LR_SCALE * 0.1 ** (step / steps)
        wanted = fit.wanted(
            {name: fading * rates[name] * (size if name == "means" else 1.0) for name in raw},
            seed=step,
        )
        photo = Photo(cameras[view], photos[view], None)
        started = runner.start(fit, photo, wanted, sh_degree=splats.sh_degree)
        progress(step + 1, steps)
    if started is not None:
        started.outcome()
    found = fit.current()
    if found.waves:
        limit_waves(found, cameras, settings)
    return found.activated().detach()
