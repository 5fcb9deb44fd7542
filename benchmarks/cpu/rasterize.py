"""How fast the CPU backend draws, and finds gradients, of one scene.

    python -m benchmarks.cpu.rasterize [GARDEN.npz] [--quick]

GARDEN.npz is gsplat's assets/test_garden.npz (138,766 points, 648 x 420); without it the scene is
a box of random points. Every configuration of waves, harmonics, threads and instruction set is
measured in turn, again and again. Each median stands beside two others from the same run: that of
a straightforward scalar loop of the same mathematics on one thread (scalar_loop.cpp beside this),
and the floor that this machine's own rate of multiply-adds and memory bandwidth allow.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import tyro
from rich.table import Table

from benchmarks.cpu.peer import ScalarLoop, bytes_per_second, floor_seconds
from benchmarks.support.report import summary, timed, write
from benchmarks.support.workload import Workload, load
from gaborsplat.console import console
from gaborsplat.devices import machine

ISAS = ("avx512", "avx2", "portable")


@dataclass(frozen=True)
class Options:
    """What to measure."""

    garden: tyro.conf.Positional[Path | None] = None
    rounds: int = 15
    quick: bool = False
    """K = 0 and 2, harmonics of degree 0, both threads, the fastest instruction set."""
    json: Path | None = None


@dataclass(frozen=True)
class Job:
    """One configuration."""

    work: Workload
    isa: str
    threads: int
    backward: bool


def serve(pipe: Connection, garden: Path | None) -> None:
    """Measures jobs in a process of its own: the instruction set is chosen once per process."""
    import torch

    from gaborsplat.renderer import _native
    from gaborsplat.renderer.raster.render import render_bytes
    from gaborsplat.renderer.settings import RenderSettings

    try:
        pipe.send(_native.cpu.isa())
    except ValueError:
        pipe.send(None)  # this machine lacks it
        return
    scenes: dict[Workload, Any] = {}
    while (job := pipe.recv()) is not None:
        if job.work not in scenes:
            scenes[job.work] = load(job.work, garden)
        splats, camera = scenes[job.work]
        torch.set_num_threads(job.threads)
        if _native.cpu.threads() != job.threads:
            _native.cpu.set_threads(job.threads)
        pass_ = there_and_back if job.backward else render_bytes
        pipe.send(timed(partial(pass_, splats, camera, RenderSettings())))


def there_and_back(splats: Any, camera: Any, settings: Any) -> None:
    """Forward, and backward to all parameters of the splats."""
    from gaborsplat.renderer.backends.registry import backend_for
    from gaborsplat.renderer.raster.backward import backward
    from gaborsplat.renderer.raster.forward import RasterOptions, forward, in_view
    from gaborsplat.renderer.raster.passes import Passes

    passes = Passes(backend_for(splats.means.device))
    options = RasterOptions.of(settings, gradient=True)
    view = in_view(splats, camera, settings, options)
    drawn = forward(passes, view, options)
    backward(passes, view, drawn, (drawn.image.new_ones(drawn.image.shape), None), options)


def jobs_of(options: Options, isas: list[str]) -> list[Job]:
    """All configurations."""
    scene, size = ("garden", (648, 420)) if options.garden else ("100000", (648, 420))
    waves, degrees, threads = ((0, 1, 2, 4), (0, 3), (1, 2))
    if options.quick:
        waves, degrees, threads = ((0, 2), (0,), (2,))
    works = [Workload(scene, size, k, degree) for k in waves for degree in degrees]
    works += [Workload("50000", (480, 270), k, 0) for k in (0, 2)]
    return [
        Job(work, isa, count, backward)
        for work in works
        for isa in isas
        for count in threads
        for backward in (False, True)
    ]


def measure(options: Options) -> list[dict[str, Any]]:
    """All configurations, in turn."""
    context = get_context("spawn")
    pipes: dict[str, Connection] = {}
    for isa in ISAS:
        if options.quick and pipes:
            break
        ours, theirs = context.Pipe()
        os.environ["GABORSPLAT_ISA"] = isa
        context.Process(target=serve, args=(theirs, options.garden), daemon=True).start()
        if ours.recv() is not None:
            pipes[isa] = ours
    del os.environ["GABORSPLAT_ISA"]
    loop = ScalarLoop()
    jobs = jobs_of(options, list(pipes))
    peers = {(job.work, job.backward) for job in jobs}
    scenes = {work: load(work, options.garden) for work in {job.work for job in jobs}}
    seconds: dict[Any, list[float]] = {each: [] for each in (*jobs, *peers)}
    rates: list[tuple[float, float]] = []
    hits: dict[Workload, int] = {}
    for turn in range(options.rounds + 1):  # the first one warms up
        for job in jobs:
            pipes[job.isa].send(job)
            taken = pipes[job.isa].recv()
            seconds[job] += [taken] if turn else []
        if turn <= 3:
            rates.append((loop.multiply_adds_per_second(), bytes_per_second()))
            for work, backward in peers:
                taken, hits[work] = loop.draw(*scenes[work], backward=backward)
                seconds[work, backward].append(taken)
    for pipe in pipes.values():
        pipe.send(None)
    best = (max(rate for rate, _ in rates), max(rate for _, rate in rates))
    results: list[dict[str, Any]] = []
    for job in jobs:
        ours, peer = summary(seconds[job]), summary(seconds[job.work, job.backward])
        splats = scenes[job.work][0]
        floor = 1e3 * floor_seconds(
            hits[job.work], job.work.waves, splats, best, backward=job.backward
        )
        results.append(
            asdict(job)
            | {"ms": ours, "scalar_loop_ms": peer, "floor_ms": floor, "hits": hits[job.work]}
            | {"times_scalar": peer["median"] / ours["median"]}
            | {"times_floor": ours["median"] / floor, "rates": best}
        )
    return results


def show(results: list[dict[str, Any]]) -> None:
    """A table."""
    console.print("x scalar: how much longer the scalar loop takes; x floor: of two threads' floor")
    columns = ("scene", "K", "SH", "isa", "thr", "", "ms", "p5", "p95", "x scalar", "x floor")
    table = Table(*columns, box=None, padding=(0, 1, 0, 0))
    for run in results:
        work = run["work"]
        table.add_row(
            work["scene"],
            str(work["waves"]),
            str(work["degree"]),
            run["isa"],
            str(run["threads"]),
            "fwd+bwd" if run["backward"] else "fwd",
            *(f"{run['ms'][key]:.1f}" for key in ("median", "p5", "p95")),
            f"{run['times_scalar']:.1f}",
            f"{run['times_floor']:.1f}",
        )
    console.print(table)


def main() -> None:
    """Run the benchmark."""
    options = tyro.cli(Options, description=__doc__)
    results = measure(options)
    console.print(machine())
    show(results)
    if options.json is not None:
        write(options.json, results)


if __name__ == "__main__":
    main()
