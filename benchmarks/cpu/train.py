"""How fast a capture is learnt: steps per second, and seconds to a given test PSNR.

    python -m benchmarks.cpu.train SCENE [--max-size 480] [--steps 1500] [--psnr 30]
    python -m benchmarks.cpu.train SCENE --device cuda --max-size None --max-splats 200000 \\
        --steps 7000 30000 --seconds 600

On the CPU it trains twice in turn, with the fastest instruction set on all threads, and with the
portable one on a single thread, which is what a plain build would do. On a GPU, with our rasterizer
and with gsplat's, without waves, in the same trainer; and with ours and waves; for every number of
steps. Prints every run when it is done, and their ratio. Evaluations are not counted.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import tyro

from benchmarks.support.report import write
from gaborsplat.console import console, decimals
from gaborsplat.devices import machine, pick_device
from gaborsplat.renderer.training import TrainConfig, Trainer, evaluate
from gaborsplat.scenes import InputError, load_capture

EVERY, MOST_EVALUATIONS = 50, 100
"""Steps between two evaluations, or more: a run has so many at most."""

Run = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What to train."""

    scene: tyro.conf.Positional[Path]
    max_size: int | None = 480
    steps: tuple[int, ...] = (1500,)
    gabor: int = 2
    max_splats: int = 30_000
    device: Literal["cpu", "cuda"] = "cpu"
    gsplat: bool = True
    """On a GPU, whether its rasterizer is measured too; without, nothing waits for its kernels."""
    psnr: float = 30.0
    slow_steps: int = 300
    """Steps of the single-threaded run; its rate is all that is wanted."""
    seconds: float | None = None
    """No run starts that, at the pace of the slowest one before, would end later."""
    json: Path | None = None
    """Written again after every run."""


def learn(options: Options, steps: int, most_steps: int, rasterizer: str = "ours") -> Run:
    """One run: the first `steps` of a fit of `most_steps`."""
    started = time.monotonic()
    capture = load_capture(options.scene, max_size=options.max_size)
    config = TrainConfig(
        steps=most_steps,
        gabor=options.gabor,  # type: ignore[arg-type]
        max_splats=options.max_splats,
    )
    runner = None
    if rasterizer == "gsplat":
        from gsplat.strategy.ops import inject_noise_to_position

        from benchmarks.gpu.foreign import ForeignRunner
        from benchmarks.gpu.subject import gsplat_rasterization

        # That rasterizer does not tell what splats add to photos.
        config = replace(config, exchange=0.0)
        runner = ForeignRunner(
            gsplat_rasterization()[1],
            config.render_settings(),
            config.ssim_weight,
            add_noise=inject_noise_to_position,
        )
    trainer = Trainer(capture, config, options.device, runner=runner)
    reached, quality, every = None, None, max(EVERY, most_steps // MOST_EVALUATIONS)
    for step in range(1, steps + 1):
        trainer.step()
        if step % every == 0 or step == steps:
            quality = evaluate(trainer.splats(), capture.test, trainer.settings).psnr
            if reached is None and quality is not None and quality >= options.psnr:
                reached = trainer.seconds
    return {
        "steps": steps,
        "seconds": trainer.seconds,
        "seconds_with_evaluations": time.monotonic() - started,
        "psnr": quality,
        "seconds_to": reached,
    }


@dataclass(frozen=True)
class Planned:
    """A run to come."""

    name: str
    options: Options
    steps: int
    most_steps: int
    environment: dict[str, str]
    rasterizer: str = "ours"

    def done(self) -> Run:
        """The run, in a process of its own with this environment."""
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                task = (self.options, self.steps, self.most_steps, self.rasterizer)
                return pool.submit(learn, *task).result() | {"environment": self.environment}
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def planned(options: Options) -> Iterator[Planned]:
    """All runs, in their order."""
    for steps in options.steps:
        if options.device == "cuda":
            plain = replace(options, gabor=0)
            yield Planned(f"ours, K = 0, {steps} steps", plain, steps, steps, {})
            if options.gsplat:
                yield Planned(f"gsplat, K = 0, {steps} steps", plain, steps, steps, {}, "gsplat")
            if options.gabor:
                name = f"ours, K = {options.gabor}, {steps} steps"
                yield Planned(name, options, steps, steps, {})
        else:
            alone = {"GABORSPLAT_ISA": "portable", "GABORSPLAT_THREADS": "1"}
            alone |= {"OMP_NUM_THREADS": "1"}
            few = min(options.slow_steps, steps)
            yield Planned(f"portable, 1 thread, {steps} steps", options, few, steps, alone)
            yield Planned(f"all, {steps} steps", options, few, steps, {})
            yield Planned(f"all, {steps} steps, to the end", options, steps, steps, {})


def ratios(options: Options, runs: dict[str, Run]) -> dict[int, float]:
    """By steps, how many times as fast ours is as gsplat's, or all of the machine as a thread."""
    slow, fast = ("gsplat", "ours") if options.device == "cuda" else ("portable", "all")
    found: dict[int, float] = {}
    for steps in options.steps:
        names = [name for name in runs if f", {steps} steps" in name]
        both = [[name for name in names if name.startswith(who)] for who in (slow, fast)]
        if all(both):
            found[steps] = runs[both[0][0]]["seconds"] / runs[both[1][0]]["seconds"]
    return found


def learn_all(options: Options) -> dict[str, Run]:
    """Every run that fits into the time, shown and written as it ends."""
    runs: dict[str, Run] = {}
    started = time.monotonic()
    for plan in planned(options):
        paces = [run["seconds_with_evaluations"] / run["steps"] for run in runs.values()]
        ends = time.monotonic() - started + max(paces, default=0.0) * plan.steps
        if options.seconds is not None and ends > options.seconds:
            console.print(f"{plan.name}: left out, it would end after {ends:.0f} s")
            continue
        try:
            run = plan.done()
        except RuntimeError as error:
            if plan.rasterizer == "ours":
                raise
            console.print(f"{plan.name}: left out, {error}")
            continue
        runs[plan.name] = run
        console.print(
            f"{plan.name}: {run['steps']} steps in {run['seconds']:.1f} s, "
            f"{run['steps'] / run['seconds']:.1f} a second, test PSNR {decimals(run['psnr'], 2)}, "
            f"seconds to {options.psnr} dB: {decimals(run['seconds_to'], 1)}"
        )
        if options.json is not None:
            settings = asdict(options) | {"scene": options.scene.name, "json": None}
            found = {"options": settings, "runs": runs, "ratios": ratios(options, runs)}
            write(options.json, found)
    return runs


def main() -> None:
    """Run the benchmark."""
    options = tyro.cli(Options, description=__doc__)
    if min((*options.steps, options.slow_steps), default=0) < 1:
        sys.exit("--steps and --slow-steps: must be 1 or more")
    console.print(machine())
    try:
        pick_device(options.device)
        runs = learn_all(options)
    except InputError as error:
        sys.exit(str(error))
    for steps, ratio in ratios(options, runs).items():
        console.print(f"{steps} steps: {ratio:.1f} times as fast")


if __name__ == "__main__":
    main()
