"""What a step of a fit needs of a photo: how raw splats look there, and the gradient of the loss.

The same passes as autograd records, called directly: for a fit that knows what it needs, building a
graph costs as much as some of the stages.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..backends.base import Repeated
from ..backends.memory import Workspace
from ..backends.registry import backend_for
from ..backends.stages import BlendGradients, SplatGradients
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


Differentiated = tuple[LossResult, BlendGradients, SplatGradients]
"""How far a picture is from a photo; gradients of what was blended, and of the splats."""


class _Recorded(NamedTuple):
    """Passes over the same raw splats, for pictures of one size.

    Attributes:
        forward: the picture, of `world_to_camera` and `intrinsics`.
        backward: by whether there is a mask: what was drawn, and what `_differentiate` gives of
            that, of a photo and the mask.
    """

    forward: Repeated[FitPicture]
    backward: dict[bool, tuple[Rasterized, Repeated[Differentiated]]]


class PhotoObjective:
    """The photometric loss of raw splats against one photo at a time.

    What `forward` and `backward` return lies in a workspace: the next `forward` overwrites it.

    Attributes:
        deferred: whether `forward` leaves it to `settle` to find out if what it drew is right,
            which has to wait for a GPU.
    """

    SIZES = 4
    """Sizes of photos for which passes are kept as they were recorded, those used last."""

    def __init__(
        self, device: torch.device, settings: RenderSettings, ssim_weight: float = 0.2
    ) -> None:
        self.deferred = False
        self._device = device
        self._workspace = Workspace()
        self._backend = backend_for(device)
        self._passes = Passes(self._backend, self._workspace)
        self._options = RasterOptions.of(settings, gradient=True)
        self._ssim_weight = ssim_weight
        self._recorded: OrderedDict[Hashable, _Recorded] = OrderedDict()
        self._used: _Recorded | None = None

    def forward(self, raw: RawSplats, camera: Camera, *, sh_degree: int) -> FitPicture:
        """The splats that `raw` stands for, seen by `camera`, without history."""
        recorded = self._used = self._recorded_for(raw, camera, sh_degree)
        if recorded is None:
            return self._draw(self._view(raw, Cameras.of(camera), sh_degree))
        draw = recorded.forward.start if self.deferred else recorded.forward
        picture = draw(camera.world_to_camera, camera.intrinsics)
        return replace(picture, info=dict(picture.info))  # which is the caller's

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
        inputs = (photo,) if mask is None else (photo, mask)
        if self._used is None:
            result, v_blended, v = self._differentiate(picture, *inputs)
        else:
            result, v_blended, v = self._recorded_backward(self._used, picture, inputs)
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

    def settle(self) -> bool:
        """Whether the last `forward`, and what was made of it, is right; waits for a GPU. If not,
        both are to be done again, with the same arguments."""
        return self._used is None or self._used.forward.settle()

    def forget(self) -> None:
        """Let go of the splats that were drawn: others come."""
        self._recorded.clear()
        self._used = None

    def _view(self, raw: RawSplats, cameras: Cameras, sh_degree: int) -> SplatsInView:
        return SplatsInView(raw.geometry, raw.harmonics, sh_degree, cameras, self._options.project)

    @torch.no_grad()
    def _draw(self, view: SplatsInView) -> FitPicture:
        drawn = forward(self._passes, view, self._options)
        projected = drawn.shaded.projected
        info = {
            "means2d": projected.means2d.detach().requires_grad_(),  # strategies look at its grad
            "radii": projected.radii,
            "visible": drawn.shaded.visible,
            "width": view.cameras.size[0],
            "height": view.cameras.size[1],
            "n_cameras": 1,
            "gaussian_ids": None,
        }
        visible = drawn.shaded.visible[0].view(torch.bool)
        return FitPicture(drawn.image[0], visible, info, view, drawn)

    @torch.no_grad()
    def _differentiate(
        self, picture: FitPicture, photo: Tensor, mask: Tensor | None = None
    ) -> Differentiated:
        result = compare(
            picture.color,
            photo,
            mask,
            self._ssim_weight,
            gradient=True,
            memory=self._workspace,
        )
        assert result.gradient is not None
        v_drawn = (result.gradient[None], None)
        return result, *backward(
            self._passes, picture.splats, picture.drawn, v_drawn, self._options
        )

    def _recorded_for(self, raw: RawSplats, camera: Camera, sh_degree: int) -> _Recorded | None:
        """Passes over these splats; None where recording saves nothing."""
        if not self._backend.records:
            return None
        sizes = (len(raw), raw.waves, raw.sh_rest.shape[1], sh_degree, camera.size)
        in_order = torch.are_deterministic_algorithms_enabled()
        key = (in_order, *sizes, *[tensor.data_ptr() for tensor in vars(raw).values()])
        found = self._recorded.get(key)
        if found is None:

            def draw(world_to_camera: Tensor, intrinsics: Tensor) -> FitPicture:
                cameras = Cameras(world_to_camera[None], intrinsics[None], camera.size)
                return self._draw(self._view(raw, cameras, sh_degree))

            repeated = self._backend.repeated(draw, self._workspace, self._device)
            found = self._recorded[key] = _Recorded(repeated, {})
            if len(self._recorded) > self.SIZES:
                self._recorded.popitem(last=False)
        self._recorded.move_to_end(key)
        return found

    def _recorded_backward(
        self, recorded: _Recorded, picture: FitPicture, inputs: tuple[Tensor, ...]
    ) -> Differentiated:
        masked = len(inputs) > 1
        drawn, repeated = recorded.backward.get(masked, (None, None))
        if repeated is None or drawn is not picture.drawn:

            def differentiate(*inputs: Tensor) -> Differentiated:
                return self._differentiate(picture, *inputs)

            repeated = self._backend.repeated(differentiate, self._workspace, self._device)
            recorded.backward[masked] = (picture.drawn, repeated)
        return repeated.start(*inputs)
