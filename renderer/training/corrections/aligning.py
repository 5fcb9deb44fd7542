"""Where a photo was taken from, by splats that stay as they are."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ...backends.memory import Workspace
from ...backends.registry import backend_for
from ...cameras import Camera
from ...losses import compare
from ...raster.backward import blended_backward
from ...raster.forward import RasterOptions, forward, in_view
from ...raster.passes import Passes
from ...raster.render import render
from ...settings import RenderSettings
from ...splats import Splats
from ..data import Photo
from ..pacing.resolution import reduced
from .correction import RowAdam
from .rigid import rigid

STEPS = 40
"""Of an alignment that is to be exact: a third of them on each of the smaller pictures, the others
on that of full size."""
SMALLEST = 60
"""Longest side of the smallest pictures that are compared [px], at least: on larger ones texture
that repeats looks right in a wrong place, too."""
FIRST_RATE = 0.2
"""Adam's step size at the first step with each size [px]."""
LAST_RATES = (0.05, 0.02)
"""At the last: with smaller pictures, and in full size."""


class _Descent(NamedTuple):
    """Where the way to less loss led.

    Attributes:
        last: where it ended.
        best: where the loss was least.
        least: what it was there.
    """

    last: Camera
    best: Camera
    least: float


class Alignment:
    """Cameras brought to where splats look most like their photos: the photometric loss made small
    over turns and motions of the camera, by Adam.

    Args:
        splats: on the device that renders them.
        settings: how they are rendered.
    """

    def __init__(self, splats: Splats, settings: RenderSettings) -> None:
        self._splats, self._settings = splats, settings
        self._options = RasterOptions.of(settings, gradient=True)
        self._passes = Passes(backend_for(splats.means.device), Workspace(), skip_culled=True)

    @torch.no_grad()
    def camera(self, photo: Photo, steps: int = STEPS) -> Camera:
        """The camera of a photo, aligned to the splats; as it is where that is no better. Equal
        calls give equal numbers.

        Pictures are small at first, then twice as large again and again.

        Args:
            photo: on the splats' device, with something that counts.
            steps: see `STEPS`.
        """
        given = replace(photo.over(self._settings.background), mask=photo.counting())
        camera, depth, share = given.camera, self._depth(given.camera), steps // 3
        doublings = int(math.log2(max(1, max(camera.size) / SMALLEST)))
        for factor in (2**power for power in range(doublings, 0, -1)):
            small = reduced(replace(given, camera=camera), factor)
            found = self._descended(small, depth, share, LAST_RATES[0])
            camera = replace(camera, world_to_camera=found.last.world_to_camera)
        near = replace(given, camera=camera)
        found = self._descended(near, depth, steps - share, LAST_RATES[1])
        return found.best if found.least < self._followed(given, depth)[0] else given.camera

    def _descended(self, photo: Photo, depth: float, steps: int, last_rate: float) -> _Descent:
        best, least = photo.camera, math.inf
        motion = torch.zeros(1, 6, dtype=torch.float64, device="cpu")
        adam, pixel = RowAdam(motion), 1 / float(photo.camera.intrinsics[0, 0])
        for step in range(steps):
            loss, gradient = self._followed(photo, depth)
            if loss < least:
                best, least = photo.camera, loss
            rate = FIRST_RATE * (last_rate / FIRST_RATE) ** (step / max(1, steps - 1))
            adam.step(motion.zero_(), gradient[None], slice(None), pixel * rate)
            photo = replace(photo, camera=_moved(photo.camera, motion[0], depth))
        return _Descent(photo.camera, best, least)

    def _depth(self, camera: Camera) -> float:
        """The median over the picture: by it, turns and motions that show as much are as large."""
        frame = render(self._splats, camera, self._settings)
        depths = frame.depth[frame.alpha > 0.5]
        return float(depths.median()) if len(depths) else 1.0

    def _followed(self, photo: Photo, depth: float) -> tuple[float, Tensor]:
        """The loss, and its gradient [6] to what `_moved` takes, at zero."""
        camera = photo.camera
        options = self._options
        view = in_view(self._splats, camera, self._settings, options)
        drawn = forward(self._passes, view, options)
        found = compare(drawn.image[0], photo.image, photo.mask, gradient=True)
        assert found.gradient is not None
        v = blended_backward(self._passes, drawn, (found.gradient[None], None), options)
        shaded = (drawn.shaded.visible, drawn.shaded.colors)
        v_pose = self._passes.shaded_backward(view, shaded, v, v.depths, poses=True).viewmats
        assert v_pose is not None
        # Of T' = rigid(w, t) T to w and t at zero: dT' = ([w]x T, t in the last column).
        v_pose = v_pose[0].double().cpu()
        turned = v_pose @ camera.world_to_camera.double().cpu().T
        skew = turned - turned.T
        v_turn = torch.stack([skew[2, 1], skew[0, 2], skew[1, 0]])
        return float(found.loss), torch.cat([v_turn, depth * v_pose[:3, 3]])


def _moved(camera: Camera, motion: Tensor, depth: float) -> Camera:
    """The camera after a motion [6] in its own axes [rad, `depth`]."""
    pose = camera.world_to_camera
    change = rigid(motion[:3], depth * motion[3:])
    return replace(camera, world_to_camera=(change @ pose.double().cpu()).to(pose))
