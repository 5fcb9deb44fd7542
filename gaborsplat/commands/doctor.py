"""`gaborsplat doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from ..console import console, decimal_bytes
from ..devices import machine, pick_device, versions
from ..renderer.training import TrainConfig, Trainer
from ..scenes import Capture, InputError, load_capture

STEPS_TIMED = 5


@dataclass(frozen=True)
class DoctorCommand:
    """Say what this machine can do, and what is wrong with a capture, before any training. The exit
    status is 1 if the capture cannot be trained on."""

    scene: tyro.conf.Positional[Path | None] = None
    """Folder of a capture."""
    max_size: int | None = 960
    """As for train."""
    images: str | None = None
    """As for train."""

    def run(self) -> None:
        """Print the findings."""
        for name, value in {**machine(), **versions()}.items():
            _line(name, value)
        _line("computes on", pick_device("auto"))
        if self.scene is None:
            return
        try:
            capture = load_capture(self.scene, max_size=self.max_size, images=self.images)
            console.print()
            _describe(capture)
            _try(capture)
        except InputError as error:
            console.print(f"cannot train: {error}")
            raise SystemExit(1) from None


def _describe(capture: Capture) -> None:
    sizes = sorted({view.camera.size for view in capture.views})
    _line("scene", capture.name)
    _line("views", f"{len(capture.train)} to train on, {len(capture.test)} to test")
    _line("sizes", ", ".join(f"{width}x{height}" for width, height in sizes[:6]))
    _line("points", f"{len(capture.points):,}")
    pixels = sum(view.camera.size[0] * view.camera.size[1] for view in capture.views)
    _line("photos in memory", decimal_bytes(3 * pixels))
    for repair in capture.repairs:
        console.print(f"repaired: {repair}")
    if not capture.repairs:
        console.print("nothing to repair")


def _try(capture: Capture) -> None:
    """Train a few steps to say how long a run will take."""
    config = TrainConfig()
    trainer = Trainer(capture, config, pick_device("auto"))
    trainer.step()  # the first one decodes, allocates and starts threads
    before = trainer.seconds
    for _ in range(STEPS_TIMED):
        trainer.step()
    seconds = (trainer.seconds - before) / STEPS_TIMED
    splats = trainer.splats()
    most = splats.nbytes // len(splats) * config.max_splats
    _line("first steps", f"{1 / seconds:.1f} a second with {len(splats):,} splats")
    _line(
        "a default run",
        f"{config.steps} steps, from {seconds * config.steps / 60:.0f} minutes up; "
        f"at most {config.max_splats:,} splats, {decimal_bytes(most)}",
    )


def _line(name: str, value: object) -> None:
    console.print(f"{name:>24}  {value}")
