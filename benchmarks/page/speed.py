"""How fast an exported page draws, beside splat-transform's, and how fast it sorts.

    npm install --prefix peer @playcanvas/splat-transform
    python -m benchmarks.page.speed --peer peer/node_modules/.bin/splat-transform [--runs DIR]

Trains the demo scene without waves and with two, exports both, has splat-transform write a page of
the first one, and lets the cameras of the three turn by the same small angles, in turn, in headless
Chromium, which draws in software; the time from one frame to the next counts. Then a page opens
splats at random places, and its worker sorts them for cameras all around. Needs the extra `bench`,
Chromium and, for the peer, node.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from benchmarks.page.browsing import READY, chromium, opened, until
from benchmarks.page.trained import trained
from benchmarks.support.report import write
from benchmarks.support.tables import Rows, document, show
from gaborsplat.console import console
from gaborsplat.renderer.splats import Splats
from gaborsplat.scenes import save_splats

PEER = "splat-transform"
PEER_STARTS = 15.0
"""Seconds until the peer's page certainly shows its scene; it does not say when."""
FOV = 75.0
"""Of all pages, along the longer side [degrees]: the peer's keeps its own."""
SETTLING = 5
"""Frames that are not counted."""
_FRAMES = """async ([count, base]) => {
    const turn = TURN;
    const times = [];
    await new Promise((resolve) => {
        let before = null;
        const frame = (now) => {
            turn(0.3 * Math.sin(0.3 * times.length));  // degrees
            if (before !== null) times.push(now - before);
            before = now;
            if (times.length < count) requestAnimationFrame(frame);
            else resolve();
        };
        requestAnimationFrame(frame);
    });
    return times;
}"""
_OURS = """(degrees) => {
    const show = __gaborsplat.show;
    show.camera = show.start.copy();
    show.camera.look(degrees * Math.PI / 180, 0);
    show.moved();
}"""
_PREPARE = """(fov) => {
    const { resolution, start } = __gaborsplat.show;
    resolution.share = 1;
    resolution.shown = () => {};
    start.fov = fov;
    return [start.eye, start.target];
}"""
_SIZE = "() => __gaborsplat.stage.renderer.target.size"
_THEIRS = """(degrees) => {
    const [over, aside, roll] = base.angles;
    setCameraState({ ...base, angles: [over, aside + degrees, roll] });
}"""
_SORTS = """async (count) => {
    const { stage, show } = __gaborsplat;
    const times = [];
    for (let i = 0; i < count; i++) {
        const camera = show.start.copy();
        camera.orbit(0.2 * i, 0);
        await stage.sort(camera.view(480, 270));
        times.push(stage.sortTook);
    }
    return times;
}"""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    peer: Path | None = None
    """Program splat-transform; without it ours are measured alone."""
    steps: int = 1000
    frames: int = 60
    rounds: int = 5
    size: str = "480x270"
    """Of the window [px]."""
    sorted_splats: int = 1_000_000
    sorts: int = 30
    runs: Path | None = None
    """Folder that keeps what was trained."""
    out: Path = Path("benchmarks/results/page-speed.json")
    docs: Path | None = None
    """Markdown file to write the table into."""

    @property
    def window(self) -> tuple[int, int]:
        """(width, height) [px]."""
        width, height = map(int, self.size.split("x"))
        return width, height


def pages(options: Options, folder: Path) -> dict[str, Path]:
    """Pages by names, without harmonics, for which splat-transform needs a GPU; the peer's is of
    the splats without waves."""
    found: dict[str, Path] = {}
    for waves in (0, 2):
        run = trained("demo", waves, options.steps, options.runs or folder)
        ply, page = folder / f"{waves}.ply", folder / f"{waves}.html"
        program = [sys.executable, "-m", "gaborsplat", "export"]
        _run(*program, run, "-o", ply, "--sh-degree", "0", "--no-check")
        _run(*program, ply, "-o", page, "--no-check")
        found[f"{waves} waves"] = page
        if options.peer is not None and waves == 0:
            found[PEER] = theirs = folder / "peer.html"
            _run(options.peer, "-g", "cpu", ply, theirs)
    return found


def _run(*words: str | Path) -> None:
    subprocess.run([*map(str, words)], check=True, stdout=subprocess.DEVNULL)


