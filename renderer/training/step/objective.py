"""What a step of a fit needs of a photo: how raw splats look there, and the gradient of the loss.

The same passes as autograd records, called directly: for a fit that knows what it needs, building a
graph costs as much as some of the stages.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...backends.base import Repeated
from ...backends.memory import Arrival, Workspace
from ...backends.registry import backend_for
from ...cameras import Camera, Cameras
from ...losses import LossResult, compare
from ...raster.backward import backward, blended_backward
from ...raster.forward import Rasterized, RasterOptions, forward
from ...raster.inputs import SplatsInView
from ...raster.passes import Passes
from ...settings import RenderSettings
from ...splats import Harmonics, RawSplats
from ..data import BACKGROUNDS, Photo
from .fit import SplatFit, Terms
from .report import StepOutcome


@dataclass(frozen=True)
class FitPicture:
    """A view as raw splats show it, with all that its gradient needs.

    Attributes:
        color: [H, W, 3], background included.
        info: what gsplat's strategies read of gsplat's `info`.
        splats: what was drawn.
        drawn: what that gave.
    """

    color: Tensor
    info: dict[str, Any]
    splats: SplatsInView
    drawn: Rasterized


class StartedStep:
    """A step of a fit that was started and may not be done yet. Once it is, it holds nothing but
    its outcome: reports of steps may be kept for as long as a run.

    Attributes:
        info: what gsplat's strategies read of gsplat's `info`, with the gradient of `means2d`, once
            the step is done and until another one is started.
    """

    def __init__(
        self, start: Callable[[], dict[str, Any]], repeated: Repeated[Any], arrival: Arrival
    ) -> None:
        self._waiting: tuple[Callable[[], dict[str, Any]], Repeated[Any], Arrival] | None
        self._waiting = (start, repeated, arrival)
        self._outcome: StepOutcome | None = None
        self.info = start()

    @property
    def known(self) -> bool:
        """Whether `outcome` does not have to wait."""
        return self._outcome is not None

    def outcome(self) -> StepOutcome:
        """What the step did. Waits for it; takes it again where lists were too short, whatever was
        started since."""
        while self._outcome is None:
            assert self._waiting is not None
            start, repeated, arrival = self._waiting
            found = StepOutcome.of(arrival.wait())
            repeated.needed(found.pairs)
            if found.fitted:
                self._outcome, self._waiting = found, None
            else:
                self.info = start()
        return self._outcome

    def release(self) -> None:
        """Let go of `info`."""
        self.info = {}


class _Recorded(NamedTuple):
    """Steps on the same splats, with photos of one size, all with masks or all without.

    Attributes:
        step: of what `PhotoObjective.start` lists as inputs.
        terms: of the steps.
        fit: what is fitted.
    """

    step: Repeated[FitPicture]
    terms: Terms
    fit: SplatFit


class PhotoObjective:
    """The photometric loss of raw splats against one photo at a time.

    What its methods return lies in a workspace: the next one overwrites it.
    """

    SIZES = 4
    """Sizes of photos for which steps are kept as they were recorded, those used last, with each
    background."""
    STARTED = 2
    """Steps that may be started and not done: a GPU has the next one while the host waits."""

    def __init__(
        self, device: torch.device, settings: RenderSettings, ssim_weight: float = 0.2
    ) -> None:
        self._device = device
        self._workspace = Workspace()
        self._backend = backend_for(device)
        self._passes = Passes(self._backend, self._workspace, skip_culled=True)
        self._settings = settings
        self._options = RasterOptions.of(settings, gradient=True)
        self._ssim_weight = ssim_weight
        self._recorded: OrderedDict[Hashable, _Recorded] = OrderedDict()
        self._started: list[StartedStep] = []
        self._arrivals: list[Arrival] = []

    @property
    def ahead(self) -> bool:
        """Whether steps are worth starting before the one before is done."""
        return self._backend.records

    def compare(self, color: Tensor, photo: Tensor, mask: Tensor | None) -> LossResult:
        """How far a picture [H, W, 3] is from a photo [H, W, 3] uint8, with the gradient. Nothing
        but passes, and views of tensors: it is recorded."""
        return compare(color, photo, mask, self._ssim_weight, gradient=True, memory=self._workspace)

    def forward(self, raw: RawSplats, camera: Camera, *, sh_degree: int) -> FitPicture:
        """The splats that `raw` stands for, seen by `camera`, without history."""
        view = self._view(raw, raw.harmonics, Cameras.of(camera), sh_degree)
        return self._draw(view, self._options)

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
        result = self.compare(picture.color, photo, mask)
        v_blended, v = backward(
            self._passes, picture.splats, picture.drawn, _of_image(result), self._options
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

    def start(
        self,
        fit: SplatFit,
        photo: Photo,
        wanted: Tensor,
        *,
        sh_degree: int,
        waves: bool = True,
        terms: Terms | None = None,
    ) -> StartedStep:
        """Take a step towards a photo; does not wait for a GPU.

        Args:
            fit: what is fitted.
            photo: on the device.
            wanted: what `SplatFit.wanted` gives.
            sh_degree: of the harmonics that are drawn and learnt.
            waves: whether waves are.
            terms: what a step does besides; None for nothing.
        """
        if fit.full:
            self.settle()
            self.forget()
            fit.make_room()
        recorded = self._recorded_for(fit, photo, sh_degree, waves, terms or Terms())
        inputs = [photo.camera.world_to_camera, photo.camera.intrinsics, photo.image, wanted]
        inputs += [] if photo.mask is None else [photo.mask]
        self._finish(self.STARTED - 1)
        if not self._arrivals:
            like = fit.report
            self._arrivals = [
                Arrival(tuple(like.shape), like.dtype, like.device) for _ in range(self.STARTED)
            ]
        arrival = self._arrivals.pop(0)
        self._arrivals.append(arrival)

        fit.note_step()

        def begin() -> dict[str, Any]:
            picture = recorded.step.start(*inputs)
            arrival.begin(fit.report)
            return dict(picture.info)  # which is the caller's

        started = StartedStep(begin, recorded.step, arrival)
        self._started.append(started)
        return started

    def settle(self) -> None:
        """Wait for all steps that were started."""
        self._finish(0)

    def forget(self) -> None:
        """Let go of the splats that are fitted, all steps being done: others come."""
        self._recorded.clear()
        self._finish(0)

    def _finish(self, left: int) -> None:
        """Wait for all steps but the `left` ones that were started last."""
        while len(self._started) > left:
            done = self._started.pop(0)
            done.outcome()
            done.release()

    def _view(
        self, raw: RawSplats, harmonics: Harmonics, cameras: Cameras, sh_degree: int
    ) -> SplatsInView:
        return SplatsInView(raw.geometry, harmonics, sh_degree, cameras, self._options.project)

    @torch.no_grad()
    def _draw(self, view: SplatsInView, options: RasterOptions) -> FitPicture:
        drawn = forward(self._passes, view, options)
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
        return FitPicture(drawn.image[0], info, view, drawn)

    @torch.no_grad()
    def _step(
        self,
        fit: SplatFit,
        view: SplatsInView,
        options: RasterOptions,
        terms: Terms,
        inputs: tuple[Tensor, ...],
    ) -> FitPicture:
        """`inputs` are a photo, what is wanted, and maybe a mask."""
        photo, wanted, *masks = inputs
        picture = self._draw(view, options)
        result = self.compare(picture.color, photo, masks[0] if masks else None)
        v = blended_backward(
            self._passes,
            picture.drawn,
            _of_image(result),
            options,
            not_finite=fit.not_finite,
        )
        picture.info["means2d"].grad = v.means2d
        fit.step(view, picture.drawn, v, result, wanted, terms)
        return picture

    def _recorded_for(
        self, fit: SplatFit, photo: Photo, sh_degree: int, waves: bool, terms: Terms
    ) -> _Recorded:
        """Steps on these splats, as they were recorded where that saves time."""
        in_order = torch.are_deterministic_algorithms_enabled()
        size = photo.camera.size
        key = (in_order, size, sh_degree, waves, photo.mask is None, photo.background)
        found = self._recorded.get(key)
        if found is None or found.fit is not fit or found.terms != terms:
            raw = fit.raw if waves else fit.raw.without_waves()
            harmonics = Harmonics(raw.sh0, raw.sh_rest, fit.late)
            options = self._options
            if photo.background is not None:
                settings = replace(self._settings, background=photo.background)
                options = RasterOptions.of(settings, gradient=True)

            def step(world_to_camera: Tensor, intrinsics: Tensor, *inputs: Tensor) -> FitPicture:
                cameras = Cameras(world_to_camera[None], intrinsics[None], size)
                view = self._view(raw, harmonics, cameras, sh_degree)
                return self._step(fit, view, options, terms, inputs)

            repeated = self._backend.repeated(step, self._workspace, self._device)
            found = self._recorded[key] = _Recorded(repeated, terms, fit)
            backgrounds = 1 if photo.background is None else len(BACKGROUNDS)
            if len(self._recorded) > self.SIZES * backgrounds:
                self._recorded.popitem(last=False)
        self._recorded.move_to_end(key)
        return found


def _of_image(result: LossResult) -> tuple[Tensor, None]:
    """The gradient of image and transmittance."""
    assert result.gradient is not None
    return result.gradient[None], None
