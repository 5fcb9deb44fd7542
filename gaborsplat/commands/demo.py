"""`gaborsplat demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..renderer.training import TrainConfig
from ..scenes import demo_path
from .train import TrainCommand


@dataclass(frozen=True)
class DemoCommand:
    """Train the scene that ships with the package, watched in the browser: a church door in Lund,
    12 photos."""

    steps: int = 1000
    """Optimisation steps."""
    out: Path | None = None
    """Folder for the result; by default runs/demo-<time>."""
    gabor: Literal[0, 1, 2, 4] = 2
    """Gabor waves per splat; 0 is plain 3D Gaussian splatting."""
    viewer: bool = True
    """Show the training in the browser, and the result until Ctrl-C."""
    port: int = 8080
    """Port of the viewer."""

    def __post_init__(self) -> None:
        self._config()

    def run(self) -> None:
        """Train on the demo capture."""
        train = TrainCommand(
            demo_path(),
            out=self.out,
            preset="draft",
            viewer=self.viewer,
            port=self.port,
            config=self._config(),
        )
        train.run()

    def _config(self) -> TrainConfig:
        return TrainConfig(steps=self.steps, gabor=self.gabor)
