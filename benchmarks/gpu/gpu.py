"""The CUDA backend beside gsplat, on the same GPU, scene, cameras and size, in turn.

    python -m benchmarks.gpu.gpu [GARDEN.npz] [--seconds 280] [--quick] [--json FILE]

GARDEN.npz is gsplat's assets/test_garden.npz; without it, points on the walls of a box. Larger
scenes are copies of it side by side. First a gate: our pictures and gradients must be those of our
CPU backend, and of gsplat. Then, for every scene and number of waves: a picture for the viewer, a
picture, a picture and its gradient by autograd, and a training step. Each is timed back to back by
the clock, alone by the clock, and by CUDA events; then follow what the GPU did in it, kernel by
kernel, and the memory that it takes. gsplat, of the version that is installed, runs packed and not,
with its defaults; its training step is by our loss, autograd and torch's fused Adam. Last, what
memory a step takes at 10M splats.

All of it ends by itself after --seconds, the most telling first: scenes share what time is left.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from torch import Tensor

from benchmarks.gpu.foreign import ForeignRunner, Rasterization
from benchmarks.gpu.gpu_tables import scene_name, show
from benchmarks.gpu.subject import (
    Job,
    OurFit,
    Subject,
    TheirFit,
    arguments_of,
    gsplat_rasterization,
    jobs_on,
    replicated,
)
from benchmarks.support.report import gpu_report, summary, write
from benchmarks.support.stopwatch import Stopwatch, Trace
from benchmarks.support.workload import Workload, load
from gaborsplat.console import console
from gaborsplat.devices import machine
from gaborsplat.renderer._native import kernels
from gaborsplat.renderer.backends.trial import why_unusable
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats
from gaborsplat.renderer.training.step.runner import StepRunner

SCENES = ((8, (1920, 1080)), (1, (648, 420)), (36, (3840, 2160)))
"""Copies of the garden, and the size of the picture; the most telling first."""
POINTS = 138_766
"""Of the box that stands in for the garden: as many as that has."""
WARM_UP, LEAST_ROUNDS = 2, 3
IN_A_ROW = 10
TRACED = 5
LEAST_PSNR = 60.0
"""Between two renderers of one scene, in float32."""
PROBE = (72, (1920, 1080))
"""Copies and size where memory is measured."""

Theirs = tuple[str, Rasterization]


@dataclass(frozen=True)
class Options:
    """What to measure."""

    garden: tyro.conf.Positional[Path | None] = None
    seconds: float = 280.0
    """Of everything from the gate on; none of it starts later."""
    rounds: int = 50
    """Most that a scene gets."""
    quick: bool = False
    """The garden itself, K = 0 and 2, 10 rounds."""
    gsplat: bool = True
    """Whether it is measured too; without, nothing waits for its kernels."""
    device: Literal["cuda", "cpu"] = "cuda"
    """On the CPU the program can be tried: without gsplat, events, kernels and memory."""
    json: Path | None = None
    """Written again after every scene."""


class Deadline:
    """When all must end."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return self._end - time.monotonic()

    def part(self, share: float) -> Deadline:
        """The end of a share of what is left."""
        return Deadline(max(0.0, share * self.left))


def scene_of(garden: Path | None, size: tuple[int, int], waves: int) -> tuple[Splats, Camera]:
    """One copy, and a camera."""
    return load(Workload("garden" if garden else str(POINTS), size, waves, 3), garden)


def psnr(one: Tensor, other: Tensor) -> float:
    """[dB]."""
    return float(-10 * torch.log10((one - other).square().mean().clamp_min(1e-12)))


def gate(garden: Path | None, device: torch.device, theirs: Theirs | None) -> dict[str, float]:
    """PSNR of our pictures, and of our gradients, from the CPU's and from gsplat's [dB]."""
    results: dict[str, float] = {}
    cpu = torch.device("cpu")
    for waves in (0, 1, 2, 4):
        splats, camera = scene_of(garden, (648, 420), waves)
        expected = there_and_back(splats, camera, cpu, our_colors)
        others = {"CPU backend": there_and_back(splats, camera, device, our_colors)}
        if waves == 0 and theirs is not None:
            others[theirs[0]] = there_and_back(splats, camera, device, colors_by(theirs[1]))
        for name, found in others.items():
            for what, one, other in zip(("picture", "gradient"), found, expected, strict=True):
                results[f"K = {waves}, {what}: {name}"] = psnr(one, other)
    return results


