"""Our trainer with another rasterizer, by autograd: what gsplat's would make of the same run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gaborsplat.renderer.losses import compare
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Parameters, RawSplats
from gaborsplat.renderer.training.data import Photo
from gaborsplat.renderer.training.step.fit import SplatFit, Terms
from gaborsplat.renderer.training.step.optimizer import BETAS, Optimizers, SplatOptimizer
from gaborsplat.renderer.training.step.report import StepOutcome
from gaborsplat.renderer.training.step.runner import StartedStep, StepRunner

Rasterization = Callable[..., tuple[Tensor, Tensor, Any]]
AddNoise = Callable[[Parameters, Optimizers, dict[str, Any], float], None]
"""As gsplat's `inject_noise_to_position`."""

MOMENTS = ("exp_avg", "exp_avg_sq")
"""What torch's Adam calls them."""
EPS = 1e-15
"""Of Adam, in gsplat's trainer as in ours."""


class DoneStep(StartedStep):
    """A step that nobody has to wait for."""

    def __init__(self, info: dict[str, Any], outcome: StepOutcome) -> None:
        self.info, self._outcome = info, outcome


class ForeignOptimizer(SplatOptimizer):
    """Moments as torch's Adam has them, of harmonics too, whose bytes stay beside them unused: so
    that whoever adds, moves and removes rows does the same to these."""

    def fresh(self) -> dict[str, Tensor]:
        """See `SplatOptimizer`."""
        like = self.parameter.detach()
        return super().fresh() | {key: torch.zeros_like(like) for key in MOMENTS}


def torch_adam(parameters: Parameters, rate: float = 0.0) -> torch.optim.Adam:
    """Torch's Adam over all parameters, a group each in their order, fused on a GPU."""
    groups = [{"params": [parameter]} for parameter in parameters.values()]
    fused = parameters["means"].device.type == "cuda"
    return torch.optim.Adam(groups, lr=rate, betas=BETAS, eps=EPS, fused=fused)


class ForeignRunner(StepRunner):
    """Fits plain Gaussians by a function with gsplat's signature, by autograd and torch's Adam.

    Splats may be added and removed as in any fit, their moments with them; but a fit cannot go on
    from a state. Steps are taken or not by the loss alone, and change all splats.

    Args:
        rasterization: the function.
        settings: of the pictures.
        ssim_weight: of the loss.
        packed: whether the function drops what is not visible first.
        add_noise: moves centres at random by a given strength; None for no noise.
    """

    def __init__(
        self,
        rasterization: Rasterization,
        settings: RenderSettings,
        ssim_weight: float = 0.2,
        *,
        packed: bool = False,
        add_noise: AddNoise | None = None,
    ) -> None:
        self._rasterization, self._packed = rasterization, packed
        self._settings, self._ssim_weight = settings, ssim_weight
        self._add_noise = add_noise
        self._adam: torch.optim.Adam | None = None
        self._steps = 0

    @property
    def ahead(self) -> bool:
        """See `StepRunner`: no, each step waits for its loss."""
        return False

    def differentiate(
        self, raw: RawSplats, photo: Photo, *, sh_degree: int, terms: Terms | None = None
    ) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """Adds the gradient of loss and terms to `grad` of the parameters. Returns their sum, the
        mean squared error, and the function's `info`."""
        assert raw.waves == 0
        splats, camera = raw.activated(), photo.camera
        colors, _, info = self._rasterization(
            means=splats.means,
            quats=splats.quats,
            scales=splats.scales,
            opacities=splats.opacities,
            colors=splats.sh,
            viewmats=camera.world_to_camera[None],
            Ks=camera.intrinsics[None],
            width=camera.size[0],
            height=camera.size[1],
            sh_degree=sh_degree,
            packed=self._packed,
            rasterize_mode="antialiased" if self._settings.antialiased else "classic",
        )
        if info["means2d"].requires_grad:  # strategies look at its gradient
            info["means2d"].retain_grad()
        color = colors[0]
        result = compare(
            color.detach().contiguous(), photo.image, photo.mask, self._ssim_weight, gradient=True
        )
        parts, gradients = [color], [result.gradient]
        if terms is not None and (terms.opacity_weight or terms.scale_weight):
            parts.append(
                terms.opacity_weight * splats.opacities.mean()
                + terms.scale_weight * splats.scales.mean()
            )
            gradients.append(None)
        torch.autograd.backward(parts, gradients)
        return result.loss, result.mse, info

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
        """See `StepRunner`. Waits for the loss before the step, where gsplat's trainer shows
        it, so that none is taken along one that is not finite."""
        adam = self._adam_of(fit)
        *found, info = self.differentiate(fit.raw, photo, sh_degree=sh_degree, terms=terms)
        loss, mse = torch.stack(found).tolist()
        changed = math.isfinite(loss)
        if changed:
            *rates, strength, _ = wanted.tolist()
            for group, rate in zip(adam.param_groups, rates, strict=True):
                group["lr"] = rate
            adam.step()
            self._steps += 1
            if strength > 0 and self._add_noise is not None:
                self._add_noise(fit.parameters, fit.optimizers, {}, strength)
        adam.zero_grad()
        return DoneStep(info, StepOutcome(loss, mse, changed, fitted=True, broken=False, pairs=0))

    def forget(self) -> None:
        """See `StepRunner`."""
        self._adam = None

    def _adam_of(self, fit: SplatFit) -> torch.optim.Adam:
        """That of the splats as they are now, which has its moments where `fit` has them."""
        if self._adam is None:
            if self._steps == 0:
                for name, parameter in fit.parameters.items():
                    fit.optimizers[name] = ForeignOptimizer(name, parameter)
            self._adam = torch_adam(fit.parameters)
            for name, parameter in fit.parameters.items():
                moments = fit.optimizers[name].state[parameter]
                self._adam.state[parameter] = {key: moments[key] for key in MOMENTS}
                steps = torch.tensor(float(self._steps), device=parameter.device)
                self._adam.state[parameter]["step"] = steps
        return self._adam
