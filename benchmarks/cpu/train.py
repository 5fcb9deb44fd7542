"""How fast a capture is learnt: steps per second, and seconds to a given test PSNR.

    python -m benchmarks.cpu.train SCENE [--max-size 480] [--steps 1500] [--psnr 30]
    python -m benchmarks.cpu.train SCENE --device cuda --max-size None --steps 7000

On the CPU it trains twice in turn, with the fastest instruction set on all threads, and with the
portable one on a single thread, which is what a plain build would do. On a GPU, with our rasterizer
and with gsplat's, without waves, in the same trainer; and with ours and waves. Prints all runs and
their ratio. Evaluations are not counted.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.table import Table

from benchmarks.support.report import write
from gaborsplat.console import console
from gaborsplat.devices import machine
from gaborsplat.renderer.training import TrainConfig, Trainer, evaluate
from gaborsplat.scenes import load_capture

EVERY = 50
"""Steps between two evaluations."""


@dataclass(frozen=True)
class Options:
    """What to train."""

    scene: tyro.conf.Positional[Path]
    max_size: int | None = 480
    steps: int = 1500
    gabor: int = 2
    max_splats: int = 30_000
    device: Literal["cpu", "cuda"] = "cpu"
    psnr: float = 30.0
    slow_steps: int = 300
    """Steps of the single-threaded run; its rate is all that is wanted."""
    json: Path | None = None


def learn(options: Options, steps: int, rasterizer: str = "ours") -> dict[str, Any]:
    """One run."""
    capture = load_capture(options.scene, max_size=options.max_size)
    config = TrainConfig(
        steps=options.steps,
        gabor=options.gabor,  # type: ignore[arg-type]
        max_splats=options.max_splats,
    )
    objective = None
    if rasterizer == "gsplat":
        from gsplat import rasterization

        from benchmarks.gpu.foreign import ForeignObjective

        objective = ForeignObjective(rasterization, config.render_settings(), config.ssim_weight)
    trainer = Trainer(capture, config, options.device, objective)
    reached, quality = None, None
    for step in range(1, steps + 1):
        trainer.step()
        if step % EVERY == 0 or step == steps:
            quality = evaluate(trainer.splats(), capture.test, config.render_settings()).psnr
            if reached is None and quality is not None and quality >= options.psnr:
                reached = trainer.seconds
    return {"steps": steps, "seconds": trainer.seconds, "psnr": quality, "seconds_to": reached}


def apart(
    options: Options, steps: int, environment: dict[str, str], rasterizer: str = "ours"
) -> dict[str, Any]:
    """`learn` in a process with this environment."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            run = pool.submit(learn, options, steps, rasterizer).result()
            return run | {"environment": environment}
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def on_cpu(options: Options) -> tuple[dict[str, dict[str, Any]], float]:
    """The runs by name, and how many times as fast all of the machine is."""
    plain = {"GABORSPLAT_ISA": "portable", "GABORSPLAT_THREADS": "1", "OMP_NUM_THREADS": "1"}
    slow = apart(options, options.slow_steps, plain)
    part = apart(options, options.slow_steps, {})
    whole = apart(options, options.steps, {})
    runs = {"portable, 1 thread": slow, "all": part, "all, to the end": whole}
    return runs, slow["seconds"] / part["seconds"]


def on_gpu(options: Options) -> tuple[dict[str, dict[str, Any]], float]:
    """The runs by name, and how many times as fast ours is as gsplat's."""
    plain = replace(options, gabor=0)
    ours = apart(plain, options.steps, {})
    theirs = apart(plain, options.steps, {}, "gsplat")
    runs = {"ours, K = 0": ours, "gsplat, K = 0": theirs}
    if options.gabor:
        runs[f"ours, K = {options.gabor}"] = apart(options, options.steps, {})
    return runs, theirs["seconds"] / ours["seconds"]


def main() -> None:
    """Run the benchmark."""
    options = tyro.cli(Options, description=__doc__)
    runs, ratio = (on_gpu if options.device == "cuda" else on_cpu)(options)
    console.print(machine())
    reached = f"seconds to {options.psnr} dB"
    table = Table("run", "steps", "seconds", "steps/s", "test PSNR", reached)
    for name, run in runs.items():
        table.add_row(
            name,
            str(run["steps"]),
            f"{run['seconds']:.1f}",
            f"{run['steps'] / run['seconds']:.1f}",
            f"{run['psnr']:.2f}",
            "-" if run["seconds_to"] is None else f"{run['seconds_to']:.1f}",
        )
    console.print(table)
    console.print(f"{ratio:.1f} times as fast")
    if options.json is not None:
        settings = asdict(options) | {"scene": options.scene.name, "json": None}
        write(options.json, {"options": settings, "runs": runs, "ratio": ratio})


if __name__ == "__main__":
    main()
