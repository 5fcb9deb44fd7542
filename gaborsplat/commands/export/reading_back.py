"""What a written file loses, as it will be shown: read back, and looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ...console import console
from ...inputs.loading import LoadedScene, relative_to
from ...renderer.editing.choosing import outliers
from ...renderer.editing.merging import degree_in_use
from ...renderer.splats import Splats
from ...scenes import carries, load_splat_file, read_independently
from .edits import farthest
from .views import NOTICED, SAME, Views, agreement, told_psnr

COARSE = 0.1
"""Errors of positions of half of the splats, in their sizes, from which on a reason is given."""


def read_by_gsply(path: Path, origin: tuple[float, float, float]) -> Splats:
    """What gsply reads, relative to `origin` where the file has positions in the capture's frame.
    Raises as `read_independently`."""
    read = read_independently(path)
    if not carries(path, "origin"):
        return read
    return replace(read, means=read.means - read.means.new_tensor(origin))


def tell_losses(
    path: Path, scene: LoadedScene, written: Splats, views: Views, by_gsply: Splats | None
) -> None:
    """Print what the file at `path` loses.

    Args:
        path: what was written.
        scene: what was to be written, with its waves.
        written: the splats that were given to the writer.
        views: from where it is looked at.
        by_gsply: what gsply reads, if it does.

    Raises:
        InputError: the file cannot be read.
    """
    device = scene.splats.means.device
    file = load_splat_file(path)
    # The background is the viewer's, unless the file names one.
    background = file.metadata.background or scene.settings.background
    settings = replace(file.settings, background=background)
    read = LoadedScene(file.splats, settings, file.metadata)
    read = relative_to(read, scene.metadata.origin)
    before = views.pictures(scene.splats, scene.settings)

    def quality(splats: Splats) -> float:
        return agreement(views.pictures(splats.to(device), settings), before)

    own = quality(read.splats)
    console.print(f"Read back and shown as it says: {told_psnr(own)} on {views.told}")
    if by_gsply is not None:
        other = quality(by_gsply)
        if abs(min(other, SAME) - min(own, SAME)) > 0.01:
            waves = ", without waves" if read.splats.waves else ""
            console.print(f"Read by gsply{waves}: {told_psnr(other)}")
    for line in _details(scene, written.to("cpu"), read):
        console.print(f"  {line}")


def _details(scene: LoadedScene, written: Splats, read: LoadedScene) -> Iterator[str]:
    """What is not in the file any more, a line each."""
    splats, metadata = read.splats, read.metadata
    if len(splats) != len(written):
        yield f"splats: {len(written):,} written, {len(splats):,} read back"
    if splats.sh_degree < degree_in_use(written):
        yield f"harmonics: of degree {written.sh_degree} before, {splats.sh_degree} in the file"
    if splats.waves < scene.splats.waves:
        yield f"waves: {scene.splats.waves} a splat before, {splats.waves} in the file"
    if scene.settings.antialiased and not metadata.antialiased:
        yield "antialiasing: the file cannot say that these splats are to be shown with it"
    if scene.metadata.up and not metadata.up:
        yield f"what is up: {scene.metadata.up}, which the file cannot say; see --align-up"
    if scene.metadata.background and not metadata.background:
        red, green, blue = scene.metadata.background
        yield f"background: {red:g} {green:g} {blue:g}, which the file cannot say"
    # Every format keeps opacities to a few of 255 steps: by them splats that a writer put in
    # another order are known, of which no differences can be told.
    if len(splats) == len(written) > 0 and _same_order(written, splats):
        yield from _positions(written, splats)
        yield from _clipped(written, splats)


def _same_order(written: Splats, read: Splats) -> bool:
    return float((written.opacities - read.opacities).abs().median()) < 0.02


def _positions(written: Splats, read: Splats) -> Iterator[str]:
    error = (written.means.double() - read.means.double()).norm(dim=1)
    relative = error / written.scales.double().median(dim=1).values.clamp_min(1e-30)
    if not float(relative.max()) > NOTICED:
        return
    half = float(relative.median())
    yield (
        f"positions: off by up to {float(error.max()):.3g}; "
        f"for half of the splats by {half:.2g} of their size or more"
    )
    if half < COARSE:
        return
    strays = outliers(written)
    if strays.any():
        yield (
            f"  because of {int(strays.sum()):,} of {len(written):,} splats"
            f"{farthest(written, strays)}: --drop-outliers leaves them out"
        )
    else:
        yield "  the format has too few steps for a scene this wide: --crop, or write .ply"


def _clipped(written: Splats, read: Splats) -> Iterator[str]:
    names = ("colours", "view-dependent colours")
    last = min(written.sh.shape[1], read.sh.shape[1])
    for name, part in zip(names, (slice(0, 1), slice(1, last)), strict=True):
        before, after = written.sh[:, part], read.sh[:, part]
        if not before.numel():
            continue
        share = float(_beyond(before, after).flatten(1).any(dim=1).double().mean())
        if share > 0:
            told = f"{100 * share:.0f}" if share >= 0.01 else "less than 1"
            yield f"{name}: clipped, in {told} % of the splats"


def _beyond(before: Tensor, after: Tensor) -> Tensor:
    """Which values were beyond all that there are afterwards, by more than rounding.

    Of evenly rounded values half are off by a quarter of a step or more.
    """
    step = 4 * (before - after).abs().median()
    low, high = after.aminmax()
    margin = torch.maximum(step, 0.01 * (high - low))
    return (before < low - margin) | (before > high + margin)


def outlier_hint(splats: Splats) -> str:
    """Advice where a format cannot hold positions as large as those of strays; else empty."""
    strays = outliers(splats)
    count = f"{int(strays.sum()):,} of {len(splats):,} splats"
    return f"; {count} are far from all others: --drop-outliers" if strays.any() else ""
