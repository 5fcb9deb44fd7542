"""Instructions that warps issue to blend a picture on a GPU, ours beside gsplat's. Needs no GPU.

    python -m benchmarks.gpu.warp_work GARDEN.npz [--size 648 420] [--json FILE]

The loops over splats are compiled for sm_90 and disassembled: ours by NVRTC, gsplat 1.5.3's by
nvcc, where there is one. How often a warp goes through its loop, and how often to blend, follows
from the lists of every tile and from where its pixels close. The product is a count, not a time:
loading, sorting, memory and latency are left out. Disassembling takes NVIDIA's tool:
pip install nvidia-cuda-nvdisasm.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
import tyro
from rich.table import Table
from torch import Tensor

from benchmarks.gpu.sass import Loop, blending_loop, disassemble
from benchmarks.support.report import write
from benchmarks.support.workload import Workload, load
from gaborsplat.console import console
from gaborsplat.devices import machine
from gaborsplat.renderer.backends.cpu import CpuBackend
from gaborsplat.renderer.backends.cuda.compiler import compile_kernel
from gaborsplat.renderer.backends.stages import Projected, SplatsToBin
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.forward import RasterOptions, in_view
from gaborsplat.renderer.raster.inputs import project_options
from gaborsplat.renderer.raster.passes import Passes
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats

ARCHITECTURE = "sm_90"
TILE, PATCH, GROUP = 16, 8, 32
ALPHA_MIN, ALPHA_MAX, TRANSMITTANCE_MIN = 1 / 255, 0.99, 1e-4
WAVES = (0, 2, 4)
PASSES = Passes(CpuBackend())


@dataclass(frozen=True)
class Options:
    """What to count."""

    garden: tyro.conf.Positional[Path]
    size: tuple[int, int] = (648, 420)
    json: Path | None = None


@dataclass
class LoopPasses:
    """Times that warps went through a loop, and of these, times that some pixel took the splat."""

    all: int = 0
    blended: int = 0

    def add(self, passed: Tensor, blended: Tensor) -> None:
        """Of a tile: [splats, warps] bool."""
        self.all += int(passed.sum())
        self.blended += int((passed & blended).sum())

    def instructions(self, loop: Loop) -> int:
        """Of all passes."""
        return loop.shortest * (self.all - self.blended) + loop.longest * self.blended


@dataclass
class Counted:
    """Of one renderer."""

    pairs: int  # of a splat and a tile
    forward: LoopPasses
    backward: LoopPasses


@dataclass
class Row:
    """A line of the result."""

    kernel: str
    renderer: str
    waves: int
    pairs: int  # of a splat and a tile
    loop: Loop
    passes: LoopPasses
    instructions: int  # of all warps


class Tile:
    """Splats over the pixels of one tile, front to back."""

    def __init__(self, p: Projected, ids: Tensor, corner: tuple[int, int]) -> None:
        offset = torch.arange(TILE) + 0.5
        self.x, self.y = offset + corner[0], offset + corner[1]
        self.means, self.conics = p.means2d[0, ids], p.conics[0, ids]
        power = self.powers(self.x, self.y)
        opacities = p.opacities[0, ids, None, None]
        raw = opacities * torch.exp(-power)
        alpha = torch.where(raw < ALPHA_MIN, 0, raw.clamp_max(ALPHA_MAX))
        self.counts = alpha > 0  # [n, 16, 16]
        left = torch.cumprod(1 - alpha, dim=0)
        closed = left <= TRANSMITTANCE_MIN  # after this splat, which is not blended
        self.open = torch.cat([torch.ones_like(closed[:1]), ~closed[:-1]])  # before it
        self.blended = self.counts & ~closed

    def powers(self, x: Tensor, y: Tensor) -> Tensor:
        """Minus the envelope's exponent at all pairs of coordinates, [n, len(y), len(x)]."""
        dx, dy = (x - self.means[:, :1])[:, None], (y - self.means[:, 1:])[..., None]
        xx, xy, yy = self.conics[:, :, None, None].unbind(1)
        return 0.5 * (xx * dx**2 + yy * dy**2) + xy * dx * dy

    def near_warps(self, cutoffs: Tensor) -> Tensor:
        """Where our warps, of 8 x 8 pixels, find that a splat may be seen: [n, 4]. By sampling; the
        kernels find the maximum over the patch in closed form."""
        found: list[Tensor] = []
        steps = torch.linspace(0, PATCH - 1, 29)
        for top in range(0, TILE, PATCH):
            for first in range(0, TILE, PATCH):
                x, y = self.x[first] + steps, self.y[top] + steps
                found.append(self.powers(x, y).flatten(1).amin(dim=1) <= cutoffs)
        return torch.stack(found, dim=1)


