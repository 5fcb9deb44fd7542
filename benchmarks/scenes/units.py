"""A capture in other units of length and far from zero, against the capture itself.

    python -m benchmarks.scenes.units SCENE [--steps 300] [--max-size 240] [--out RESULTS.json]

The model is scaled and moved by COLMAP's own library (pycolmap), written, read as any capture is
and trained on with several seeds. UTM: metres in zone 33, where Berlin is.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import pycolmap
import tyro

from benchmarks.support.report import write
from gaborsplat.console import console
from gaborsplat.renderer.training import TrainConfig, train
from gaborsplat.scenes import load_capture

UTM = (391_000.0, 5_820_000.0, 34.0)
FRAMES: dict[str, tuple[float, tuple[float, float, float]]] = {
    "as it is": (1.0, (0.0, 0.0, 0.0)),
    "x 1e-6": (1e-6, (0.0, 0.0, 0.0)),
    "x 1e-4": (1e-4, (0.0, 0.0, 0.0)),
    "x 1e4": (1e4, (0.0, 0.0, 0.0)),
    "x 1e6": (1e6, (0.0, 0.0, 0.0)),
    "UTM": (1.0, UTM),
}
MEASURED = ("steps", "max_size", "max_splats", "gabor", "seeds")
"""The options that results depend on."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    scene: tyro.conf.Positional[Path]
    """Folder of a capture: images/ and sparse/0/."""
    steps: int = 300
    """Steps of each run."""
    max_size: int = 240
    """Longest side of the photos."""
    max_splats: int = 8000
    """Splats of each run."""
    gabor: int = 2
    """Waves per splat."""
    seeds: int = 2
    """Runs in each frame."""
    out: Path | None = None
    """JSON file for the results."""


def write_moved(scene: Path, scale: float, shift: tuple[float, float, float], folder: Path) -> None:
    """The capture with coordinates scaled, then moved."""
    (folder / "images").symlink_to((scene / "images").resolve())
    model = pycolmap.Reconstruction(str(scene / "sparse" / "0"))
    model.transform(pycolmap.Sim3d(scale, pycolmap.Rotation3d(), np.array(shift)))
    (folder / "sparse" / "0").mkdir(parents=True)
    model.write_binary(str(folder / "sparse" / "0"))


def psnr_of(scene: Path, options: Options) -> float:
    """Of the test views, mean over the seeds [dB]."""
    capture = load_capture(scene, max_size=options.max_size)
    found: list[float] = []
    for seed in range(options.seeds):
        config = TrainConfig(
            steps=options.steps, max_splats=options.max_splats, gabor=options.gabor, seed=seed
        )
        psnr = train(capture, config, device="cpu").evaluation.psnr
        assert psnr is not None
        found.append(psnr)
    return mean(found)


def main(options: Options) -> None:
    """Trains in every frame, and prints the differences."""
    results: dict[str, float] = {}
    for name, (scale, shift) in FRAMES.items():
        with tempfile.TemporaryDirectory() as folder:
            write_moved(options.scene, scale, shift, Path(folder))
            results[name] = psnr_of(Path(folder), options)
        difference = results[name] - results["as it is"]
        console.print(f"{name:10} {results[name]:6.2f} dB {difference:+.2f}")
    if options.out:
        settings = {name: value for name, value in vars(options).items() if name in MEASURED}
        write(options.out, {**settings, "scene": options.scene.name, "psnr": results})


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
