"""A scene on a device, and what is done to it, by ours and by functions with gsplat's signature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.foreign import ForeignRunner, Rasterization, torch_adam
from benchmarks.support.stopwatch import Call
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.gsplat_api.rasterization import rasterization
from gaborsplat.renderer.raster.render import render, render_bytes
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import PARAMETER_NAMES, Parameters, RawSplats, Splats
from gaborsplat.renderer.training.data import Photo
from gaborsplat.renderer.training.step.fit import SplatFit
from gaborsplat.renderer.training.step.runner import StepRunner

WORKS = ("viewer's picture", "picture", "gradient", "step")
"""Bytes, as a viewer shows them; colours (ours with alpha and depth); a picture and the gradient of
all parameters by autograd; a training step: loss, gradient, Adam."""
RATE = 1e-9
"""Of every parameter: every picture is of the same scene."""
STEPS = 30_000
"""More than are taken of any fit here."""


@dataclass(frozen=True)
class Job:
    """One figure: who does what to which scene.

    Attributes:
        renderer: who.
        waves: of a splat.
        work: one of `WORKS`.
        make: gives the call, with whatever it keeps from one call to the next.
    """

    renderer: str
    waves: int
    work: str
    make: Callable[[], Call]


def replicated(splats: Splats, copies: int) -> Splats:
    """Copies side by side on a square grid, in the plane in which the scene is widest."""
    if copies == 1:
        return splats
    spread = splats.means.quantile(0.95, dim=0) - splats.means.quantile(0.05, dim=0)
    first, second = spread.topk(2).indices.tolist()
    side = round(copies**0.5 + 0.499)
    parts: list[Splats] = []
    for index in range(copies):
        shift = torch.zeros(3, device=splats.means.device)
        shift[first] = (index % side - side // 2) * spread[first]
        shift[second] = (index // side - side // 2) * spread[second]
        parts.append(replace(splats, means=splats.means + shift))
    fields = {name: torch.cat([p.tensors()[name] for p in parts]) for name in splats.tensors()}
    return Splats(**fields)


class Fit:
    """Parameters that stand for splats, and a photo to fit them to."""

    def __init__(self, splats: Splats, camera: Camera) -> None:
        self.degree = splats.sh_degree
        self.parameters: Parameters = {
            name: torch.nn.Parameter(tensor)
            for name, tensor in RawSplats.standing_for(splats).tensors().items()
        }
        image = (255 * noise(camera, splats.means.device)).to(torch.uint8)
        self.photo = Photo(camera, image, None)


class OurFit(Fit):
    """A fit by our own steps, at most so many."""

    def __init__(self, splats: Splats, camera: Camera, steps: int = STEPS) -> None:
        super().__init__(splats, camera)
        self.fit = SplatFit(self.parameters, steps)
        self._wanted = SplatFit.wanted(dict.fromkeys(PARAMETER_NAMES, RATE))

    def step(self, runner: StepRunner) -> None:
        """A training step: loss, gradient, Adam. Waits for the last but one at most."""
        runner.start(self.fit, self.photo, self._wanted, sh_degree=self.degree)


class TheirFit(Fit):
    """A fit by functions with gsplat's signature, as gsplat's own trainer steps: by autograd, and
    torch's Adam."""

    def __init__(self, splats: Splats, camera: Camera) -> None:
        super().__init__(splats, camera)
        self._adam = torch_adam(self.parameters, RATE)

    def step(self, runner: ForeignRunner) -> None:
        """As that of `OurFit`; waits for nothing."""
        runner.differentiate(RawSplats.of(self.parameters), self.photo, sh_degree=self.degree)
        self._adam.step()
        self._adam.zero_grad()


def noise(camera: Camera, device: torch.device) -> Tensor:
    """[H, W, 3] random numbers, the same every time."""
    generator = torch.Generator(device).manual_seed(0)
    width, height = camera.size
    return torch.rand(height, width, 3, generator=generator, device=device)


def arguments_of(splats: Splats, camera: Camera) -> dict[str, Any]:
    """What gsplat's `rasterization` takes, and ours."""
    return {
        "means": splats.means,
        "quats": splats.quats,
        "scales": splats.scales,
        "opacities": splats.opacities,
        "colors": splats.sh,
        "viewmats": camera.world_to_camera[None],
        "Ks": camera.intrinsics[None],
        "width": camera.size[0],
        "height": camera.size[1],
        "sh_degree": splats.sh_degree,
    }


