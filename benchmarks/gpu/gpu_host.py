"""What the host does for a picture on a GPU, and for a training step. Needs no GPU.

    python -m benchmarks.gpu.gpu_host [--json FILE]

The CUDA backend runs on a tiny scene, and its kernels go through the native launcher to a driver
that does nothing: what is left is Python and torch's bookkeeping. Where the GPU's own work is
shorter than this, this is what a picture takes. In turn with it runs gsplat 1.5.3's Python, its
compiled functions replaced by ones that return tensors of the right shapes: that is a lower bound,
as what those functions allocate and launch is not in it. The unit is the time of one torch.add of
eight numbers on this machine, taken in the same rounds.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import torch
import tyro
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.gpu.subject import OurFit
from benchmarks.support.report import write
from gaborsplat.console import console
from gaborsplat.devices import machine
from gaborsplat.renderer._native import Driver
from gaborsplat.renderer.backends.cuda.backend import CudaBackend
from gaborsplat.renderer.backends.cuda.compiler import source_folder
from gaborsplat.renderer.backends.cuda.launcher import Launch, Launcher, Program
from gaborsplat.renderer.backends.registry import use_backend
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.render import render, render_bytes
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats
from gaborsplat.renderer.training.step.runner import StepRunner

SPLATS = 64
SIZE = (32, 32)
WARM_UP, ROUNDS = 3, 60
"""The first call learns how much room lists need, the second one records what can be."""
IN_A_ROW = 10
UNQUEUED = (
    "empty", "view", "slice", "select", "detach", "alias", "expand", "squeeze", "transpose",
    "permute", "as_strided", "unbind", "split", "local_scalar", "record_function", "_to_copy",
)  # fmt: skip
"""Operations of torch that start no kernel, by part of their name. `_to_copy` moves a number to the
host here, and copies on the GPU nowhere in these paths."""


@dataclass(frozen=True)
class Options:
    """Where results go."""

    json: Path | None = None


class CountedProgram:
    """Another program, with a note of what it launches."""

    def __init__(self, program: Program, kernels: list[str], launched: list[str]) -> None:
        self._program, self._kernels, self._launched = program, kernels, launched

    def launch(self, inputs: Sequence[tuple[Tensor, Tensor]], /) -> None:
        """See `Program`."""
        self._launched += self._kernels
        self._program.launch(inputs)


class CountingLauncher:
    """Another launcher, with a note of what it launches."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self.launched: list[str] = []

    def launch(self, launches: Sequence[Launch], /) -> None:
        """See `Launcher`."""
        self.launched += [name for name, _ in launches]
        self._launcher.launch(launches)

    def record(self, launches: Sequence[Launch], /) -> Program:
        """See `Launcher`."""
        names = [name for name, _ in launches]
        return CountedProgram(self._launcher.record(launches), names, self.launched)


@contextmanager
def idle_driver() -> Generator[Driver]:
    """The native launcher, on a library in the place of NVIDIA's driver that only says that every
    splat is in one tile."""
    with TemporaryDirectory() as folder:
        library = Path(folder) / "libcuda.so"
        source, sources = Path(__file__).with_name("idle_driver.cpp"), source_folder().parent
        compiler = [os.environ.get("CXX", "g++"), "-std=c++17", "-O2", "-shared", "-fPIC"]
        subprocess.run([*compiler, str(source), "-I", str(sources), "-o", str(library)], check=True)
        yield Driver(lambda *_: b"nothing", str(library))


class Queued(TorchDispatchMode):
    """Counts the operations that would each start a kernel of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if starts_kernel(func):
            self.operations[str(func).removeprefix("aten.")] += 1
        return func(*args, **(kwargs or {}))


def starts_kernel(operation: Any) -> bool:
    """Whether an operation of torch's would start a kernel on a GPU."""
    return not any(part in str(operation) for part in UNQUEUED)


def scene(waves: int) -> tuple[Splats, Camera]:
    """Splats of which nothing will be drawn."""
    splats = Splats(
        means=torch.rand(SPLATS, 3),
        quats=torch.rand(SPLATS, 4),
        scales=torch.rand(SPLATS, 3),
        opacities=torch.rand(SPLATS),
        sh=torch.rand(SPLATS, 16, 3),
        frequencies=torch.rand(SPLATS, waves, 3),
        coefficients=torch.rand(SPLATS, waves, 2),
    )
    return splats, Camera(torch.eye(4), torch.eye(3), SIZE)


def leaves_of(splats: Splats) -> Splats:
    """The same with room for gradients."""
    return splats.map(lambda tensor: tensor.detach().requires_grad_())


def our_calls(waves: int) -> dict[str, Callable[[], object]]:
    """What is measured of ours."""
    splats, camera = scene(waves)
    fit, runner = OurFit(splats, camera), StepRunner(torch.device("cpu"), RenderSettings())
    upstream = torch.ones(SIZE[1], SIZE[0], 3)

    @torch.no_grad()
    def picture() -> Tensor:
        return render(splats, camera).color

    def gradient() -> None:
        render(leaves_of(splats), camera).color.backward(upstream)

    return {
        "viewer's picture": lambda: render_bytes(splats, camera),
        "picture": picture,
        "gradient": gradient,
        "step": lambda: fit.step(runner),
    }


