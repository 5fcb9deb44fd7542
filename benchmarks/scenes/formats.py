"""Every format that splats can be written to: how small files are, and what is lost.

    python -m benchmarks.scenes.formats RUN_OR_FILE [--large 2000000]
        [--out benchmarks/results/formats.json] [--docs docs/formats.md]

Splats with harmonics of degree 3 and waves are written with fewer harmonics, without waves, for
antialiasing and far from zero, read back, and rendered from 8 places around beside what they were
made from. What a format does not keep is lost in these pictures as it is in use. `--large` makes
many splats of them and measures time and memory of each format in processes of their own, those of
gsply, an independent library, beside them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor

from benchmarks.scenes.format_tables import titled
from benchmarks.scenes.format_trial import GSPLY_READS
from benchmarks.support.report import write
from benchmarks.support.tables import document, show
from gaborsplat import camera_path
from gaborsplat.console import console
from gaborsplat.inputs.loading import load_scene
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.editing.merging import with_sh_degree
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.splats import Splats
from gaborsplat.renderer.training import psnr
from gaborsplat.scenes import (
    DEFAULT_METADATA,
    VERIFIABLE,
    SplatFile,
    SplatMetadata,
    bake,
    load_splat_file,
    read_independently,
    save_splats,
)
from gaborsplat.scenes.splats.format import SplatFormat
from gaborsplat.scenes.splats.registry import FORMATS
from gaborsplat.viewer.camera import bounds_of_splats

UTM = (391_000.0, 5_820_000.0, 34.0)
"""Metres in zone 33, where Berlin is."""
VIEWS = 8
COMPARED = 2000
"""Splats whose places are looked for in what was read: some formats have an order of their own."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    source: tyro.conf.Positional[Path]
    """Run folder or splat file with harmonics of degree 3 and waves."""
    size: tuple[int, int] = (480, 360)
    """(width, height) of the pictures."""
    large: int = 0
    """Splats of the files that are measured for time and memory; 0 measures none."""
    out: Path | None = None
    """JSON file for the results."""
    docs: Path | None = None
    """Markdown file to write them into."""


@dataclass(frozen=True)
class Trial:
    """Splats to be written, and how they are to be shown."""

    splats: Splats
    metadata: SplatMetadata = DEFAULT_METADATA

    def pictures(self, cameras: list[Camera]) -> list[Tensor]:
        """[H, W, 3] colours, as they are to be shown."""
        return [render(self.splats, each, self.metadata.settings).color for each in cameras]


Views = list[tuple[Camera, Tensor]]
"""Cameras, and the pictures of what was written."""


def trials(splats: Splats) -> dict[str, Trial]:
    """What is written, by name."""
    plain = bake(splats)
    found = {f"degree {degree}": Trial(with_sh_degree(plain, degree)) for degree in range(4)}
    found["waves"] = Trial(splats)
    found["antialiased"] = Trial(plain, SplatMetadata(antialiased=True))
    found["UTM"] = Trial(plain, SplatMetadata(origin=UTM))
    return found


def measure(form: SplatFormat, trial: Trial, views: Views, folder: Path) -> dict[str, Any]:
    """Bytes of a file, and what comes back from it."""
    path = folder / f"scene{form.endings[0]}"
    keeps_waves = "waves" in form.keeps
    written = trial.splats if keeps_waves else bake(trial.splats)
    save_splats(written, path, metadata=trial.metadata)
    read = load_splat_file(path)
    found: dict[str, Any] = {
        "bytes_a_splat": path.stat().st_size / max(1, len(written)),
        "psnr": agreement(trial, read, views),
        "position_error": position_error(trial, read),
        "origin_kept": read.origin == trial.metadata.origin,
        "antialiased_kept": read.antialiased == bool(trial.metadata.antialiased),
    }
    if form.endings[0].endswith(VERIFIABLE) and not any(trial.metadata.origin):
        theirs = SplatFile(read_independently(path), read.metadata)
        found["psnr_by_gsply"] = agreement(trial, theirs, views)
    return found


