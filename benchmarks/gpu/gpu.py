"""The CUDA backend beside gsplat, on the same GPU, scene, cameras and size, in turn.

    python -m benchmarks.gpu.gpu GARDEN.npz [--quick] [--json FILE]

GARDEN.npz is gsplat's assets/test_garden.npz; larger scenes are copies of it side by side. First a
gate: our pictures must be those of our CPU backend, and of gsplat. Then, for every scene and number
of waves, the median, 5th and 95th percentile of: a picture, a picture and its gradient, and a whole
training step; by CUDA events, by the clock with a wait after each, and back to back. gsplat runs
packed and not, with its defaults. Beside each figure stands the time that moving every parameter
(and for a step its gradient and moments) once would take at this GPU's own copy bandwidth.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.table import Table
from torch import Tensor

from benchmarks.gpu.foreign import ForeignObjective
from benchmarks.support.report import summary, write
from benchmarks.support.workload import Workload, load
from gaborsplat.console import console
from gaborsplat.devices import machine
from gaborsplat.renderer.backends.trial import why_unusable
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.gsplat_api.rasterization import rasterization
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import RawSplats, Splats
from gaborsplat.renderer.training.objective import PhotoObjective
from gaborsplat.renderer.training.optimizer import adam_step, make_optimizers

SCENES = ((1, (648, 420)), (8, (1920, 1080)), (36, (3840, 2160)))
"""Copies of the garden, and the size of the picture."""
WARM_UP = 20
LEAST_PSNR = 60.0
"""Between two renderers of one scene, in float32."""

Draw = Callable[[], Tensor]


@dataclass(frozen=True)
class Options:
    """What to measure."""

    garden: tyro.conf.Positional[Path]
    rounds: int = 100
    quick: bool = False
    """The garden itself, K = 0 and 2, 20 rounds."""
    json: Path | None = None
    """Written again after every scene."""
    seconds: float = 420.0
    """No round starts later than this."""


@dataclass(frozen=True)
class Job:
    """One figure: who does what to which scene."""

    renderer: str
    waves: int
    work: str
    call: Callable[[], object]


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


class Subject:
    """A scene, and what is done to it."""

    def __init__(self, splats: Splats, camera: Camera) -> None:
        self.splats = splats
        self.camera = camera
        width, height = camera.size
        parameters = {
            name: torch.nn.Parameter(tensor)
            for name, tensor in RawSplats.standing_for(splats).tensors().items()
        }
        self.raw, self.optimizers = RawSplats.of(parameters), make_optimizers(parameters)
        self.objective = PhotoObjective(splats.means.device, RenderSettings())
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = 1e-9  # every picture is of the same scene
        device = splats.means.device
        generator = torch.Generator(device).manual_seed(0)
        self.upstream = torch.rand(height, width, 3, generator=generator, device=device)
        self.photo = (255 * self.upstream).to(torch.uint8)

    def arguments(self, **options: Any) -> dict[str, Any]:
        """Those of gsplat's `rasterization`, and of ours."""
        s, camera = self.splats, self.camera
        return {
            "means": s.means,
            "quats": s.quats,
            "scales": s.scales,
            "opacities": s.opacities,
            "colors": s.sh,
            "viewmats": camera.world_to_camera[None],
            "Ks": camera.intrinsics[None],
            "width": camera.size[0],
            "height": camera.size[1],
            "sh_degree": s.sh_degree,
        } | options

    @torch.no_grad()
    def picture(self, function: Callable[..., Any], **options: Any) -> Tensor:
        """[H, W, 3]."""
        return function(**self.arguments(**options))[0][0]

    def there_and_back(self, function: Callable[..., Any], **options: Any) -> None:
        """A picture, and the gradient of all parameters for a fixed gradient of the picture."""
        names = ("means", "quats", "scales", "opacities", "colors")
        arguments = self.arguments(**options)
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

    def step(self, objective: PhotoObjective | None = None) -> None:
        """A training step: loss, gradient, Adam."""
        objective = objective or self.objective
        picture = objective.forward(self.raw, self.camera, sh_degree=self.splats.sh_degree)
        _, gradients = objective.backward(picture, self.photo, None)
        adam_step(self.optimizers, gradients, None)