def warps(pixels: Tensor, height: int, width: int) -> Tensor:
    """Whether any pixel of a warp's patch: [n, 16, 16] to [n, warps]."""
    parts = pixels.unfold(1, height, height).unfold(2, width, width)
    return parts.flatten(3).any(dim=-1).flatten(1)


def every(rows: Tensor, step: int) -> Tensor:
    """What holds for the first row of each `step`, for all of them."""
    return rows[::step].repeat_interleave(step, dim=0)[: len(rows)]


def tiles_of(ids: Tensor, offsets: Tensor, across: int) -> Iterator[tuple[Tensor, tuple[int, int]]]:
    """Splats and first pixel of every tile that has any."""
    for tile, (begin, end) in enumerate(
        zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ):
        if begin < end:
            yield ids[begin:end].long(), (tile % across * TILE, tile // across * TILE)


def ours(p: Projected, size: tuple[int, int]) -> Counted:
    """Exact tile lists, and warps of 8 x 8 that pass over what cannot be seen in them."""
    tiles = PASSES.bin(
        SplatsToBin(p, p.visible, size, project_options(RenderSettings()), True, False)
    )
    counted = Counted(len(tiles.splat_ids), LoopPasses(), LoopPasses())
    for ids, corner in tiles_of(tiles.splat_ids, tiles.offsets, math.ceil(size[0] / TILE)):
        tile = Tile(p, ids, corner)
        near, open_ = tile.near_warps(p.cutoffs[0, ids]), warps(tile.open, PATCH, PATCH)
        taken = warps(tile.counts & tile.open, PATCH, PATCH)
        counted.forward.add(near & every(open_, GROUP), taken)
        counted.backward.add(near & every(open_, GROUP), warps(tile.blended, PATCH, PATCH))
    return counted


def gsplats(p: Projected, splats: Splats, size: tuple[int, int]) -> Counted:
    """All tiles of a box by opacity and variance; warps of 16 x 2 that go through all of a tile's
    splats until their pixels are closed, and back from the last that one of them took."""
    conics = p.conics[0]
    determinant = conics[:, 0] * conics[:, 2] - conics[:, 1] ** 2
    variance = torch.stack([conics[:, 2], conics[:, 0]], dim=1) / determinant[:, None]
    reach = (2 * torch.log(splats.opacities * 255)).sqrt().clamp_max(3.33)
    radii = (reach[:, None] * variance.sqrt()).ceil()
    seen = (p.radii[0, :, 0] > 0).nonzero().squeeze(1)
    seen = seen[p.depths[0, seen].argsort(stable=True)]
    grid = torch.tensor([math.ceil(side / TILE) for side in size])
    zero = torch.zeros(2, dtype=torch.long)
    low = ((p.means2d[0, seen] - radii[seen]) / TILE).floor().long().clamp(zero, grid)
    high = ((p.means2d[0, seen] + radii[seen]) / TILE).ceil().long().clamp(zero, grid)
    counted = Counted(int((high - low).prod(dim=1).sum()), LoopPasses(), LoopPasses())
    for tile in range(int(grid.prod())):
        at = torch.tensor([tile % int(grid[0]), tile // int(grid[0])])
        ids = seen[((low <= at) & (at < high)).all(dim=1)]
        if not len(ids):
            continue
        one = Tile(p, ids, (int(at[0]) * TILE, int(at[1]) * TILE))
        open_, blended = warps(one.open, 2, 16), warps(one.blended, 2, 16)
        counted.forward.add(open_, warps(one.counts & one.open, 2, 16))
        # Up to the last blended one.
        counted.backward.add(blended.flip(0).cummax(dim=0).values.flip(0), blended)
    return counted


def our_loops() -> dict[tuple[str, int], Loop]:
    """By kernel and waves."""
    loops: dict[tuple[str, int], Loop] = {}
    for name in ("blend", "blend_backward"):
        for waves in WAVES:
            defines = (("CHANNELS", "3"), ("WAVES", str(waves)))
            cubin = compile_kernel(name, name, defines, ARCHITECTURE)
            loops[name, waves] = blending_loop(disassemble(cubin, f".{name}"))
    return loops


def gsplat_loops() -> dict[str, Loop]:
    """Of gsplat's two kernels, compiled with the options that it compiles them with; none where
    there is no nvcc."""
    spec = find_spec("gsplat")
    if shutil.which("nvcc") is None or spec is None or not spec.submodule_search_locations:
        console.print("without gsplat, which takes nvcc and pip install gsplat==1.5.3")
        return {}
    sources = Path(spec.submodule_search_locations[0]) / "cuda"
    torch_includes = Path(torch.__file__).parent / "include"
    loops: dict[str, Loop] = {}
    with tempfile.TemporaryDirectory() as folder:
        # A build of torch for the CPU has CUDA's headers, but for this one, which is generated.
        macros = Path(folder) / "c10" / "cuda" / "impl" / "cuda_cmake_macros.h"
        macros.parent.mkdir(parents=True)
        macros.write_text("#define C10_CUDA_BUILD_SHARED_LIBS\n")
        includes = [folder, torch_includes, torch_includes / "torch/csrc/api/include"]
        includes += [sources / "include", sources / "csrc", sources / "csrc/third_party/glm"]
        for name, file in (("blend", "Fwd"), ("blend_backward", "Bwd")):
            cubin = Path(folder) / f"{name}.cubin"
            source = sources / "csrc" / f"RasterizeToPixels3DGS{file}.cu"
            command = ["nvcc", f"-arch={ARCHITECTURE}", "-cubin", "-O3", "--use_fast_math"]
            command += [
                "-std=c++20",
                "--expt-relaxed-constexpr",
                "-w",
                "-o",
                str(cubin),
                str(source),
            ]
            command += [f"-I{each}" for each in includes]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode != 0:
                sys.exit(f"nvcc does not compile {source.name}: {result.stderr.splitlines()[:1]}")
            lines = disassemble(cubin.read_bytes(), f"{file.lower()}_kernelILj3E")
            loops[name] = blending_loop(lines, through="EX2")
    return loops


def projected(splats: Splats, camera: Camera) -> Projected:
    """On the image of a camera."""
    settings = RenderSettings()
    return PASSES.shaded(in_view(splats, camera, settings, RasterOptions.of(settings))).projected


def main() -> None:
    """Run the benchmark."""
    options = tyro.cli(Options, description=__doc__)
    console.print(machine())
    loops, their_loops = our_loops(), gsplat_loops()
    rows: list[Row] = []
    for waves in WAVES:
        splats, camera = load(Workload("garden", options.size, waves, 0), options.garden)
        p = projected(splats, camera)
        counted = {"ours": ours(p, options.size)}
        if waves == 0 and their_loops:
            counted["gsplat"] = gsplats(p, splats, options.size)
        for renderer, count in counted.items():
            for name, passes in (("blend", count.forward), ("blend_backward", count.backward)):
                loop = loops[name, waves] if renderer == "ours" else their_loops[name]
                issued = passes.instructions(loop)
                rows.append(Row(name, renderer, waves, count.pairs, loop, passes, issued))
    show(rows)
    if options.json is not None:
        write(options.json, [asdict(row) for row in rows])


def show(rows: list[Row]) -> None:
    """A table; the ratio is gsplat's instructions over ours, without waves."""
    columns = ("kernel", "of", "K", "pairs", "passed over", "blended", "LDS", "passes")
    table = Table(*columns, "blended in", "issued", "gsplat /", box=None, padding=(0, 1, 0, 0))
    theirs = {row.kernel: row.instructions for row in rows if row.renderer == "gsplat"}
    for row in rows:
        table.add_row(
            *map(str, (row.kernel, row.renderer, row.waves, row.pairs)),
            *map(str, (row.loop.shortest, row.loop.longest, row.loop.shared_loads)),
            *(f"{each / 1e6:.2f}M" for each in (row.passes.all, row.passes.blended)),
            f"{row.instructions / 1e6:.0f}M",
            f"{theirs[row.kernel] / row.instructions:.2f}" if theirs else "-",
        )
    console.print(table)


if __name__ == "__main__":
    main()