def relative(trial: Trial, read: SplatFile) -> Tensor:
    """[N, 3] centres that were read, relative to the origin of what was written, or as they are in
    files that know none."""
    if not any(read.origin):
        return read.splats.means.double()
    shift = [theirs - ours for theirs, ours in zip(read.origin, trial.metadata.origin, strict=True)]
    return read.splats.means.double() + torch.tensor(shift, dtype=torch.float64)


def agreement(trial: Trial, read: SplatFile, views: Views) -> float:
    """PSNR [dB] of pictures of what was read against those of what was written, each shown as it
    says, at most 100."""
    shown = Trial(replace(read.splats, means=relative(trial, read).float()), read.metadata)
    pictures = shown.pictures([camera for camera, _ in views])
    found = [psnr(one, other) for one, (_, other) in zip(pictures, views, strict=True)]
    return float(torch.stack(found).mean())


def position_error(trial: Trial, read: SplatFile) -> float:
    """The largest distance of some splats to the nearest that was read, in typical distances of the
    splats from their middle."""
    means, found = trial.splats.means.double(), relative(trial, read)
    size = (means - means.median(0).values).norm(dim=1).median()
    some = means[:: max(1, len(means) // COMPARED)]
    nearest = [torch.cdist(part, found).min(dim=1).values for part in some.split(64)]
    return float(torch.cat(nearest).max() / size)


def many(splats: Splats, count: int) -> Splats:
    """So many splats without waves like these, somewhat moved and of other colours."""
    random = torch.Generator().manual_seed(0)
    drawn = bake(splats).select(torch.randint(len(splats), (count,), generator=random))
    means = drawn.means + drawn.scales * torch.randn(count, 3, generator=random)
    sh = drawn.sh + 0.02 * torch.randn(drawn.sh.shape, generator=random)
    return replace(drawn, means=means, sh=sh)


def measure_large(forms: list[SplatFormat], splats: Splats) -> dict[str, Any]:
    """Seconds and memory of saving and loading, by format, program and what is done."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "splats.pt"
        torch.save(splats.tensors(), source)
        for form in forms:
            file = Path(folder) / f"large{form.endings[0]}"
            whose = ("ours", "gsply") if form.endings[0] in GSPLY_READS else ("ours",)
            results[form.name] = {
                who: {what: _elsewhere(who, what, file, source) for what in ("save", "load")}
                for who in whose
            }
            file.unlink()
    return results


def _elsewhere(who: str, what: str, file: Path, source: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.scenes.format_trial", who, what, file, source]
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise SystemExit(f"{file.name}: {who} cannot {what} it: {reason[0]}")
    return json.loads(done.stdout)


def main(options: Options) -> None:
    """Writes every format, reads it back and prints what came of it."""
    scene = load_scene(options.source)
    cameras = camera_path.orbit((), bounds_of_splats(scene.splats), VIEWS, options.size)
    forms = [form for form in FORMATS if form.write is not None]
    results: dict[str, Any] = {"splats": len(scene.splats), "waves": scene.splats.waves}
    formats: dict[str, dict[str, Any]] = {
        form.name: {"ending": form.endings[0], "keeps": sorted(form.keeps)} for form in forms
    }
    for name, trial in trials(scene.splats).items():
        console.print(f"{name} ...")
        views = list(zip(cameras, trial.pictures(cameras), strict=True))
        for form in forms:
            with tempfile.TemporaryDirectory() as folder:
                formats[form.name][name] = measure(form, trial, views, Path(folder))
    results["formats"] = formats
    if options.large:
        results["large"] = {
            "splats": options.large,
            "formats": measure_large(forms, many(scene.splats, options.large)),
        }
    show(titled(results))
    if options.out:
        write(options.out, results)
    if options.docs:
        document(options.docs, titled(results))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
