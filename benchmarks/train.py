"""How fast a capture is learnt: steps per second, and seconds to a given test PSNR.

    python benchmarks/train.py SCENE [--max-size 480] [--steps 1500] [--psnr 30]

Trains twice in turn, with the fastest instruction set on all threads, and with the portable one on
a single thread, which is what a plain build would do; prints both and their ratio. Evaluations are
not counted.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import tyro
from report import write
from rich.table import Table

from gaborsplat.console import console
from gaborsplat.devices import machine
from renderer.fit import TrainConfig, Trainer, evaluate
from scenes import load_capture

EVERY = 50
"""Steps between two evaluations."""


@dataclass(frozen=True)
class Options:
    """What to train."""

    scene: tyro.conf.Positional[Path]
    max_size: int = 480
    steps: int = 1500
    gabor: int = 2
    psnr: float = 30.0
    slow_steps: int = 300
    """Steps of the single-threaded run; its rate is all that is wanted."""
    json: Path | None = None


def learn(options: Options, steps: int) -> dict[str, Any]:
    """One run."""
    capture = load_capture(options.scene, max_size=options.max_size)
    config = TrainConfig(steps=options.steps, gabor=options.gabor)  # type: ignore[arg-type]
    trainer = Trainer(capture, config)
    reached, quality = None, None
    for step in range(1, steps + 1):
        trainer.step()
        if step % EVERY == 0 or step == steps:
            quality = evaluate(trainer.splats(), capture.test, config.render_settings()).psnr
            if reached is None and quality is not None and quality >= options.psnr:
                reached = trainer.seconds
    return {"steps": steps, "seconds": trainer.seconds, "psnr": quality, "seconds_to": reached}


def apart(options: Options, steps: int, environment: dict[str, str]) -> dict[str, Any]:
    """`learn` in a process with this environment."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(learn, options, steps).result() | {"environment": environment}
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def main() -> None:
    """Run the benchmark."""
    options = tyro.cli(Options, description=__doc__)
    plain = {"GABORSPLAT_ISA": "portable", "GABORSPLAT_THREADS": "1", "OMP_NUM_THREADS": "1"}
    slow = apart(options, options.slow_steps, plain)
    part = apart(options, options.slow_steps, {})
    whole = apart(options, options.steps, {})
    console.print(machine())
    reached = f"seconds to {options.psnr} dB"
    table = Table("run", "steps", "seconds", "steps/s", "test PSNR", reached)
    for name, run in (("portable, 1 thread", slow), ("all", part), ("all, to the end", whole)):
        table.add_row(
            name,
            str(run["steps"]),
            f"{run['seconds']:.1f}",
            f"{run['steps'] / run['seconds']:.1f}",
            f"{run['psnr']:.2f}",
            "-" if run["seconds_to"] is None else f"{run['seconds_to']:.1f}",
        )
    console.print(table)
    ratio = slow["seconds"] / part["seconds"]
    console.print(f"{ratio:.1f} times as fast over the first {options.slow_steps} steps")
    if options.json is not None:
        write(
            options.json,
            {
                "options": asdict(options) | {"scene": options.scene.name, "json": None},
                "portable": slow,
                "same_steps": part,
                "whole": whole,
                "ratio": ratio,
            },
        )


if __name__ == "__main__":
    main()
