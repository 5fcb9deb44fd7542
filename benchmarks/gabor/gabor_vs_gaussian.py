"""Gabor splats against Gaussian ones, over captures, sizes, strategies and seeds.

    python -m benchmarks.gabor.gabor_vs_gaussian RESULTS.json [--scenes DIR ...] [--minutes 10]

Trains the texture suite (textures.py beside this; written to --suite when it is not there) and the
given captures with every number of waves and every cap on splats. Each run is judged on its test
views: PSNR, SSIM, FLIP, PSNR of the upper half of the spectrum, and PSNR of a picture an eighth as
large against the photo averaged. A run that is already in RESULTS.json is not made again, so that
the program can be stopped and started; with --minutes it stops by itself. --variants trains with a
part of the method changed (see VARIANTS). Then it prints the tables of docs/gabor.md, and writes
them, curves and crops beside RESULTS.json.

Equal bytes: the Gaussian's PSNR between its own sizes, linear in the logarithm of bytes. Equal
seconds: the same between its runs of different --steps, so it needs more than one.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import tyro

from benchmarks.gabor.gabor_tables import draw_crops, draw_curves, markdown
from benchmarks.gabor.image_quality import measure, waves_in_use
from benchmarks.gabor.textures import CAPTURES, load, write_suite
from benchmarks.support.report import commit, write
from gaborsplat.console import console
from gaborsplat.renderer.raster.render import render_bytes
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats
from gaborsplat.renderer.training import LearningRates, TrainConfig, Trainer, evaluate
from gaborsplat.renderer.training.data import TrainingView

VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    "random": {"wave_birth": "random"},
    "unlimited": {"wave_limit": False},
    "late": {"wave_start": 0.4},
    "slow": {"learning_rates": LearningRates(coefficients=5e-3)},
}
"""Changes to the configuration, by the name of what is left out or done otherwise."""
CROP = (128, 96)
"""(width, height) [px] of what is shown of a test view."""


@dataclass(frozen=True)
class Options:
    """What to train."""

    results: tyro.conf.Positional[Path]
    suite: Path = Path("runs/texture-suite")
    """Where the texture suite is, or shall be written."""
    captures: tuple[str, ...] = tuple(CAPTURES)
    """Of the suite."""
    scenes: tuple[Path, ...] = ()
    """COLMAP captures besides, with longest side `max_size`."""
    max_size: int = 480
    gabor: tuple[int, ...] = (0, 2)
    splats: tuple[int, ...] = (5000, 10_000)
    strategies: tuple[str, ...] = ("mcmc",)
    seeds: int = 1
    steps: tuple[int, ...] = (1500,)
    variants: tuple[str, ...] = ("",)
    shown: int = 5000
    """Splats of the runs that crops are shown of."""
    minutes: float | None = None
    """No run starts later than this."""


@dataclass(frozen=True)
class Run:
    """What is trained, and how."""

    capture: str
    gabor: int
    splats: int
    strategy: str
    seed: int
    steps: int
    max_size: int
    variant: str = ""


def train(run: Run, folder: Path, options: Options) -> dict[str, Any]:
    """One run, and what came of it."""
    data = load(folder, run.max_size)
    config = TrainConfig(
        steps=run.steps,
        gabor=run.gabor,  # type: ignore[arg-type]
        max_splats=run.splats,
        strategy=run.strategy,  # type: ignore[arg-type]
        seed=run.seed,
    )
    trainer = Trainer(data, replace(config, **VARIANTS[run.variant]))
    while not trainer.done:
        trainer.step()
    splats, settings = trainer.splats(), trainer.settings
    if (run.splats, run.seed, run.variant) == (options.shown, 0, ""):
        save_crops(run, splats, data.test[len(data.test) // 2], crops_beside(options.results))
    quality = evaluate(splats, data.test, settings)
    cameras = [view.camera for view in (*data.train, *data.test)]
    return asdict(run) | {
        "commit": commit(),
        "psnr": quality.psnr,
        "ssim": quality.ssim,
        "seconds": trainer.seconds,
        "count": len(splats),
        "bytes": splats.nbytes,
        **measure(splats, data.test, settings),
        **waves_in_use(splats, cameras, settings),
    }


def crops_beside(results: Path) -> Path:
    """Folder of the pictures that belong to a file of results."""
    return results.with_name(f"{results.stem}-crops")


def save_crops(run: Run, splats: Splats, view: TrainingView, folder: Path) -> None:
    """The middle of a test view, rendered and photographed."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = render_bytes(splats, view.camera, RenderSettings())
    method = f"1-K = {run.gabor}, {run.strategy}, {run.steps} steps"
    for name, picture in ((method, shown), ("0-photo", view.image())):
        pixels = picture.numpy()[..., ::-1]
        left, top = (max(0, (pixels.shape[1 - axis] - CROP[axis]) // 2) for axis in (0, 1))
        crop = pixels[top : top + CROP[1], left : left + CROP[0]]
        cv2.imwrite(str(folder / f"{run.capture}-{name}.png"), crop)


def train_apart(*arguments: Any) -> dict[str, Any]:
    """`train` in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(train, *arguments).result()


def wanted(options: Options) -> Iterator[tuple[Run, Path]]:
    """All runs, those of one seed together."""
    folders = [options.suite / name for name in options.captures] + list(options.scenes)
    axes = (range(options.seeds), folders, options.steps, options.splats, options.strategies)
    for seed, folder, steps, splats, strategy in itertools.product(*axes):
        for gabor, variant in itertools.product(options.gabor, options.variants):
            if gabor > 0 or not variant:  # all variants are about waves
                size = options.max_size
                yield Run(folder.name, gabor, splats, strategy, seed, steps, size, variant), folder


def main() -> None:
    """Train what is missing, then show everything."""
    options = tyro.cli(Options, description=__doc__)
    write_suite(options.suite)
    done: list[dict[str, Any]] = []
    if options.results.is_file():
        done = json.loads(options.results.read_text(encoding="utf-8"))["runs"]
    keys = set(Run.__dataclass_fields__)
    known = {Run(**{key: run[key] for key in keys}) for run in done}
    minutes = float("inf") if options.minutes is None else options.minutes
    deadline = time.monotonic() + 60 * minutes
    for run, folder in wanted(options):
        if run in known:
            continue
        if time.monotonic() > deadline:
            console.print("Out of time; start again to go on.")
            break
        done.append(train_apart(run, folder, options))
        write(options.results, done)
        console.print(
            f"{run.capture:10} K={run.gabor} {run.splats:6} {run.variant:12} seed {run.seed} "
            f"{done[-1]['psnr']:.2f} dB {done[-1]['seconds']:.1f} s"
        )
    tables = markdown(done)
    options.results.with_suffix(".md").write_text(tables, encoding="utf-8")
    if done:
        draw_curves(done, options.results.with_suffix(".png"))
    draw_crops(crops_beside(options.results), options.results.with_suffix(".jpg"))
    print(tables)


if __name__ == "__main__":
    main()
