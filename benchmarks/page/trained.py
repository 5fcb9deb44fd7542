"""Scenes that pages are made of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.gabor.textures import write_suite


def trained(scene: str, waves: int, steps: int, runs: Path) -> Path:
    """The run folder, in `runs`, of the demo scene or of a capture of the texture suite, trained
    for so many steps; what is there is not trained again."""
    run = runs / f"{scene}-{waves}-{steps}"
    if (run / "metrics.json").is_file():
        return run
    words = ["demo"]
    if scene != "demo":
        write_suite(runs / "suite", names=[scene])
        words = ["train", str(runs / "suite" / scene)]
    words += ["--steps", str(steps), "--gabor", str(waves), "--no-viewer", "--out", str(run)]
    subprocess.run([sys.executable, "-m", "gaborsplat", *words], check=True)
    return run
