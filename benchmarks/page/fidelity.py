"""Whether exported pages draw as the rasterizer does, and how large they are.

    python -m benchmarks.page.fidelity [--scenes demo cloth] [--waves 0 1 2 4] [--runs DIR]

Trains the demo scene and the cloth of the texture suite with so many waves, and draws ten poses of
their photos in headless Chromium, which draws in software: of splats.ply, opened by the page
without a scene ("opened"), and of the page that `gaborsplat export` writes ("exported"). PSNR is
that of 8-bit pictures against the rasterizer's; the correlation that of what waves add to the
picture of the envelopes. Both are given as the mean and the worst of the poses. Needs the extra
`bench` and Chromium.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import tyro

from benchmarks.page.browsing import READY, Image, chromium, opened, picture_of, until
from benchmarks.page.trained import trained
from benchmarks.support.report import write
from benchmarks.support.tables import Rows, document, show
from gaborsplat.console import console
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.render import render_bytes
from gaborsplat.renderer.training import psnr
from gaborsplat.run_folder import RunFolder
from gaborsplat.scenes import load_splat_file

PICTURES = 3
"""Of a scene that are kept with --pictures."""


@dataclass(frozen=True)
class Options:
    """What to compare."""

    scenes: tuple[str, ...] = ("demo", "cloth")
    """demo, or captures of the texture suite."""
    waves: tuple[int, ...] = (0, 1, 2, 4)
    steps: int = 1000
    poses: int = 10
    width: int = 480
    """Of the pictures [px]."""
    runs: Path | None = None
    """Folder that keeps what was trained."""
    pictures: Path | None = None
    """Folder for some of the page's pictures beside the rasterizer's."""
    out: Path = Path("benchmarks/results/page.json")
    docs: Path | None = None
    """Markdown file to write the table into."""


def poses_of(run: Path, count: int, width: int) -> list[Camera]:
    """Of photos, evenly chosen, with pictures of that width."""
    views = RunFolder(run).capture().views
    chosen = [views[round(i)].camera for i in np.linspace(0, len(views) - 1, count)]
    return [each.resized((width, round(width * each.size[1] / each.size[0]))) for each in chosen]


def alike(one: Image, other: Image) -> float:
    """PSNR [dB] of 8-bit pictures, at most 100."""
    pictures = [torch.from_numpy(each.copy()).double() / 255 for each in (one, other)]
    return float(psnr(*pictures))


def correlation(one: Image, plain: Image, other: Image, other_plain: Image) -> float:
    """Of two pictures' differences from those without waves."""
    added = [
        with_waves.astype(float) - without
        for with_waves, without in ((one, plain), (other, other_plain))
    ]
    return float(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1])


@dataclass(frozen=True)
class Drawn:
    """Pictures of the same poses.

    Attributes:
        whole: as they are.
        plain: without waves; none of splats that have none.
    """

    whole: Sequence[Image]
    plain: Sequence[Image]

    def against(self, other: Drawn, name: str) -> dict[str, float]:
        """Figures, under names that begin with `name`."""
        found = [alike(*pair) for pair in zip(self.whole, other.whole, strict=True)]
        figures = {f"{name}_psnr": statistics.fmean(found), f"{name}_worst_psnr": min(found)}
        if self.plain:
            all_four = zip(self.whole, self.plain, other.whole, other.plain, strict=True)
            like = [correlation(*four) for four in all_four]
            figures[f"{name}_correlation"] = statistics.fmean(like)
            figures[f"{name}_worst_correlation"] = min(like)
        return figures


def drawn_by(page: Any, cameras: Sequence[Camera], waves: int) -> Drawn:
    """By a page that shows a scene."""
    until(page, READY)
    whole = [picture_of(page, camera) for camera in cameras]
    return Drawn(whole, [picture_of(page, c, waves=False) for c in cameras] if waves else [])


def compared(browser: Any, run: Path, waves: int, options: Options, folder: Path) -> dict[str, Any]:
    """One scene."""
    cameras = poses_of(run, options.poses, options.width)
    splats_file = RunFolder(run).splats_file
    file = load_splat_file(splats_file)
    plain = file.splats.without_waves()
    wanted = Drawn(
        [render_bytes(file.splats, camera, file.settings).numpy() for camera in cameras],
        [render_bytes(plain, c, file.settings).numpy() for c in cameras] if waves else [],
    )
    viewer, page_file = folder / "viewer.html", folder / f"{run.name}.html"
    for words in (["--viewer-only", "-o", str(viewer)], [str(run), "-o", str(page_file)]):
        command = [sys.executable, "-m", "gaborsplat", "export", *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    size = cameras[0].size
    with opened(browser, viewer, size) as page:
        page.set_input_files("#file", splats_file)
        by_ply = drawn_by(page, cameras, waves)
    with opened(browser, page_file, size) as page:
        by_page = drawn_by(page, cameras, waves)
    if options.pictures is not None:
        pairs = zip(by_page.whole, wanted.whole, strict=True)
        rows = [np.concatenate(pair, axis=1) for pair in [*pairs][:PICTURES]]
        options.pictures.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(options.pictures / f"{run.name}.png"), np.concatenate(rows)[..., ::-1])
    page_bytes, viewer_bytes = page_file.stat().st_size, viewer.stat().st_size
    return {
        "splats": len(file.splats),
        "degree": file.splats.sh_degree,
        **by_ply.against(wanted, "opened"),
        **by_page.against(wanted, "exported"),
        "viewer_bytes": viewer_bytes,
        "page_bytes": page_bytes,
        "bytes_a_splat": (page_bytes - viewer_bytes) / len(file.splats),
    }


def table(runs: list[dict[str, Any]]) -> Rows:
    """For people; figures are mean and worst."""
    rows = [
        [
            "scene",
            "waves",
            "splats",
            "opened (dB)",
            "waves alike",
            "exported (dB)",
            "waves alike",
            "bytes a splat",
            "page (MB)",
        ]
    ]
    for run in runs:
        cells: list[str] = []
        for name in ("opened", "exported"):
            cells.append(f"{run[f'{name}_psnr']:.1f}, {run[f'{name}_worst_psnr']:.1f}")
            like = [run.get(f"{name}{each}correlation") for each in ("_", "_worst_")]
            cells.append("" if like[0] is None else ", ".join(f"{each:.4f}" for each in like))
        rows.append(
            [
                run["scene"],
                str(run["waves"]),
                f"{run['splats']:,}",
                *cells,
                f"{run['bytes_a_splat']:.1f}",
                f"{run['page_bytes'] / 1e6:.2f}",
            ]
        )
    return rows


def main() -> None:
    """Run the benchmark."""
    options = tyro.cli(Options, description=__doc__)
    runs: list[dict[str, Any]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        browser = stack.enter_context(chromium())
        for scene in options.scenes:
            for waves in options.waves:
                run = trained(scene, waves, options.steps, options.runs or folder)
                found = {"scene": scene, "waves": waves, "steps": options.steps}
                found |= compared(browser, run, waves, options, folder)
                console.print(", ".join(f"{name} {value}" for name, value in found.items()))
                runs.append(found)
    write(options.out, runs)
    tables = {"Pages against the rasterizer: mean and worst of the poses": table(runs)}
    show(tables)
    console.print(f"The viewer without a scene: {runs[0]['viewer_bytes']:,} bytes")
    if options.docs is not None:
        document(options.docs, tables)


if __name__ == "__main__":
    main()