@cache
def gsplat_rasterization() -> Callable[..., Any] | None:
    """gsplat's own; None, with a note, where its kernels are not built and cannot be."""
    try:
        from gsplat import rasterization as theirs

        ones = torch.ones(1, 4, device="cuda")
        at = torch.eye(4, device="cuda")[None]
        theirs(ones[:, :3], ones, ones[:, :3], ones[0, :1], ones[:, :3], at, at[:, :3, :3], 16, 16)
        torch.cuda.synchronize()
    except Exception as error:  # no compiler, or one that fails
        console.print(f"without gsplat: {error}")
        return None
    return theirs


def psnr(one: Tensor, other: Tensor) -> float:
    """[dB]."""
    return float(-10 * torch.log10((one - other).square().mean().clamp_min(1e-12)))


def gate(garden: Path) -> dict[str, float]:
    """PSNR of our pictures from the CPU's and from gsplat's."""
    results: dict[str, float] = {}
    theirs = gsplat_rasterization()
    for waves in (0, 1, 2, 4):
        splats, camera = load(Workload("garden", (648, 420), waves, 3), garden)
        expected = render(splats, camera).color
        ours = render(splats.to("cuda"), camera.to("cuda")).color.cpu()
        results[f"K = {waves}: CPU backend"] = psnr(ours, expected)
        results[f"K = {waves}: gradient"] = gradient_psnr(splats, camera)
        if waves == 0 and theirs is not None:
            subject = Subject(splats.to("cuda"), camera.to("cuda"))
            # gsplat 1.5.3 clamps alpha at 0.999; at opacity 0.6 neither clamps.
            picture = subject.picture(theirs, packed=False)
            results["K = 0: gsplat"] = psnr(picture.cpu(), expected)
    return results


def gradient_psnr(splats: Splats, camera: Camera) -> float:
    """The GPU's gradient of the centres against the CPU's, relative to its largest [dB]."""
    found: list[Tensor] = []
    for device in ("cpu", "cuda"):
        scene = splats.to(device).map(lambda tensor: tensor.detach().requires_grad_())
        render(scene, camera.to(device)).color.square().mean().backward()
        assert scene.means.grad is not None
        found.append(scene.means.grad.cpu())
    return psnr(found[1] / found[0].abs().max(), found[0] / found[0].abs().max())


def probe() -> dict[str, float]:
    """What this GPU does: bytes copied and multiply-adds per second."""
    torch.backends.cuda.matmul.allow_tf32 = False
    source = torch.rand(256 << 20, device="cuda")
    target = torch.empty_like(source)
    a = torch.rand(8192, 8192, device="cuda")
    copying = min(on_gpu(lambda: target.copy_(source)) for _ in range(10))
    multiplying = min(on_gpu(lambda: a @ a) for _ in range(5))
    return {
        "copy_bytes_per_second": 2 * source.nbytes / copying,
        "multiply_adds_per_second": 8192**3 / multiplying,
    }


