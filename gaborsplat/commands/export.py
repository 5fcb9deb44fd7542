"""`gaborsplat export`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.progress import Progress

from .. import camera_path
from ..console import console, decimal_bytes, error_console
from ..inputs.loading import ShownAs, capture_of, load_scene
from ..renderer.cameras import Camera
from ..renderer.raster.render import render
from ..renderer.settings import RenderSettings
from ..renderer.splats import Splats
from ..renderer.training import LeftOut, evaluate, psnr, to_gaussians
from ..renderer.training.data import load_photo
from ..scenes import (
    VERIFIABLE,
    Capture,
    CaptureView,
    InputError,
    bake,
    check_writable,
    read_independently,
    save_splats,
)
from ..viewer.camera import bounds_of_splats

ORBIT_VIEWS = 8
ORBIT_SIZE = (480, 360)


@dataclass(frozen=True)
class ExportCommand:
    """Write a run or a splat file in another format, for other programs."""

    path: tyro.conf.Positional[Path]
    """Run folder or splat file."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """File to write: .ply, .compressed.ply, .splat or .spz."""
    bake: bool = False
    """Turn Gabor splats into plain Gaussians, and print what that loses: by the mean of their
    waves, or with --budget as Gaussians of their own."""
    budget: int | None = None
    """With --bake: split waves into Gaussians, at most so many in all, and fit these to pictures of
    the original, which takes a minute or so."""
    verify: bool = False
    """Read the file back with gsply, an independent reader that knows nothing of waves, and print
    the PSNR that a plain Gaussian viewer loses."""
    scene: Path | None = None
    """Where the capture of a run is now, if it has moved since."""
    shown_as: Annotated[ShownAs, tyro.conf.arg(name="")] = field(default_factory=ShownAs)

    def __post_init__(self) -> None:
        if self.budget is not None and not self.bake:
            raise ValueError("--budget says how to --bake; give both")

    def run(self) -> None:
        """Write the file, whole or not at all."""
        check_writable(self.output)  # before all that takes time
        if self.verify and not self.output.name.lower().endswith(VERIFIABLE):
            raise InputError(f"{self.output}: --verify knows {', '.join(VERIFIABLE)}")
        scene = load_scene(self.path, self.shown_as)
        splats, settings = scene.splats, scene.settings
        written = self._baked(splats, settings) if self.bake else splats
        origin = scene.metadata.origin
        save_splats(written, self.output, metadata=scene.metadata)
        size = decimal_bytes(self.output.stat().st_size)
        console.print(f"{len(written):,} splats, {size}: {self.output}")
        if any(origin) and not self._keeps_origin():
            shift = " ".join(f"{value:.9g}" for value in origin)
            console.print(f"Positions there are relative to {shift}; .ply has the capture's own.")
        if self.verify:
            self._verify(splats, settings, origin)

    def _baked(self, splats: Splats, settings: RenderSettings) -> Splats:
        if self.budget is not None and self.budget < len(splats):
            raise InputError(
                f"--budget: must be at least the {len(splats)} splats of {self.path}, "
                f"not {self.budget}"
            )
        damped = bake(splats)
        if splats.waves == 0:
            return damped
        compared = {"damped to the mean": damped}
        if self.budget is not None:
            capture = self._capture
            cameras = [] if capture is None else [view.camera for view in capture.train]
            cameras = cameras or self._around(splats)
            with Progress(console=error_console, transient=True) as bar:
                task = bar.add_task("fit Gaussians")
                split = to_gaussians(
                    splats,
                    cameras,
                    self.budget,
                    settings,
                    progress=lambda done, of: bar.update(task, completed=done, total=of),
                )
            compared[f"split into {len(split):,} Gaussians"] = split
        self._compare(splats, compared, settings)
        return list(compared.values())[-1]

    def _compare(
        self, splats: Splats, compared: dict[str, Splats], settings: RenderSettings
    ) -> None:
        """Print what each of `compared` loses."""
        views = self._held_out
        before = evaluate(splats, views, settings).psnr
        for name, baked in compared.items():
            if before is not None:
                after = evaluate(baked, views, settings).psnr or 0
                lost = f"{before - after:.2f} dB lost on {len(views)} test views"
                console.print(f"{name}: {after:.2f} dB, {lost}")
            else:
                agreement = self._agreement(splats, baked, settings)
                console.print(f"{name}: agrees with the original to {agreement:.2f} dB PSNR")

    @cached_property
    def _capture(self) -> Capture | None:
        return capture_of(self.path, self.scene)

    @cached_property
    def _held_out(self) -> Sequence[CaptureView]:
        """The test views whose photos can be read."""
        left_out, load = LeftOut(), partial(load_photo, device=torch.device("cpu"))
        views = () if self._capture is None else self._capture.test
        return [view for view in views if left_out.photo(view, load) is not None]

    def _around(self, splats: Splats) -> list[Camera]:
        return camera_path.orbit((), bounds_of_splats(splats), ORBIT_VIEWS, ORBIT_SIZE)

    def _agreement(self, splats: Splats, other: Splats, settings: RenderSettings) -> float:
        """PSNR [dB] of one against the other, seen from around the scene."""
        found = [
            float(psnr(_image(other, each, settings), _image(splats, each, settings)))
            for each in self._around(splats)
        ]
        return sum(found) / len(found)

    def _keeps_origin(self) -> bool:
        name = self.output.name.lower()
        return name.endswith(".ply") and not name.endswith(".compressed.ply")

    def _verify(
        self, splats: Splats, settings: RenderSettings, origin: tuple[float, float, float]
    ) -> None:
        read = read_independently(self.output)
        if self._keeps_origin():
            read = replace(read, means=read.means - read.means.new_tensor(origin))
        views = self._held_out
        if views:
            before, after = (evaluate(each, views, settings).psnr or 0 for each in (splats, read))
            console.print(
                f"Test PSNR {before:.2f} dB before, {after:.2f} dB read back: "
                f"{before - after:.2f} dB lost"
            )
            return
        console.print(
            f"Read back, {ORBIT_VIEWS} views around the scene agree with the original to "
            f"{self._agreement(splats, read, settings):.2f} dB PSNR"
        )


@torch.no_grad()
def _image(splats: Splats, camera: Camera, settings: RenderSettings) -> torch.Tensor:
    return render(splats, camera, settings).color.clamp(0, 1)
