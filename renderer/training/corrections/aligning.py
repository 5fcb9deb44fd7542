"""Where a photo was taken from, by splats that stay as they are."""

from __future__ import annotations

import math
from dataclasses import replace

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
from .correction import RowAdam
from .rigid import rigid

STEPS = 40
"""Of an alignment that is to be exact."""
RATES = (2e-3, 1e-4)
"""Adam's step sizes, at the first step and the last [rad, depths of what is seen]."""


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
        """The camera of a photo, aligned to the splats. Equal calls give equal numbers.

        Args:
            photo: on the splats' device, with something that counts.
            steps: how many are taken.
        """
        counting, photo = photo.counting(), photo.over(self._settings.background)
        camera = best = photo.camera
        least, depth = math.inf, self._depth(camera)
        motion = torch.zeros(1, 6, dtype=torch.float64, device="cpu")
        adam = RowAdam(motion)
        for step in range(steps):
            loss, gradient = self._followed(camera, photo.image, counting, depth)
            if loss < least:
                best, least = camera, loss
            rate = RATES[0] * (RATES[1] / RATES[0]) ** (step / (steps - 1))
            adam.step(motion.zero_(), gradient[None], slice(None), rate)
            camera = _moved(camera, motion[0], depth)
        return best

    def _depth(self, camera: Camera) -> float:
        """The median over the picture: by it, turns and motions that show as much are as large."""
        frame = render(self._splats, camera, self._settings)
        depths = frame.depth[frame.alpha > 0.5]
        return float(depths.median()) if len(depths) else 1.0

    def _followed(
        self, camera: Camera, image: Tensor, counting: Tensor | None, depth: float
    ) -> tuple[float, Tensor]:
        """The loss, and its gradient [6] to what `_moved` takes, at zero."""
        options = self._options
        view = in_view(self._splats, camera, self._settings, options)
        drawn = forward(self._passes, view, options)
        found = compare(drawn.image[0], image, counting, gradient=True)
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
