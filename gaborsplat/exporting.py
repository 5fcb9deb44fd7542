"""`gaborsplat export`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro

from renderer.fit import evaluate, psnr
from renderer.render import render
from renderer.types import Camera, RenderSettings, Splats
from scenes import (
    VERIFIABLE,
    InputError,
    bake,
    mode_comments,
    read_independently,
    save_splats,
)
from viewer.camera import bounds_of_splats

from . import camera_path
from .console import console, decimal_bytes
from .viewing import held_out_views, load_scene, origin_of

ORBIT_VIEWS = 8
ORBIT_SIZE = (480, 360)


@dataclass(frozen=True)
class Export:
    """Write a run or a splat file in another format, for other programs."""

    path: tyro.conf.Positional[Path]
    """Run folder or splat file."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """File to write: .ply, .compressed.ply, .splat or .spz."""
    bake: bool = False
    """Turn Gabor splats into plain Gaussians."""
    verify: bool = False
    """Read the file back with gsply, an independent reader that knows nothing of waves, and print
    the PSNR that a plain Gaussian viewer loses."""

    def run(self) -> None:
        """Write the file, whole or not at all."""
        if self.verify and not self.output.name.lower().endswith(VERIFIABLE):
            raise InputError(f"{self.output}: --verify knows {', '.join(VERIFIABLE)}")
        splats, settings = load_scene(self.path)
        written = bake(splats) if self.bake else splats
        origin = origin_of(self.path)
        save_splats(
            written, self.output, origin=origin, comments=mode_comments(settings.antialiased)
        )
        size = decimal_bytes(self.output.stat().st_size)
        console.print(f"{len(written):,} splats, {size}: {self.output}")
        if any(origin) and not self._keeps_origin():
            shift = " ".join(f"{value:.9g}" for value in origin)
            console.print(f"Positions there are relative to {shift}; .ply has the capture's own.")
        if self.verify:
            self._verify(splats, settings, origin)

    def _keeps_origin(self) -> bool:
        name = self.output.name.lower()
        return name.endswith(".ply") and not name.endswith(".compressed.ply")

    def _verify(
        self, splats: Splats, settings: RenderSettings, origin: tuple[float, float, float]
    ) -> None:
        read = read_independently(self.output)
        if self._keeps_origin():
            read = replace(read, means=read.means - read.means.new_tensor(origin))
        views = held_out_views(self.path)
        if views:
            before, after = (evaluate(each, views, settings).psnr or 0 for each in (splats, read))
            console.print(
                f"Test PSNR {before:.2f} dB before, {after:.2f} dB read back: "
                f"{before - after:.2f} dB lost"
            )
            return
        cameras = camera_path.orbit((), bounds_of_splats(splats), ORBIT_VIEWS, ORBIT_SIZE)
        agreement = [
            float(psnr(_image(read, each, settings), _image(splats, each, settings)))
            for each in cameras
        ]
        console.print(
            f"Read back, {ORBIT_VIEWS} views around the scene agree with the original to "
            f"{sum(agreement) / ORBIT_VIEWS:.2f} dB PSNR"
        )


@torch.no_grad()
def _image(splats: Splats, camera: Camera, settings: RenderSettings) -> torch.Tensor:
    return render(splats, camera, settings).color.clamp(0, 1)
