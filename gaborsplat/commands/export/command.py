"""`gaborsplat export`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from ...console import console, decimal_bytes
from ...devices import pick_device
from ...inputs.loading import LoadedScene, ShownAs
from ...renderer.devices import Device
from ...renderer.splats import Splats
from ...renderer.training import evaluate
from ...scenes import (
    VERIFIABLE,
    CaptureView,
    InputError,
    carries,
    check_waves,
    check_writable,
    origin_file,
    save_splats,
)
from .baking import baked
from .edits import Edits
from .inputs import Inputs
from .page import PAGE_ENDING, PageOptions
from .reading_back import outlier_hint, read_by_gsply, tell_losses
from .views import Views, agreement


@dataclass(frozen=True)
class ExportCommand:
    """Write runs or splat files in another format, for other programs; several become one."""

    paths: Annotated[tuple[Path, ...], tyro.conf.arg(name="path"), tyro.conf.Positional]
    """Run folder or splat file; of several, the first decides the frame."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """File to write: .ply, .compressed.ply, .spz (.v4.spz for version 4), .sog, .glb or .splat; a
    meta.json, beside which the textures of a SOG come; or .html, a page that any browser shows."""
    bake: bool = False
    """Turn Gabor splats into plain Gaussians, and print what that loses: by the mean of their
    waves, or with --budget as Gaussians of their own."""
    budget: float | None = None
    """With --bake: split waves into Gaussians, at most so many in all, and fit these to pictures of
    the original, which takes a minute or so. Without, of a page: the megabytes that it may have."""
    verify: bool = False
    """Read the file back with gsply, an independent reader that knows nothing of waves, and print
    the PSNR that a plain Gaussian viewer loses."""
    check: bool = True
    """Read the file back and print what it loses, as it will be shown."""
    scene: Path | None = None
    """Where the capture of a run is now, if it has moved since."""
    device: Device = "auto"
    """What renders and fits."""
    edits: Annotated[Edits, tyro.conf.arg(name="")] = field(default_factory=Edits)
    shown_as: Annotated[ShownAs, tyro.conf.arg(name="")] = field(default_factory=ShownAs)
    page: Annotated[PageOptions, tyro.conf.arg(name="")] = field(default_factory=PageOptions)

    def __post_init__(self) -> None:
        if self.budget is not None and not (self.bake or self.is_page):
            raise ValueError("--budget says how to --bake, or how large an .html may be")
        if self.budget is not None and not 0 < self.budget < math.inf:
            raise ValueError(f"--budget must be above 0 and finite, not {self.budget:g}")
        if self.bake and self.budget is not None and self.budget != int(self.budget):
            raise ValueError(f"--budget: with --bake, whole splats, not {self.budget:g}")
        if self.page.any and not self.is_page:
            raise ValueError(f"{self.output}: options of pages go with .html")
        if self.page.viewer_only and (needless := self._needs_scene()):
            raise ValueError(f"--viewer-only: has no scene; leave out {', '.join(needless)}")

    def _needs_scene(self) -> list[str]:
        """What is given that is about a scene."""
        given = {
            "--bake": self.bake,
            "--budget": self.budget is not None,
            "--verify": self.verify,
            "--no-embed": not self.page.embed,
            "--path": self.page.path != "cameras",
            "--scene": self.scene is not None,
            "what changes a scene": self.edits.any,
            "how it is shown": self.shown_as != ShownAs(),
        }
        return [*map(str, self.paths), *(name for name, there in given.items() if there)]

    @property
    def is_page(self) -> bool:
        """Whether a page is written, not a splat file."""
        return self.output.name.lower().endswith(PAGE_ENDING)

    def run(self) -> None:
        """Write the file, whole or not at all."""
        if self.page.viewer_only:
            self.page.write_viewer(self.output)
            return
        if not self.is_page:
            check_writable(self.output)  # before all that takes time
        if self.verify and not self.output.name.lower().endswith(VERIFIABLE):
            raise InputError(f"{self.output}: --verify knows {', '.join(VERIFIABLE)}")
        looks = self.check or self.bake or self.verify or self.edits.any or self.is_page
        photos = looks or self.scene is not None
        inputs = Inputs.of(self.paths, self.shown_as, self.scene, photos=photos)
        scene, device = inputs.scene, pick_device(self.device)
        if not (self.bake or self.is_page):
            check_waves(self.output, scene.splats.waves)
        scene = replace(scene, splats=scene.splats.to(device))
        views = inputs.views() if looks else None
        held_out: list[CaptureView] = []
        if views is not None and self.edits.any:
            scene, views = self.edits.of(scene, views)
            views = views if views.of_run else Views.around(scene)
        elif self.bake or self.verify:
            held_out = [*inputs.held_out()]
        written = scene.splats
        if self.bake and views is not None:
            gaussians = None if self.budget is None else int(self.budget)
            written = baked(scene, gaussians, views, held_out)
        if self.is_page and views is not None:
            megabytes = None if self.bake else self.budget
            scene = replace(scene, splats=written)
            self.page.write(self.output, scene, views, megabytes, check=self.check)
            return
        self._write(scene, written)
        if views is None or not (self.check or self.verify):
            return
        by_gsply = None
        if self.output.name.lower().endswith(VERIFIABLE):
            by_gsply = read_by_gsply(self.output, scene.metadata.origin).to(device)
        if self.check:
            tell_losses(self.output, scene, written, views, by_gsply)
        if self.verify and by_gsply is not None:
            _verify(scene, views, held_out, by_gsply)

    def _write(self, scene: LoadedScene, written: Splats) -> None:
        try:
            save_splats(written, self.output, metadata=scene.metadata)
        except InputError as error:
            raise InputError(f"{error}{outlier_hint(written)}") from error
        size = decimal_bytes(_bytes_of(self.output))
        console.print(f"{len(written):,} splats, {size}: {self.output}")
        if any(scene.metadata.origin) and not carries(self.output, "origin"):
            shift = " ".join(f"{value:.9g}" for value in scene.metadata.origin)
            console.print(
                f"Positions there are relative to {shift}, as {origin_file(self.output)} says; "
                ".ply has the capture's own."
            )


def _verify(
    scene: LoadedScene, views: Views, held_out: Sequence[CaptureView], read: Splats
) -> None:
    splats, settings = scene.splats, scene.settings
    if held_out:
        before, after = (evaluate(s, held_out, settings).psnr or 0 for s in (splats, read))
        console.print(
            f"Test PSNR {before:.2f} dB before, {after:.2f} dB read back: "
            f"{before - after:.2f} dB lost"
        )
        return
    agrees = agreement(views.pictures(read, settings), views.pictures(splats, settings))
    console.print(f"Read back, {views.told} agree with the original to {agrees:.2f} dB PSNR")


def _bytes_of(path: Path) -> int:
    """Of a file, or of a meta.json and the textures that it names."""
    files = [path]
    if path.suffix.lower() == ".json":
        parts = json.loads(path.read_bytes()).values()
        named = [name for part in parts if isinstance(part, dict) for name in part.get("files", ())]
        files += [path.with_name(name) for name in named]
    return sum(each.stat().st_size for each in files)
