"""A fit of a few splats, whose steps are taken one by one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from fitting import small_capture
from torch import Tensor
from torch.nn import Parameter

from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import PARAMETER_NAMES, Parameters
from gaborsplat.renderer.training import data
from gaborsplat.renderer.training.step.fit import SplatFit, Terms
from gaborsplat.renderer.training.step.report import StepOutcome
from gaborsplat.renderer.training.step.runner import StepRunner

RATES = dict.fromkeys(PARAMETER_NAMES, 0.01) | {"means": 1e-3, "quats": 2e-3, "shN": 4e-3}
NO_RATES = dict.fromkeys(PARAMETER_NAMES, 0.0)
BEHIND = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))
"""Turns a camera round."""


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def parameters(count: int = 150, waves: int = 1, degree: int = 2) -> Parameters:
    tensors = {
        "means": 0.7 * randn(count, 3, seed=1),
        "quats": randn(count, 4, seed=2),
        "scales": 0.3 * randn(count, 3, seed=3) - 2,
        "opacities": randn(count, seed=4),
        "sh0": randn(count, 1, 3, seed=5),
        "shN": 0.3 * randn(count, (degree + 1) ** 2 - 1, 3, seed=6),
        "frequencies": 0.3 * randn(count, waves, 3, seed=7),
        "coefficients": 0.2 * randn(count, waves, 2, seed=8),
    }
    return {name: Parameter(tensor) for name, tensor in tensors.items()}


def photo(index: int = 1) -> data.Photo:
    view = small_capture().train[index]
    return data.Photo(view.camera, view.image(), None)


def nothing_seen(found: data.Photo) -> data.Photo:
    """A photo by a camera that was turned round."""
    camera = found.camera
    turned = replace(camera, world_to_camera=BEHIND @ camera.world_to_camera)
    return replace(found, camera=turned)


def runner() -> StepRunner:
    return StepRunner(torch.device("cpu"), RenderSettings())


class Fitted:
    """A fit, and what takes its steps."""

    def __init__(self, given: Parameters | None = None, **options: Any) -> None:
        self.fit = SplatFit(given or parameters(), 400, **options)
        self.runner = runner()
        self.steps = 0

    @property
    def degree(self) -> int:
        return math.isqrt(1 + self.fit.parameters["shN"].shape[1]) - 1

    def step(
        self,
        of: data.Photo,
        rates: dict[str, float] | None = None,
        *,
        noise: float = 0.0,
        terms: Terms | None = None,
        seed: int | None = None,
    ) -> StepOutcome:
        self.steps += 1
        wanted = self.fit.wanted(rates or RATES, noise, self.steps if seed is None else seed)
        started = self.runner.start(self.fit, of, wanted, sh_degree=self.degree, terms=terms)
        return started.outcome()

    def gradients(self, of: data.Photo) -> dict[str, Tensor]:
        """By the passes that autograd uses."""
        apart = runner()
        picture = apart.forward(self.fit.current(), of.camera, sh_degree=self.degree)
        return {name: g.clone() for name, g in apart.backward(picture, of)[1].items()}

    def values(self) -> dict[str, Tensor]:
        return {name: t.clone() for name, t in self.fit.current().tensors().items()}