def prepared(page: Any, size: tuple[int, int]) -> dict[str, Any]:
    """The first view of a page of ours, whose field of view becomes `FOV`, as the peer's page takes
    one: y up, degrees."""
    upright = 2 * math.atan(math.tan(math.radians(FOV) / 2) * size[1] / max(size))
    eye, target = page.evaluate(_PREPARE, upright)
    ahead = [to - at for at, to in zip(eye, target, strict=True)]
    distance = math.hypot(*ahead)
    x, y, z = -ahead[0] / distance, -ahead[1] / distance, ahead[2] / distance
    return {
        "position": [-eye[0], -eye[1], eye[2]],
        "angles": [math.degrees(math.asin(y)), math.degrees(math.atan2(-x, -z)), 0],
        "distance": distance,
        "fov": FOV,
        "mode": "orbit",
    }


def frame_times(
    browser: Any, files: Mapping[str, Path], options: Options
) -> dict[str, list[float]]:
    """[ms] of each page, a median for every round."""
    times: dict[str, list[float]] = {name: [] for name in files}
    base: dict[str, Any] = {}
    for number in range(options.rounds):
        for name, file in files.items():
            query = "?debug" if name == PEER else ""  # by which its page offers setCameraState
            with opened(browser, file, options.window, query) as page:
                if name == PEER:
                    page.wait_for_timeout(1000 * PEER_STARTS)
                else:
                    until(page, READY)
                    base = prepared(page, options.window)
                    page.wait_for_timeout(2000)
                script = _FRAMES.replace("TURN", _THEIRS if name == PEER else _OURS)
                found = page.evaluate(script, [SETTLING + options.frames, base])[SETTLING:]
                if name != PEER and page.evaluate(_SIZE) != [*options.window]:
                    raise RuntimeError(f"{name}: was drawn in another size")
            times[name].append(statistics.median(found))
            console.print(f"round {number + 1}, {name}: {times[name][-1]:.1f} ms a frame")
    return times


def sort_times(browser: Any, options: Options, folder: Path) -> list[float]:
    """[ms] that the worker took for each order."""
    viewer, file = folder / "viewer.html", folder / "many.ply"
    _run(sys.executable, "-m", "gaborsplat", "export", "--viewer-only", "-o", viewer)
    save_splats(many(options.sorted_splats), file)
    with opened(browser, viewer, options.window) as page:
        page.set_input_files("#file", file)
        until(page, READY)
        return page.evaluate(_SORTS, options.sorts)


def many(count: int) -> Splats:
    """Splats at random places."""
    generator = torch.Generator().manual_seed(0)
    return Splats(
        means=10 * torch.rand(count, 3, generator=generator) - 5,
        quats=torch.tensor([1.0, 0, 0, 0]).expand(count, 4).contiguous(),
        scales=torch.full((count, 3), 0.01),
        opacities=torch.full((count,), 0.5),
        sh=torch.rand(count, 1, 3, generator=generator),
        frequencies=torch.zeros(count, 0, 3),
        coefficients=torch.zeros(count, 0, 2),
    )


def table(frames: Mapping[str, list[float]]) -> Rows:
    """For people."""
    rows = [["page", "frame (ms)", f"of {PEER}"]]
    for name, found in frames.items():
        ratio = ""
        if PEER in frames:
            pairs = zip(found, frames[PEER], strict=True)
            ratio = f"{statistics.median(ours / theirs for ours, theirs in pairs):.2f}"
        rows.append([name, f"{statistics.median(found):.1f}", ratio])
    return rows


def main() -> None:
    """Run the benchmark."""
    options = tyro.cli(Options, description=__doc__)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = pages(options, folder)
        browser = stack.enter_context(chromium())
        frames = frame_times(browser, files, options)
        sorts = sort_times(browser, options, folder)
    found = {"frame_ms": frames, "sort_ms": sorts, "sorted_splats": options.sorted_splats}
    write(options.out, found)
    tables = {f"Frames of {options.size}, medians of {options.rounds} rounds": table(frames)}
    show(tables)
    console.print(f"{options.sorted_splats:,} splats sorted in {statistics.median(sorts):.0f} ms")
    if options.docs is not None:
        document(options.docs, tables)


if __name__ == "__main__":
    main()