def on_gpu(call: Callable[[], object]) -> float:
    """Seconds by CUDA events."""
    start = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def by_clock(call: Callable[[], object]) -> float:
    """Seconds until the GPU is done."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def back_to_back(call: Callable[[], object], times: int = 20) -> float:
    """Seconds of one among several that nobody waits for."""
    return by_clock(lambda: [call() for _ in range(times)]) / times


def jobs_of(subjects: dict[int, Subject]) -> list[Job]:
    """Ours for every number of waves, by our own functions and by gsplat's face; gsplat's without
    waves."""
    theirs = gsplat_rasterization()
    jobs: list[Job] = []

    def add(renderer: str, waves: int, calls: dict[str, Callable[[], object]]) -> None:
        jobs.extend(Job(renderer, waves, work, call) for work, call in calls.items())

    def add_face(
        renderer: str, waves: int, function: Callable[..., Any], options: dict[str, Any]
    ) -> None:
        subject = subjects[waves]
        calls: dict[str, Callable[[], object]] = {
            "picture": lambda: subject.picture(function, **options),
            "gradient": lambda: subject.there_and_back(function, **options),
        }
        if renderer != "ours by gsplat's face":
            foreign = ForeignObjective(function, RenderSettings(), packed=options["packed"])
            calls["step"] = lambda: subject.step(foreign)
        add(renderer, waves, calls)

    for waves, subject in subjects.items():
        gabor = (subject.splats.frequencies, subject.splats.coefficients)
        own = {"picture": subject.render, "gradient": subject.render_and_back, "step": subject.step}
        add("ours", waves, dict[str, Callable[[], object]](own))
        options = {"packed": False} | ({"gabor": gabor} if waves else {})
        add_face("ours by gsplat's face", waves, rasterization, options)
    if theirs is not None:
        add_face("gsplat", 0, theirs, {"packed": False})
        add_face("gsplat packed", 0, theirs, {"packed": True})
    return jobs


def floor_ms(job: Job, splats: Splats, bandwidth: float) -> float:
    """Every parameter read once; a gradient writes as much, a step moves gradients and moments."""
    times = {"picture": 1, "gradient": 3, "step": 10}[job.work]
    return 1e3 * times * splats.nbytes / bandwidth


def measure(
    options: Options, bandwidth: float, save: Callable[[list[dict[str, Any]]], None]
) -> list[dict[str, Any]]:
    """All scenes, one after another, saved after each; within one, all jobs in turn."""
    results: list[dict[str, Any]] = []
    deadline = time.monotonic() + options.seconds
    for copies, size in SCENES[:1] if options.quick else SCENES:
        subjects: dict[int, Subject] = {}
        for waves in (0, 2) if options.quick else (0, 2, 4):
            splats, camera = load(Workload("garden", size, waves, 3), options.garden)
            subjects[waves] = Subject(replicated(splats.to("cuda"), copies), camera.to("cuda"))
        jobs = jobs_of(subjects)
        times: dict[int, dict[str, list[float]]] = {}
        rounds = 20 if options.quick else max(10, options.rounds // copies)
        for turn in range(-min(WARM_UP, rounds), rounds):
            if turn > 0 and time.monotonic() > deadline:
                break
            for index, job in enumerate(jobs):
                taken = times.setdefault(index, {"event": [], "latency": [], "throughput": []})
                found = (on_gpu(job.call), by_clock(job.call))
                if turn >= 0:
                    taken["event"].append(found[0])
                    taken["latency"].append(found[1])
                    if turn < 3:
                        taken["throughput"].append(back_to_back(job.call))
        for index, job in enumerate(jobs):
            subject = subjects[job.waves]
            result = {
                "renderer": job.renderer,
                "waves": job.waves,
                "work": job.work,
                "splats": len(subject.splats),
                "size": size,
                "floor_ms": floor_ms(job, subject.splats, bandwidth),
                "peak_bytes": peak_bytes(job),
            }
            results.append(result | {name: summary(all_) for name, all_ in times[index].items()})
        save(results)
        if time.monotonic() > deadline:
            break
        del subjects, jobs
        torch.cuda.empty_cache()
    return results


def peak_bytes(job: Job) -> int:
    """The most memory that one call takes beyond what is there already."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    job.call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def show(results: list[dict[str, Any]]) -> None:
    """A table; the ratio is gsplat's (not packed, without waves) over ours."""
    columns = ("splats", "size", "work", "who", "K", "event ms", "p5", "p95", "latency", "b2b")
    table = Table(*columns, "gsplat /", "x floor", "MB", box=None, padding=(0, 1, 0, 0))
    for run in results:
        same = ("splats", "size", "work")
        peers = [
            other["event"]["median"]
            for other in results
            if other["renderer"] == "gsplat" and all(other[key] == run[key] for key in same)
        ]
        event = run["event"]
        table.add_row(
            f"{run['splats'] / 1e6:.2f}M",
            "x".join(map(str, run["size"])),
            run["work"],
            run["renderer"],
            str(run["waves"]),
            *(f"{event[key]:.2f}" for key in ("median", "p5", "p95")),
            f"{run['latency']['median']:.2f}",
            f"{statistics.median(run['throughput'].values()):.2f}",
            f"{peers[0] / event['median']:.2f}" if peers else "-",
            f"{event['median'] / run['floor_ms']:.1f}",
            f"{run['peak_bytes'] / 1e6:.0f}",
        )
    console.print(table)


def main() -> None:
    """Run the benchmark."""
    options = tyro.cli(Options, description=__doc__)
    reason = why_unusable(torch.device("cuda"))
    if reason is not None:
        sys.exit(f"no GPU to measure: {reason}")
    console.print(machine())
    parity = gate(options.garden)
    for name, value in parity.items():
        console.print(f"{name}: {value:.1f} dB")
    if not all(value >= LEAST_PSNR for value in parity.values()):  # nor is NaN
        sys.exit(f"pictures differ: less than {LEAST_PSNR} dB; nothing was timed")
    rates = probe()
    console.print(rates)

    def save(results: list[dict[str, Any]]) -> None:
        if options.json is not None:
            write(options.json, {"parity": parity, "probe": rates, "figures": results})

    show(measure(options, rates["copy_bytes_per_second"], save))


if __name__ == "__main__":
    main()
