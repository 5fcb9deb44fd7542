"""A step of a fit towards a photo: how raw splats look there, what the objective says of that, and
the way back through corrections, blending and projection.

The same passes as autograd records, called directly: for a fit that knows what it needs, building a
graph costs as much as some of the stages.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...backends.base import Repeated
from ...backends.memory import Arrival, Workspace
from ...backends.registry import backend_for
from ...backends.stages import BlendGradients
from ...cameras import Camera, Cameras
from ...raster.backward import backward, blended_backward
from ...raster.forward import Channels, Rasterized, RasterOptions, forward
from ...raster.inputs import SplatsInView
from ...raster.passes import Passes
from ...settings import RenderSettings
from ...splats import Harmonics, RawSplats
from ..corrections.corrections import CorrectedPhoto, Corrections
from ..data import BACKGROUNDS, Photo
from .fit import SplatFit, Terms
from .objective import Measured, Objective, PhotometricObjective, Picture
from .started import Begun, StartedStep


@dataclass(frozen=True)
class FitPicture:
    """A view as raw splats show it, with all that its gradient needs.

    Attributes:
        color: [H, W, 3], background included, without corrections.
        info: what gsplat's strategies read of gsplat's `info`.
        splats: what was drawn.
        drawn: what that gave.
    """

    color: Tensor
    info: dict[str, Any]
    splats: SplatsInView
    drawn: Rasterized


class _Recorded(NamedTuple):
    """Steps on the same splats, with photos of one size, all with masks or all without.

    Attributes:
        step: of what `StepRunner.start` lists as inputs.
        terms: of the steps.
        fit: what is fitted.
    """

    step: Repeated[FitPicture]
    terms: Terms
    fit: SplatFit


class _Plan(NamedTuple):
    """What steps on the same splats share.

    Attributes:
        fit: what is fitted.
        raw: what of it is drawn.
        options: how.
        sh_degree: of the harmonics that are drawn and learnt.
        terms: what a step does besides.
    """

    fit: SplatFit
    raw: RawSplats
    options: RasterOptions
    sh_degree: int
    terms: Terms


class StepRunner:
    """Steps of a fit, towards one photo at a time.

    What its methods return lies in a workspace: the next one overwrites it.

    Args:
        device: where it runs.
        settings: how splats are rendered.
        objective: what is made small; by default the photometric loss.
        corrections: what is learnt of photos beside the splats; None for nothing.
    """

    SIZES = 4
    """Sizes of photos for which steps are kept as they were recorded, those used last, with each
    background."""
    STARTED = 2
    """Steps that may be started and not done: a GPU has the next one while the host waits."""

    def __init__(
        self,
        device: torch.device,
        settings: RenderSettings,
        objective: Objective | None = None,
        corrections: Corrections | None = None,
    ) -> None:
        self._device = device
        self._objective = objective or PhotometricObjective()
        self._corrections = corrections
        self._workspace = Workspace()
        self._backend = backend_for(device)
        self._passes = Passes(self._backend, self._workspace, skip_culled=True)
        self.settings = settings
        self._options = self._options_of(settings)
        self._recorded: OrderedDict[Hashable, _Recorded] = OrderedDict()
        self._started: list[StartedStep] = []
        self._arrivals: list[Arrival] = []

    @property
    def ahead(self) -> bool:
        """Whether steps are worth starting before the one before is done."""
        return self._backend.records and self._recordable

    @property
    def _recordable(self) -> bool:
        """Whether a step does nothing but passes, and views of tensors."""
        objective = self._objective
        return objective.recorded and not objective.depth and not self._corrections

    def camera_of(self, photo: Photo) -> Camera:
        """Where a photo was taken from, by what the corrections know."""
        return self._corrections.camera_of(photo) if self._corrections else photo.camera

    def forward(self, raw: RawSplats, camera: Camera, *, sh_degree: int) -> FitPicture:
        """The splats that `raw` stands for, seen by `camera`, without history."""
        view = self._view(raw, raw.harmonics, Cameras.of(camera), sh_degree)
        return self._draw(view, self._options)

    @torch.no_grad()
    def backward(self, picture: FitPicture, photo: Photo) -> tuple[Measured, dict[str, Tensor]]:
        """How far the picture is from a photo, and the gradient of every raw parameter that was
        used, by the names of `Parameters`. Sets the gradient of `picture.info["means2d"]`.

        Args:
            picture: what `forward` gave last.
            photo: on the device.
        """
        corrected = self._corrections.of(photo) if self._corrections else None
        result = self._measured(picture, photo, corrected)
        v_blended, v = backward(
            self._passes, picture.splats, picture.drawn, _v_drawn(picture, result), self._options
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

    @torch.no_grad()
    def shares(self, picture: FitPicture, photo: Photo) -> tuple[Tensor, Tensor]:
        """Whether the picture shows each splat, [N] bool; and sums over the pixels that count,
        [N, 2]: of its blending weight, and of that times the mean absolute error of the colours.

        The weights are what the gradient of a picture to its splats' colours consists of.

        Args:
            picture: what `forward` gave last.
            photo: on the device.
        """
        color = picture.color
        if self._corrections:
            color = self._corrections.of(photo).color(color)
        counts = torch.ones_like(color[..., 0]) if photo.mask is None else photo.mask.to(color)
        error = (color.clamp(0.0, 1.0) - photo.rgb).abs().mean(dim=-1)
        v_image = torch.zeros_like(picture.drawn.image[0])
        v_image[..., 0], v_image[..., 1] = counts, counts * error
        v = blended_backward(self._passes, picture.drawn, (v_image[None], None), self._options)
        shown = picture.drawn.shaded.visible[0] != 0
        shares = v.colors[0, :, :2].nan_to_num(0.0, 0.0, 0.0)
        return shown, torch.where(shown[:, None], shares, 0.0)

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
        plan = self._plan(fit, photo, sh_degree, waves, terms or Terms())
        self._finish(self.STARTED - 1)
        if not self._arrivals:
            like = fit.report
            self._arrivals = [
                Arrival(tuple(like.shape), like.dtype, like.device) for _ in range(self.STARTED)
            ]
        arrival = self._arrivals.pop(0)
        self._arrivals.append(arrival)

        fit.note_step()
        work, needed = self._work(plan, photo, wanted, waves)

        def begin() -> Begun:
            begun = work()
            arrival.begin(fit.report)
            return begun

        started = StartedStep(begin, needed, arrival)
        self._started.append(started)
        return started

    def _work(
        self, plan: _Plan, photo: Photo, wanted: Tensor, waves: bool
    ) -> tuple[Callable[[], Begun], Callable[[int], None]]:
        """What takes a step, and what is told how many pairs that needed."""
        if not self._recordable:
            wanted = wanted.to(self._device)
            return lambda: self._step(plan, photo, wanted, self._corrections)[1], _no_matter
        step = self._recorded_for(plan, photo, waves).step
        inputs = [photo.camera.world_to_camera, photo.camera.intrinsics, photo.image, wanted]
        inputs += [] if photo.mask is None else [photo.mask]
        # The info is the caller's.
        return lambda: Begun(dict(step.start(*inputs).info)), step.needed

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

    def _options_of(self, settings: RenderSettings) -> RasterOptions:
        channels: Channels = "color+depth" if self._objective.depth else "color"
        return RasterOptions.of(settings, channels=channels, gradient=True)

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
        return FitPicture(drawn.image[0, ..., :3], info, view, drawn)

    @torch.no_grad()
    def _step(
        self, plan: _Plan, photo: Photo, wanted: Tensor, corrections: Corrections | None
    ) -> tuple[FitPicture, Begun]:
        """Take a step; corrections follow when it is known to have changed the splats."""
        cameras = Cameras.of(photo.camera)
        corrected = corrections.of(photo) if corrections else None
        if corrected is not None:
            cameras = replace(cameras, viewmats=corrected.world_to_camera[None])
        harmonics = Harmonics(plan.raw.sh0, plan.raw.sh_rest, plan.fit.late)
        view = self._view(plan.raw, harmonics, cameras, plan.sh_degree)
        picture = self._draw(view, plan.options)
        result = self._measured(picture, photo, corrected)
        v = blended_backward(
            self._passes,
            picture.drawn,
            _v_drawn(picture, result),
            plan.options,
            not_finite=plan.fit.not_finite,
        )
        picture.info["means2d"].grad = v.means2d
        if corrected is not None and corrected.moved:
            corrected.follow_pose(self._pose_gradient(view, picture, v))
        plan.fit.step(view, picture.drawn, v, result.means, wanted, plan.terms)
        follow = None
        if corrected is not None and corrections is not None:
            follow = partial(corrections.step, photo.name, corrected.gradients())
        return picture, Begun(dict(picture.info), result.terms, follow)

    def _measured(
        self, picture: FitPicture, photo: Photo, corrected: CorrectedPhoto | None
    ) -> Measured:
        """What the objective says of a picture, with the gradient of that as it was drawn."""
        seen = _seen(picture)
        if corrected is None:
            return self._objective.measure(seen, photo, self._workspace)
        seen = seen._replace(color=corrected.color(seen.color))
        result = self._objective.measure(seen, photo, self._workspace)
        return result._replace(v_color=corrected.follow_color(result.v_color))

    def _pose_gradient(self, view: SplatsInView, picture: FitPicture, v: BlendGradients) -> Tensor:
        """[4, 4] gradient of `world_to_camera`, before the splats change."""
        shaded = picture.drawn.shaded
        found = self._passes.shaded_backward(
            view, (shaded.visible, shaded.colors), v, v.depths, poses=True
        )
        assert found.viewmats is not None
        return found.viewmats[0]

    def _plan(
        self, fit: SplatFit, photo: Photo, sh_degree: int, waves: bool, terms: Terms
    ) -> _Plan:
        raw = fit.raw if waves else fit.raw.without_waves()
        options = self._options
        if photo.background is not None:
            options = self._options_of(replace(self.settings, background=photo.background))
        return _Plan(fit, raw, options, sh_degree, terms)

    def _recorded_for(self, plan: _Plan, photo: Photo, waves: bool) -> _Recorded:
        """Steps on these splats, as they were recorded where that saves time."""
        in_order = torch.are_deterministic_algorithms_enabled()
        size, background = photo.camera.size, photo.background
        key = (in_order, size, plan.sh_degree, waves, photo.mask is None, background)
        found = self._recorded.get(key)
        if found is None or found.fit is not plan.fit or found.terms != plan.terms:

            def step(
                world_to_camera: Tensor,
                intrinsics: Tensor,
                image: Tensor,
                wanted: Tensor,
                mask: Tensor | None = None,
            ) -> FitPicture:
                given = Photo(Camera(world_to_camera, intrinsics, size), image, mask)
                return self._step(plan, given, wanted, None)[0]

            repeated = self._backend.repeated(step, self._workspace, self._device)
            found = self._recorded[key] = _Recorded(repeated, plan.terms, plan.fit)
            backgrounds = 1 if background is None else len(BACKGROUNDS)
            if len(self._recorded) > self.SIZES * backgrounds:
                self._recorded.popitem(last=False)
        self._recorded.move_to_end(key)
        return found


def _seen(picture: FitPicture) -> Picture:
    """A picture as the objective takes it."""
    drawn = picture.drawn
    assert drawn.transmittance is not None
    depth = drawn.image[0, ..., 3] if drawn.image.shape[-1] > 3 else None
    return Picture(picture.color, drawn.transmittance[0], depth)


def _v_drawn(picture: FitPicture, result: Measured) -> tuple[Tensor, Tensor | None]:
    """The gradient of image and transmittance."""
    v_image, v_transmittance = result.v_color, result.v_transmittance
    if picture.drawn.image.shape[-1] > 3:
        v_depth = result.v_depth
        v_depth = torch.zeros_like(v_image[..., 0]) if v_depth is None else v_depth
        v_image = torch.cat([v_image, v_depth[..., None]], dim=-1)
    return v_image[None], None if v_transmittance is None else v_transmittance[None]


def _no_matter(pairs: int) -> None:
    """Lists that are made anew have room."""