class Subject:
    """A scene, and what is done to it."""

    def __init__(self, splats: Splats, camera: Camera) -> None:
        self.splats, self.camera = splats, camera
        self.upstream = noise(camera, splats.means.device)
        self._our_fit = OurFit(splats, camera)

    @cached_property
    def _their_fit(self) -> TheirFit:
        """Of all functions with gsplat's signature together."""
        return TheirFit(self.splats, self.camera)

    def our_jobs(self) -> list[Job]:
        """All works by our own functions."""
        device = self.splats.means.device
        runner = partial(StepRunner, device, RenderSettings())
        makes: dict[str, Callable[[], Call]] = {
            "viewer's picture": lambda: partial(render_bytes, self.splats, self.camera),
            "picture": lambda: self.render,
            "gradient": lambda: self.render_and_back,
            "step": lambda: partial(self._our_fit.step, runner()),
        }
        return [Job("ours", self.splats.waves, work, makes[work]) for work in WORKS]

    def jobs_of(self, name: str, function: Rasterization, *, packed: bool = False) -> list[Job]:
        """All works by a function with gsplat's signature; no training step with waves."""
        options: dict[str, Any] = {"packed": packed}
        if self.splats.waves:
            options["gabor"] = (self.splats.frequencies, self.splats.coefficients)
        runner = partial(ForeignRunner, function, RenderSettings(), packed=packed)
        makes: dict[str, Callable[[], Call]] = {
            "viewer's picture": lambda: lambda: as_bytes(self.picture(function, **options)),
            "picture": lambda: lambda: self.picture(function, **options),
            "gradient": lambda: lambda: self.there_and_back(function, **options),
            "step": lambda: partial(self._their_fit.step, runner()),
        }
        works = WORKS if not self.splats.waves else WORKS[:-1]
        return [Job(name, self.splats.waves, work, makes[work]) for work in works]

    @torch.no_grad()
    def picture(self, function: Rasterization, **options: Any) -> Tensor:
        """[H, W, 3]."""
        return function(**arguments_of(self.splats, self.camera), **options)[0][0]

    def there_and_back(self, function: Rasterization, **options: Any) -> None:
        """A picture, and the gradient of all parameters for a fixed gradient of the picture."""
        names = ("means", "quats", "scales", "opacities", "colors")
        arguments = arguments_of(self.splats, self.camera) | options
        leaves = {name: arguments[name].detach().requires_grad_() for name in names}
        if "gabor" in arguments:
            waves = tuple(tensor.detach().requires_grad_() for tensor in arguments["gabor"])
            arguments["gabor"] = waves
        color, _, _ = function(**(arguments | leaves))
        color[0].backward(self.upstream)

    @torch.no_grad()
    def render(self) -> Tensor:
        """[H, W, 3], by our own function; depth and alpha come with it."""
        return render(self.splats, self.camera).color

    def render_and_back(self) -> None:
        """As `there_and_back`."""
        leaves = self.splats.map(lambda tensor: tensor.detach().requires_grad_())
        render(leaves, self.camera).color.backward(self.upstream)


def as_bytes(picture: Tensor) -> Tensor:
    """What a viewer makes of colours, [H, W, 3] uint8."""
    return (255 * picture.clamp(0, 1) + 0.5).to(torch.uint8)


def jobs_on(subjects: dict[int, Subject], theirs: tuple[str, Rasterization] | None) -> list[Job]:
    """Of scenes by their number of waves. Those beside which the others stand come first."""
    jobs = [job for subject in subjects.values() for job in subject.our_jobs()]
    if theirs is not None:
        jobs += subjects[0].jobs_of(*theirs)
        jobs += subjects[0].jobs_of(f"{theirs[0]} packed", theirs[1], packed=True)
    for subject in subjects.values():
        jobs += subject.jobs_of("ours as gsplat", rasterization)
    return jobs


def gsplat_rasterization() -> tuple[str, Rasterization]:
    """gsplat's name and version, and its function.

    What we pass, all by name, is the same in 1.5 and in what follows it.

    Raises:
        RuntimeError: it is not installed, or its kernels are not built and cannot be.
    """
    try:
        from gsplat import rasterization as theirs

        ones = torch.ones(1, 4, device="cuda")
        at = torch.eye(4, device="cuda")[None]
        theirs(ones[:, :3], ones, ones[:, :3], ones[0, :1], ones[:, :3], at, at[:, :3, :3], 16, 16)
        torch.cuda.synchronize()
        return f"gsplat {version('gsplat')}", theirs
    except Exception as error:  # no compiler, or one that fails
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise RuntimeError(f"gsplat cannot be used here: {line}") from error