def our_colors(splats: Splats, camera: Camera) -> Tensor:
    """[H, W, 3]."""
    return render(splats, camera).color


def colors_by(function: Rasterization) -> Callable[[Splats, Camera], Tensor]:
    """The same, by a function with gsplat's signature."""
    # gsplat clamps alpha at 0.999; at opacity 0.6 neither clamps.
    return lambda splats, camera: function(**arguments_of(splats, camera), packed=False)[0][0]


def there_and_back(
    splats: Splats, camera: Camera, device: torch.device, draw: Callable[[Splats, Camera], Tensor]
) -> tuple[Tensor, Tensor]:
    """A picture, and the gradient of its mean square to the centres, over the largest of these."""
    scene = splats.to(device).map(lambda tensor: tensor.detach().requires_grad_())
    picture = draw(scene, camera.to(device))
    picture.square().mean().backward()
    assert scene.means.grad is not None
    gradient = scene.means.grad.cpu()
    return picture.detach().cpu(), gradient / gradient.abs().max()


def probe_rates(watch: Stopwatch) -> dict[str, float]:
    """What this GPU does: bytes copied and multiply-adds per second."""
    torch.backends.cuda.matmul.allow_tf32 = False
    source = torch.rand(256 << 20, device="cuda")
    target = torch.empty_like(source)
    a = torch.rand(8192, 8192, device="cuda")
    copying = min(watch.by_events(lambda: target.copy_(source)) for _ in range(10))
    multiplying = min(watch.by_events(lambda: a @ a) for _ in range(5))
    return {
        "copy_bytes_per_second": 2 * source.nbytes / copying,
        "multiply_adds_per_second": 8192**3 / multiplying,
    }


def rounds_of(jobs: list[Job], watch: Stopwatch, until: Deadline, rounds: int) -> list[Any]:
    """Times of all jobs [s], which take turns, until that many rounds or the deadline; never fewer
    than `LEAST_ROUNDS`."""
    calls = [job.make() for job in jobs]
    times: list[dict[str, list[float]]] = [
        {"back_to_back": [], "events": [], "alone": []} for _ in jobs
    ]
    for call in WARM_UP * calls:
        call()
    for turn in range(rounds):
        if turn >= LEAST_ROUNDS and until.left < 0:
            break
        for call, taken in zip(calls, times, strict=True):
            taken["back_to_back"].append(watch.back_to_back(call, IN_A_ROW))
            taken["events"].append(watch.by_events(call))
            taken["alone"].append(watch.alone(call))
    return times


def launches_of(trace: Trace) -> dict[str, float]:
    """How many of ours, of others' kernels (torch's, gsplat's), and memsets and copies."""
    own = {kernel.name for kernel in kernels()}
    counts = {"own": 0.0, "others": 0.0, "memsets and copies": 0.0}
    for name, count in trace.launches.items():
        kind = "memsets and copies" if name in ("memset", "memcpy") else "others"
        counts["own" if name in own else kind] += count
    return counts


def figure(
    job: Job, subject: Subject, times: dict[str, list[float]], until: Deadline
) -> dict[str, Any]:
    """All that is found of a job; without trace and memory, where the time is over."""
    found: dict[str, Any] = {
        "renderer": job.renderer,
        "waves": job.waves,
        "work": job.work,
        "splats": len(subject.splats),
        "size": subject.camera.size,
        **{f"{how}_ms": summary(each) for how, each in times.items()},
    }
    if until.left < 0:
        return found
    watch = Stopwatch(subject.splats.means.device)
    trace = watch.trace(job.make(), TRACED)
    return found | {
        "gpu_ms": sum(trace.microseconds.values()) / 1e3,
        "launches": launches_of(trace),
        "kernels": asdict(trace),
        "peak_bytes": watch.peak_bytes(job.make),
    }


def measure_scene(
    options: Options, scene: tuple[int, tuple[int, int]], theirs: Theirs | None, until: Deadline
) -> list[dict[str, Any]]:
    """All jobs on one scene."""
    device, (copies, size) = torch.device(options.device), scene
    subjects: dict[int, Subject] = {}
    for waves in (0, 2) if options.quick else (0, 2, 4):
        splats, camera = scene_of(options.garden, size, waves)
        subjects[waves] = Subject(replicated(splats.to(device), copies), camera.to(device))
    jobs = jobs_on(subjects, theirs)
    rounds = min(10, options.rounds) if options.quick else options.rounds
    # The rest is for traces and memory.
    times = rounds_of(jobs, Stopwatch(device), until.part(0.6), rounds)
    return [
        figure(job, subjects[job.waves], taken, until)
        for job, taken in zip(jobs, times, strict=True)
    ]


