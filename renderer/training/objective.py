"""What a step of a fit needs of a photo: how raw splats look there, and the gradient of the loss.

The same passes as autograd records, called directly: for a fit that knows what it needs, building a
graph costs as much as some of the stages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..backends.memory import Workspace
from ..backends.registry import backend_for
from ..cameras import Camera, Cameras
from ..losses import LossResult, compare
from ..raster.backward import backward
from ..raster.forward import Rasterized, RasterOptions, forward
from ..raster.inputs import SplatsInView
from ..raster.passes import Passes
from ..settings import RenderSettings
from ..splats import RawSplats


@dataclass(frozen=True)
class FitPicture:
    """A view as raw splats show it, with all that its gradient needs.

    Attributes:
        color: [H, W, 3], background included.
        visible: [N] bool, which splats are in the view.
        info: what gsplat's strategies read of gsplat's `info`.
        splats: what was drawn.
        drawn: what that gave.
    """

    color: Tensor
    visible: Tensor
    info: dict[str, Any]
    splats: SplatsInView
    drawn: Rasterized


class PhotoObjective:
    """The photometric loss of raw splats against one photo at a time.

    What `forward` and `backward` return lies in a workspace: the next `forward` overwrites it.
    """

    def __init__(
        self, device: torch.device, settings: RenderSettings, ssim_weight: float = 0.2
    ) -> None:
        self._workspace = Workspace()
        self._passes = Passes(backend_for(device), self._workspace)
        self._options = RasterOptions.of(settings, gradient=True)
        self._settings = settings
        self._background: Tensor | None = None
        self._ssim_weight = ssim_weight

    @torch.no_grad()
    def forward(self, raw: RawSplats, camera: Camera, *, sh_degree: int) -> FitPicture:
        """The splats that `raw` stands for, seen by `camera`, without history."""
        cameras = Cameras.of(camera)
        view = SplatsInView(raw.geometry, raw.harmonics, sh_degree, cameras, self._options.project)
        drawn = forward(self._passes, view, self._options)
        assert drawn.transmittance is not None
        color = drawn.image[0]
        background = self._background_for(color)
        if background is not None:
            color = color + drawn.transmittance[0, ..., None] * background
        projected = drawn.shaded.projected
        info = {
            "means2d": projected.means2d.detach().requires_grad_(),  # strategies look at its grad
            "radii": projected.radii,
            "visible": drawn.shaded.visible,
            "width": camera.size[0],
            "height": camera.size[1],
            "n_cameras": 1,
            "gaussian_ids": None,
        }
        visible = drawn.shaded.visible[0].view(torch.bool)
        return FitPicture(color, visible, info, view, drawn)

    @torch.no_grad()
    def backward(
        self, picture: FitPicture, photo: Tensor, mask: Tensor | None
    ) -> tuple[LossResult, dict[str, Tensor]]:
        """How far the picture is from a photo, and the gradient of every raw parameter that was
        used, by the names of `Parameters`. Sets the gradient of `picture.info["means2d"]`.

        Args:
            picture: what `forward` gave last.
            photo: [H, W, 3] uint8.
            mask: [H, W] bool, True where a pixel counts; None for all.
        """
        result = compare(
            picture.color,
            photo,
            mask,
            self._ssim_weight,
            gradient=True,
            memory=self._workspace,
        )
        assert result.gradient is not None
        v_image = result.gradient[None]
        v_transmittance = None
        background = self._background_for(v_image)
        if background is not None:
            v_transmittance = v_image @ background
        v_blended, v = backward(
            self._passes, picture.splats, picture.drawn, (v_image, v_transmittance), self._options
        )
        picture.info["means2d"].grad = v_blended.means2d
        assert v.sh0 is not None and v.sh_rest is not None
        gradients = {
            "means": v.means,
            "quats": v.quats,
            "scales": v.scales,
            "opacities": v.opacities,
            "sh0": v.sh0,
            "shN": v.sh_rest,
        }
        if picture.splats.shape.waves:
            gradients |= {"frequencies": v.frequencies, "coefficients": v.coefficients}
        return result, gradients

    def _background_for(self, image: Tensor) -> Tensor | None:
        """The background [3], of the image's type; None for black."""
        if not any(self._settings.background):
            return None
        if self._background is None or self._background.dtype != image.dtype:
            self._background = image.new_tensor(self._settings.background)
        return self._background
