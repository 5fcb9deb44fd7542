"""Where a photo was taken from, by splats that stay as they are."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
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
"""Of an alignment that is to be exact, those of all sizes together."""
SMALLEST = 60
"""Longest side of the smallest pictures that are compared [px], at least: fine texture looks alike
a few pixels on, where a camera would come to rest."""
RATES = (0.2, 0.05)
"""Adam's step sizes, at the first step with each size and the last [px]."""


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
        """The camera of a photo, aligned to the splats, or as it is where that is no better. Equal
        calls give equal numbers.

        Pictures are small at first, then twice as large again and again.

        Args:
            photo: on the splats' device, with something that counts.
            steps: how many are taken.
        """
        counting, photo = photo.counting(), photo.over(self._settings.background)
        camera, depth = photo.camera, self._depth(photo.camera)
        level = max(0, int(math.log2(max(camera.size) / SMALLEST)))
        each = -(-steps // (level + 1))
        for factor in (2**power for power in range(level, 0, -1)):
            small, image, counts = _reduced(camera, photo.image, counting, factor)
            last, _ = self._descended(small, image, counts, depth, each)
            camera = replace(camera, world_to_camera=last.world_to_camera)
        _, best = self._descended(camera, photo.image, counting, depth, each)
        return best

    def _descended(
        self, camera: Camera, image: Tensor, counting: Tensor | None, depth: float, steps: int
    ) -> tuple[Camera, Camera]:
        """The last one and the best one."""
        best, least = camera, math.inf
        motion = torch.zeros(1, 6, dtype=torch.float64, device="cpu")
        adam, pixel = RowAdam(motion), 1 / float(camera.intrinsics[0, 0])
        for step in range(steps):
            loss, gradient = self._followed(camera, image, counting, depth)
            if loss < least:
                best, least = camera, loss
            rate = pixel * RATES[0] * (RATES[1] / RATES[0]) ** (step / max(1, steps - 1))
            adam.step(motion.zero_(), gradient[None], slice(None), rate)
            camera = _moved(camera, motion[0], depth)
        return camera, best

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


def _reduced(
    camera: Camera, image: Tensor, counting: Tensor | None, factor: int
) -> tuple[Camera, Tensor, Tensor | None]:
    """Camera, picture [H, W, 3] uint8 and mask [H, W] with the means over squares of `factor`
    pixels a side, that count where all of these do; what is left at the right and below is cut
    off."""
    width, height = (side // factor for side in camera.size)
    k = camera.intrinsics.clone()
    k[:2] /= factor
    small = Camera(camera.world_to_camera, k, (width, height))
    mean = F.avg_pool2d(image.permute(2, 0, 1).float(), factor)
    whole = None
    if counting is not None:
        whole = F.avg_pool2d(counting[None].float(), factor)[0] == 1
    return small, mean.permute(1, 2, 0).round().to(torch.uint8).contiguous(), whole