def stubs() -> SimpleNamespace:
    """gsplat's compiled functions, without what they do: they return tensors of the right shapes,
    without history."""
    n, (width, height) = SPLATS, SIZE
    one, two, three = torch.ones(1, n), torch.ones(1, n, 2), torch.ones(1, n, 3)
    ids = torch.zeros(n, dtype=torch.int32)
    offsets = torch.zeros(1, -(-height // 16), -(-width // 16), dtype=torch.int32)
    image, alphas = torch.zeros(1, height, width, 3), torch.zeros(1, height, width, 1)

    def returning(*tensors: Tensor | None) -> Callable[..., Any]:
        def call(*_: object) -> Any:
            fresh = [None if t is None else torch.empty_like(t) for t in tensors]
            return fresh[0] if len(fresh) == 1 else tuple(fresh)

        return call

    return SimpleNamespace(
        CameraModelType=0,
        PINHOLE=0,
        projection_ewa_3dgs_fused_fwd=returning(two.int(), two, one, three, one),
        projection_ewa_3dgs_fused_bwd=returning(three[0], None, torch.ones(n, 4), three[0], None),
        spherical_harmonics_fwd=returning(three),
        spherical_harmonics_bwd=returning(torch.ones(1, n, 16, 3), three),
        intersect_tile=returning(ids, ids.long(), ids),
        intersect_offset=returning(offsets),
        rasterize_to_pixels_3dgs_fwd=returning(image, alphas, ids),
        rasterize_to_pixels_3dgs_bwd=returning(two, two, three, three, one),
    )


def gsplat_calls() -> dict[str, Callable[[], object]]:
    """What is measured of gsplat's Python."""
    import gsplat

    setattr(gsplat, "csrc", stubs())  # noqa: B010 - what it would compile, or bring along
    splats, camera = scene(0)
    names = ("means", "quats", "scales", "opacities", "colors")
    parameters = (splats.means, splats.quats, splats.scales, splats.opacities, splats.sh)
    options: dict[str, Any] = {
        "viewmats": camera.world_to_camera[None],
        "Ks": camera.intrinsics[None],
        "width": SIZE[0],
        "height": SIZE[1],
        "sh_degree": 3,
        "packed": False,
    }
    upstream = torch.ones(1, SIZE[1], SIZE[0], 3)

    @torch.no_grad()
    def picture() -> object:
        return gsplat.rasterization(**dict(zip(names, parameters, strict=True)), **options)

    def gradient() -> None:
        leaves = [tensor.detach().requires_grad_() for tensor in parameters]
        color, _, _ = gsplat.rasterization(**dict(zip(names, leaves, strict=True)), **options)
        color.backward(upstream)

    return {"picture": picture, "gradient": gradient}


def medians(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of each, which take turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(-WARM_UP, ROUNDS):
        for name, call in calls.items():
            started = time.perf_counter()
            for _ in range(IN_A_ROW):
                call()
            if turn >= 0:
                times[name].append((time.perf_counter() - started) / IN_A_ROW)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Run the benchmark."""
    options = tyro.cli(Options, description=__doc__)
    if torch.cuda.is_available():
        sys.exit("this machine has a GPU: benchmarks/gpu/gpu.py measures pictures whole")
    console.print(machine())
    torch.set_num_threads(1)
    with idle_driver() as driver:
        figures = measure(driver)
    table = Table("what", "in torch.adds", "us", "own kernels", "torch's", box=None)
    for figure in figures:
        counts = [
            str(sum(figure[key].values())) if key in figure else "-" for key in ("own", "torch")
        ]
        microseconds = f"{1e6 * figure['seconds']:.0f}"
        table.add_row(figure["what"], f"{figure['adds']:.0f}", microseconds, *counts)
    console.print(table)
    if options.json is not None:
        write(options.json, figures)


def measure(driver: Driver) -> list[dict[str, Any]]:
    """Times of all calls, and what ours queue."""
    # Tensors on the CPU go to the CUDA backend, as in the tests with an emulator.
    with use_backend("cpu", CudaBackend(driver)):
        theirs = {f"{what}, gsplat's Python": call for what, call in gsplat_calls().items()}
        eight = torch.ones(8)
        unit = {"torch.add": lambda: torch.add(eight, eight)}
        seconds = medians({**all_our_calls(), **theirs, **unit})
    counter = CountingLauncher(driver)
    queued: dict[str, dict[str, dict[str, int]]] = {}
    with use_backend("cpu", CudaBackend(counter)):
        for name, call in all_our_calls().items():
            for _ in range(WARM_UP):
                call()
            counter.launched.clear()
            with Queued() as operations:
                call()
            torchs = dict(operations.operations)
            queued[name] = {"own": dict(Counter(counter.launched)), "torch": torchs}
    unit_seconds = seconds["torch.add"]
    return [
        {"what": name, "adds": taken / unit_seconds, "seconds": taken, **queued.get(name, {})}
        for name, taken in seconds.items()
    ]


def all_our_calls() -> dict[str, Callable[[], object]]:
    """What is measured of ours, without waves and with."""
    return {f"{what}, K = {k}": call for k in (0, 2) for what, call in our_calls(k).items()}


if __name__ == "__main__":
    main()
