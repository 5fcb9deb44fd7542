"""Where the time of a training step goes.

    python -m benchmarks.cpu.train_step SCENE [--max-size 480] [--max-splats 50000] [--gabor 2]

Fits a COLMAP scene until it has all its splats, then times every pass of the following steps, and
what is left: tensors, the optimiser, the strategy. Beside them stands the same picture and its
gradient by a scalar loop of the same mathematics on one thread (benchmarks/cpu/scalar_loop.cpp),
measured in turn with the steps, and the floor that this machine's rates allow.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.table import Table

from benchmarks.cpu.peer import ScalarLoop, bytes_per_second, floor_seconds
from benchmarks.support.report import summary, write
from gaborsplat.console import console
from gaborsplat.devices import machine, peak_memory
from gaborsplat.renderer.backends.base import Backend
from gaborsplat.renderer.backends.registry import backend_for, use_backend
from gaborsplat.renderer.training import TrainConfig, Trainer
from gaborsplat.scenes import load_capture

PASSES = (
    "project",
    "shade",
    "bin",
    "blend",
    "photometric_loss",
    "blend_backward",
    "begin_step",
    "shade_step",
    "project_step",
    "finish_step",
)


@dataclass(frozen=True)
class Options:
    """What to train."""

    scene: tyro.conf.Positional[Path]
    max_size: int = 480
    max_splats: int = 50_000
    gabor: int = 2
    sh_degree: int = 3
    warm_up: int = 300
    steps: int = 200
    json: Path | None = None


class TimedBackend:
    """Another backend, which adds up the seconds that its passes take in every step."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.seconds: dict[str, list[float]] = {}
        self.restart()
        self.next_step()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backend, name)
        if name not in PASSES:
            return found

        def call(*arguments: Any) -> Any:
            started = time.perf_counter()
            result = found(*arguments)
            self.seconds[name][-1] += time.perf_counter() - started
            return result

        return call

    def restart(self) -> None:
        """Forget all steps."""
        self.seconds = {name: [] for name in PASSES}

    def next_step(self) -> None:
        """Count the following calls as another step's."""
        for seconds in self.seconds.values():
            seconds.append(0.0)


def measure(options: Options, watch: TimedBackend) -> dict[str, Any]:
    """One run, whose passes are those of `watch`."""
    capture = load_capture(options.scene, max_size=options.max_size)
    config = TrainConfig(
        # The splats and their waves are there, and the harmonics too, when the warm-up ends.
        steps=2 * options.warm_up,
        gabor=options.gabor,  # type: ignore[arg-type]
        sh_degree=options.sh_degree,  # type: ignore[arg-type]
        max_splats=options.max_splats,
        refine_stop=0.45,
        grow_stop=0.4,
        wave_start=0.25,
    )
    trainer = Trainer(capture, config)
    for _ in range(options.warm_up):
        trainer.step()
    watch.restart()
    steps: list[float] = []
    loops: list[float] = []
    scalar = ScalarLoop()
    hits = 0
    camera = capture.train[0].camera
    for index in range(min(options.steps, options.warm_up)):
        before = trainer.seconds
        watch.next_step()
        trainer.step()
        steps.append(trainer.seconds - before)
        if index % 50 == 0:
            taken, hits = scalar.draw(trainer.splats(), camera, backward=True)
            loops.append(taken)
    rates = (scalar.multiply_adds_per_second(), bytes_per_second())
    stages = {name: 1e3 * statistics.median(taken) for name, taken in watch.seconds.items()}
    total = summary(steps)
    stages["all else"] = total["median"] - sum(stages.values())
    splats = trainer.splats()
    # Of everything but harmonics, which may be seen nowhere, a step reads and writes two moments.
    floor = floor_seconds(hits, options.gabor, splats, rates, backward=True)
    floor += 4 * (splats.nbytes - splats.sh.nbytes) / rates[1] / 2
    return {
        "options": asdict(options) | {"scene": capture.name, "json": None},
        "size": camera.size,
        "splats": len(splats),
        "step_ms": total,
        "stages_ms": stages,
        "scalar_loop_ms": summary(loops),
        "times_scalar": 1e3 * statistics.median(loops) / total["median"],
        "floor_ms": 1e3 * floor,
        "times_floor": total["median"] / (1e3 * floor),
        "peak_memory_bytes": peak_memory(),
    }


def main() -> None:
    """Run the benchmark."""
    options = tyro.cli(Options, description=__doc__)
    watch: Any = TimedBackend(backend_for(torch.device("cpu")))
    with use_backend("cpu", watch):
        run = measure(options, watch)
    console.print(machine())
    table = Table("stage", "ms", "share")
    for name, taken in run["stages_ms"].items():
        table.add_row(name, f"{taken:.2f}", f"{taken / run['step_ms']['median']:.0%}")
    table.add_row("whole step", f"{run['step_ms']['median']:.2f}", "100%")
    console.print(table)
    console.print(
        f"{run['splats']:,} splats, {run['size'][0]} x {run['size'][1]}, K = {options.gabor}: "
        f"{run['times_scalar']:.1f} times as fast as the scalar loop draws and differentiates "
        f"one picture, {run['times_floor']:.1f} times the floor"
    )
    if options.json is not None:
        write(options.json, run)


if __name__ == "__main__":
    main()