def train_briefly(
    options: Options, scene: tuple[int, tuple[int, int]], make_fit: Any, make_runner: Any
) -> None:
    """Two steps without waves, of a fit and by a runner that the last two give."""
    device, (copies, size) = torch.device(options.device), scene
    splats, camera = scene_of(options.garden, size, 0)
    fit = make_fit(replicated(splats.to(device), copies), camera.to(device))
    runner = make_runner()
    for _ in range(2):
        fit.step(runner)


def memory_of_training(
    options: Options, scene: tuple[int, tuple[int, int]], theirs: Theirs | None
) -> list[dict[str, Any]]:
    """The most memory that training takes with many splats, K = 0: parameters, moments, gradients
    and all that a step needs. By ours, and by gsplat's rasterizer with torch's Adam."""
    device, settings = torch.device(options.device), RenderSettings()
    makes: dict[str, tuple[Any, Any]] = {"ours": (OurFit, partial(StepRunner, device, settings))}
    if theirs is not None:
        makes[theirs[0]] = (TheirFit, partial(ForeignRunner, theirs[1], settings))

    def row(name: str) -> dict[str, Any]:
        call = partial(train_briefly, options, scene, *makes[name])
        peak = Stopwatch(device).peak_bytes(lambda: call)
        return {
            "renderer": name,
            "splats": scene[0] * POINTS,
            "size": scene[1],
            "peak_bytes": peak,
        }

    return [row(name) for name in makes]


def without_room(what: str, call: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What a call gives; nothing, with a note, where the GPU has too little memory for it."""
    try:
        return call()
    except torch.cuda.OutOfMemoryError as error:
        console.print(f"{what}: not measured, {str(error).splitlines()[0]}")
        return []
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def measure(
    options: Options, theirs: Theirs | None, deadline: Deadline, report: dict[str, Any]
) -> None:
    """All scenes, one after another, and the memory; shown, and written, after each."""
    scenes = SCENES[1:2] if options.quick else SCENES
    for index, scene in enumerate(scenes):
        name = scene_name(scene[0] * POINTS, scene[1])
        if deadline.left < 0:
            console.print(f"{name}: not measured, the time is over")
            continue
        until = deadline.part(1 / (len(scenes) - index + 0.3))
        found = without_room(name, partial(measure_scene, options, scene, theirs, until))
        show(found)
        report["figures"] += found
        if options.json is not None:
            write(options.json, report)
    if options.quick or deadline.left < 0:
        return
    training = partial(memory_of_training, options, PROBE, theirs)
    report["memory"] = without_room("training at 10M splats", training)
    for each in report["memory"]:
        console.print(
            f"training, SH 3, K = 0, {scene_name(each['splats'], each['size'])}, "
            f"{each['renderer']}: at most {each['peak_bytes'] / 1e9:.2f} GB"
        )
    if options.json is not None:
        write(options.json, report)


def main() -> None:
    """Run the benchmark."""
    options = tyro.cli(Options, description=__doc__)
    device = torch.device(options.device)
    reason = why_unusable(device) if device.type == "cuda" else None
    if reason is not None:
        sys.exit(f"no GPU to measure: {reason}")
    if options.garden is not None and not options.garden.is_file():
        sys.exit(f"{options.garden}: no such file; gsplat has it as assets/test_garden.npz")
    deadline, theirs = Deadline(options.seconds), None
    console.print(f"{machine()}\n{gpu_report()}")
    if device.type == "cuda" and options.gsplat:
        try:
            theirs = gsplat_rasterization()
        except RuntimeError as error:
            console.print(str(error))
    parity = gate(options.garden, device, theirs)
    for name, value in parity.items():
        console.print(f"{name}: {value:.1f} dB")
    if not all(value >= LEAST_PSNR for value in parity.values()):  # nor is NaN
        sys.exit(f"pictures differ: less than {LEAST_PSNR} dB; nothing was timed")
    rates = probe_rates(Stopwatch(device)) if device.type == "cuda" else {}
    report = {"gpu": gpu_report(), "parity": parity, "probe": rates, "figures": [], "memory": []}
    measure(options, theirs, deadline, report)


if __name__ == "__main__":
    main()
