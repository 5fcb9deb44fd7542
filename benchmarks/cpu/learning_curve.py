"""How well, how fast and how large a capture is learnt, with waves and without, in one run.

    python -m benchmarks.cpu.learning_curve SCENE [SCENE ...] [--max-size 480] [--gabor 0 2]

Trains every scene once per number of waves, one after the other, and prints test PSNR along the
way, seconds, splats and bytes, and what each run gains over the first number of waves. With --json
FILE it writes them with the machine and the versions.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import tyro
from rich.table import Table

from benchmarks.support.report import write
from gaborsplat.console import console
from gaborsplat.devices import machine, peak_memory
from gaborsplat.renderer.training import TrainConfig, Trainer, evaluate
from gaborsplat.scenes import load_capture

MEASURED_AT = (1 / 6, 1 / 3, 2 / 3, 1.0)
"""Fractions of the run."""


@dataclass(frozen=True)
class Options:
    """What to train."""

    scenes: tyro.conf.Positional[tuple[Path, ...]]
    max_size: int = 480
    steps: int = 1500
    gabor: tuple[int, ...] = (0, 2)
    strategy: str = "mcmc"
    max_splats: int = TrainConfig.max_splats
    seed: int = 0
    json: Path | None = None


def learn(scene: Path, waves: int, options: Options) -> dict[str, Any]:
    """One run."""
    capture = load_capture(scene, max_size=options.max_size)
    config = TrainConfig(
        steps=options.steps,
        gabor=waves,  # type: ignore[arg-type]
        strategy=options.strategy,  # type: ignore[arg-type]
        max_splats=options.max_splats,
        seed=options.seed,
    )
    trainer = Trainer(capture, config)
    stops = [round(fraction * options.steps) for fraction in MEASURED_AT]
    curve: dict[int, float | None] = {}
    ssim = None
    while not trainer.done:
        step = trainer.step().step
        if step in stops:
            quality = evaluate(trainer.splats(), capture.test, trainer.settings)
            curve[step], ssim = quality.psnr, quality.ssim
    splats = trainer.splats()
    return {
        "scene": capture.name,
        "gabor": waves,
        "psnr": curve,
        "ssim": ssim,
        "seconds": trainer.seconds,
        "splats": len(splats),
        "bytes": splats.nbytes,
        "peak_memory_bytes": peak_memory(),
    }


def learn_apart(scene: Path, waves: int, options: Options) -> dict[str, Any]:
    """`learn` in a process of its own, so that the peak of its memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(learn, scene, waves, options).result()


def show(runs: list[dict[str, Any]]) -> None:
    """A table, and what each run gains over the first of its scene."""
    table = Table("scene", "K", *(f"PSNR @{step}" for step in runs[0]["psnr"]), "SSIM", "seconds")
    for column in ("splats", "MB", "peak GB", "dB gained", "time ratio", "bytes ratio"):
        table.add_column(column)
    first: dict[str, dict[str, Any]] = {}
    for run in runs:
        peer = first.setdefault(run["scene"], run)
        final, reference = list(run["psnr"].values())[-1], list(peer["psnr"].values())[-1]
        table.add_row(
            run["scene"],
            str(run["gabor"]),
            *(f"{psnr:.2f}" for psnr in run["psnr"].values()),
            f"{run['ssim']:.4f}",
            f"{run['seconds']:.0f}",
            f"{run['splats']:,}",
            f"{run['bytes'] / 1e6:.1f}",
            f"{run['peak_memory_bytes'] / 1e9:.2f}",
            f"{final - reference:+.2f}",
            f"{run['seconds'] / peer['seconds']:.2f}",
            f"{run['bytes'] / peer['bytes']:.2f}",
        )
    console.print(table)


def main() -> None:
    """Run the benchmark."""
    options = tyro.cli(Options, description=__doc__)
    runs = [
        learn_apart(scene, waves, options) for scene in options.scenes for waves in options.gabor
    ]
    console.print(machine())
    show(runs)
    if options.json is not None:
        write(options.json, runs)


if __name__ == "__main__":
    main()
