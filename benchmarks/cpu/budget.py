"""What to do with a given time: how many splats, and whether photos begin small.

    python -m benchmarks.cpu.budget SCENE [SCENE ...] [--max-size 480 960] [--seconds 60]
        [--max-splats 30000 0] [--stages none 4:0.15,2:0.4] [--json FILE]

Trains every scene with every choice for the same time, and prints test PSNR. The time is not that
of a clock, which other programs would disturb, but of a model of a step, a + b * splats + c *
pixels, of a server's CPU; so results are the same anywhere. With --steps all take as
many steps instead. A stage 4:0.15 has photos four times smaller until 15 % of the run; 0 splats are
as many as `gaborsplat train --time` would choose by that model.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.table import Table

from benchmarks.support.report import write
from gaborsplat.console import console
from gaborsplat.devices import machine
from gaborsplat.renderer.training import StepTime, TrainConfig, Trainer, evaluate
from gaborsplat.renderer.training.cost.plan import LEAST_STEPS, MOST, Budget
from gaborsplat.renderer.training.gabor.wave_init import PICTURES
from gaborsplat.renderer.training.pacing import pace, resolution
from gaborsplat.scenes import load_capture

STEP = StepTime(fixed=4.5e-3, per_splat=1.5e-6, per_pixel=4.2e-7, decode=0.0)
"""The model; of two threads of an Intel Xeon with AVX-512 at 2.5 GHz, by `time_steps`."""


@dataclass(frozen=True)
class Options:
    """What to train."""

    scenes: tyro.conf.Positional[tuple[Path, ...]]
    max_size: tuple[int, ...] = (480,)
    seconds: float = 60.0
    steps: int | None = None
    max_splats: tuple[int, ...] = (30_000,)
    stages: tuple[str, ...] = ("none", "4:0.15,2:0.4")
    gabor: Literal[0, 1, 2, 4] = 2
    seed: int = 0
    json: Path | None = None


def stages_of(text: str) -> tuple[tuple[int, float], ...]:
    """What `resolution.STAGES` shall be."""
    words = [] if text == "none" else [word.split(":") for word in text.split(",")]
    return tuple((int(times), float(until)) for times, until in words)


class Clock:
    """Time by the model, moved after every step."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def move(self, trainer: Trainer, pixels: float, times: int, waves: bool) -> None:
        """Count a step with photos so many `times` smaller than of so many `pixels`, and the birth
        of `waves`, which looks at whole photos."""
        splats = len(trainer.parameters["means"])
        self.seconds += STEP.of(splats, pixels / times**2)
        self.seconds += PICTURES * STEP.of(splats, pixels) if waves else 0.0


def learn(scene: Path, size: int, splats: int, stages: str, options: Options) -> dict[str, Any]:
    """One run."""
    capture = load_capture(scene, max_size=size)
    resolution.STAGES = stages_of(stages)
    pace.now = clock = Clock()
    config = TrainConfig(gabor=options.gabor, seed=options.seed)
    config = config.or_else({"coarse_to_fine": stages != "none"})
    if options.steps is None:
        config = config.or_else({"time": options.seconds})
    sizes = [view.camera.size for view in capture.train]
    budget = Budget(STEP, sizes, kept=sys.maxsize, points=len(capture.points))
    splats = splats or budget.splats(config, options.seconds, MOST)
    config = config.or_else({"max_splats": splats})
    steps = options.steps or max(LEAST_STEPS, round(budget.steps(config, options.seconds)))
    given = {"steps" if options.steps else "expected_steps": steps}
    trainer = Trainer(capture, config.or_else(given))
    width, height = capture.train[0].camera.size
    born = False
    while not trainer.done:
        trainer.step()
        times = resolution.reduction_at(trainer.pace.progress)
        waves = bool(trainer.parameters["coefficients"].any()) if not born else False
        clock.move(trainer, width * height, times, waves)
        born |= waves
    found = evaluate(trainer.splats(), capture.test, trainer.settings)
    return {
        "scene": capture.name,
        "size": size,
        "max_splats": splats,
        "stages": stages,
        "steps": trainer.steps_done,
        "seconds": clock.seconds,
        "psnr": found.psnr,
        "ssim": found.ssim,
    }


def main() -> None:
    """Run the benchmark."""
    options = tyro.cli(Options, description=__doc__)
    table = Table("scene", "size", "splats", "stages", "steps", "seconds", "PSNR", "SSIM")
    runs: list[dict[str, Any]] = []
    choices = product(options.scenes, options.max_size, options.max_splats, options.stages)
    for scene, size, splats, stages in choices:
        run = learn(scene, size, splats, stages, options)
        runs.append(run)
        console.print(", ".join(f"{name} {value}" for name, value in run.items()))
        *names, steps, seconds, psnr, ssim = run.values()
        figures = f"{steps:,}", f"{seconds:.1f}", f"{psnr:.2f}", f"{ssim:.4f}"
        table.add_row(*map(str, names), *figures)
    console.print(machine())
    console.print(table)
    if options.json is not None:
        write(options.json, runs)


if __name__ == "__main__":
    main()
