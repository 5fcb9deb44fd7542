"""Writes the texture suite: five procedural captures in COLMAP's layout, for `gaborsplat train`.

    python -m benchmarks.gabor.textures FOLDER [--size 400] [--seed 0]

cloth     woven cloth on a curved surface
bricks    a brick wall with lettering
fence     a chain-link fence in front of balls and a wall
objects   striped and checkered things on a patterned floor
foliage   bushes and ground of noise over several octaves

Each has 48 photos, 4:3, of exact pinhole cameras in front of it, of which every sixth is meant for
testing, and points on its surfaces. A pixel is the mean of 9 rays.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

from benchmarks.gabor.raycaster import Ball, Pillar, Quad, Surface, cast, picture
from benchmarks.support.fit_data import FitData
from gaborsplat.renderer.rotations import to_quaternions
from gaborsplat.renderer.training import FitInput
from gaborsplat.scenes import load_capture

LAST_FILE = "sparse/0/points3D.txt"
"""Of a capture, to be written."""
VIEWS = 48
TEST_EVERY = 6
SAMPLES = 3
POINTS = 4000
POINT_NOISE = 0.003
"""Of the length by which a point lies off its surface, per distance from the camera."""


@dataclass(frozen=True)
class Options:
    """What to write, and where."""

    folder: tyro.conf.Positional[Path]
    size: int = 400
    """Longest side of the photos [px]."""
    seed: int = 0


def vector(*numbers: float) -> Tensor:
    """A float tensor."""
    return torch.tensor(numbers, dtype=torch.float32)


def plain(*color: float) -> Callable[[Tensor, Tensor], Tensor]:
    """One colour."""
    return lambda u, v: vector(*color).expand(len(u), 3)


def mix(low: Tensor, high: Tensor, share: Tensor) -> Tensor:
    """[R, 3] between two colours."""
    return low + share[:, None] * (high - low)


def noise(u: Tensor, v: Tensor, seed: int) -> Tensor:
    """[R] in [0, 1): random numbers on the integers, smoothly between them."""
    corner_u, corner_v = u.floor(), v.floor()
    x, y = u - corner_u, v - corner_v
    x, y = x * x * (3 - 2 * x), y * y * (3 - 2 * y)

    def at(du: int, dv: int) -> Tensor:
        return scatter((corner_u + du).long(), (corner_v + dv).long(), seed)

    return torch.lerp(torch.lerp(at(0, 0), at(1, 0), x), torch.lerp(at(0, 1), at(1, 1), x), y)


def scatter(i: Tensor, j: Tensor, seed: int) -> Tensor:
    """[R] in [0, 1): a number for every pair of integers, as if at random."""
    mixed = (i * 374_761_393 + j * 668_265_263 + seed * 974_711) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 13)) * 1_274_126_177) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 16)) & 0xFFFFFF).float() / 2**24


def weave(u: Tensor, v: Tensor) -> Tensor:
    """Warp and weft of two colours, over and under in turn, darker at the threads' edges."""
    width = 0.035
    i, j = (u / width).floor(), (v / width).floor()
    x, y = u / width - i - 0.5, v / width - j - 0.5
    warp_on_top = (i + j) % 2 == 0
    aside = torch.where(warp_on_top, x, y)
    along = torch.where(warp_on_top, y, x)
    shade = (1 - 2.4 * aside.square()) * (1 - 0.8 * along.square())
    color = torch.where(warp_on_top[:, None], vector(0.75, 0.22, 0.18), vector(0.88, 0.82, 0.66))
    return color * shade[:, None]


def cloth() -> list[Surface]:
    """A woven roll on a plain floor."""
    floor = Quad(vector(0, -1, 0), vector(2, 0, 0), vector(0, 0, -2), plain(0.35, 0.37, 0.4))
    return [Pillar(vector(0, 0, 0), 0.9, 1.0, weave), floor]


def lettering() -> Callable[[Tensor, Tensor], Tensor]:
    """How much paint there is at (u, v)."""
    canvas = np.zeros((600, 2000), np.uint8)
    for row, text in enumerate(("SHARP EDGES", "fine texture 1234")):
        origin = (40, 250 + 250 * row)
        cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_DUPLEX, 6.2 - 2.2 * row, (255,), 22)
    paint = torch.from_numpy(canvas).float()[None, None] / 255

    def at(u: Tensor, v: Tensor) -> Tensor:
        grid = torch.stack([u / 1.5, -v / 0.45], dim=1)[None, None]
        return F.grid_sample(paint, grid, align_corners=False)[0, 0, 0]

    return at


def bricks() -> list[Surface]:
    """A wall on gravel."""
    paint = lettering()

    def wall(u: Tensor, v: Tensor) -> Tensor:
        row = (v / 0.09).floor()
        shifted = u / 0.24 + 0.5 * (row % 2)
        column = shifted.floor()
        x, y = (shifted - column - 0.5).abs() * 0.24, (v / 0.09 - row - 0.5).abs() * 0.09
        shade = scatter(column.long(), row.long(), 1)
        brick = mix(vector(0.5, 0.2, 0.13), vector(0.78, 0.42, 0.28), shade)
        brick = brick * (0.85 + 0.3 * noise(60 * u, 60 * v, 2))[:, None]
        mortar = (x > 0.113) | (y > 0.038)
        color = torch.where(mortar[:, None], vector(0.72, 0.7, 0.66), brick)
        return color + paint(u, v)[:, None] * (vector(0.95, 0.95, 0.9) - color)

    def gravel(u: Tensor, v: Tensor) -> Tensor:
        return mix(vector(0.25, 0.24, 0.22), vector(0.7, 0.68, 0.62), noise(35 * u, 35 * v, 3))

    return [
        Quad(vector(0, 0, -0.5), vector(1.8, 0, 0), vector(0, 1, 0), wall),
        Quad(vector(0, -1, 0.7), vector(1.8, 0, 0), vector(0, 0, -1.2), gravel),
    ]


def fence() -> list[Surface]:
    """Wires before a plain room."""

    def open_mesh(u: Tensor, v: Tensor) -> Tensor:
        period, wire = 0.16, 0.018
        one, other = (u + v) / period, (u - v) / period
        near = torch.minimum((one - one.round()).abs(), (other - other.round()).abs())
        return near * period > wire

    def steel(u: Tensor, v: Tensor) -> Tensor:
        return mix(vector(0.55, 0.57, 0.6), vector(0.85, 0.86, 0.9), noise(9 * u, 9 * v, 4))

    def wall(u: Tensor, v: Tensor) -> Tensor:
        return mix(vector(0.2, 0.35, 0.5), vector(0.75, 0.6, 0.4), (0.5 + 0.2 * u).clamp(0, 1))

    return [
        Quad(vector(0, 0, 0.5), vector(1.5, 0, 0), vector(0, 1, 0), steel, open_mesh),
        Quad(vector(0, 0, -1.2), vector(2.5, 0, 0), vector(0, 1.6, 0), wall),
        Ball(vector(-0.6, -0.2, -0.5), 0.4, plain(0.8, 0.25, 0.2)),
        Ball(vector(0.5, 0.2, -0.6), 0.45, plain(0.2, 0.6, 0.3)),
    ]


def objects() -> list[Surface]:
    """Three things on tiles."""

    def stripes(u: Tensor, v: Tensor) -> Tensor:
        wave = torch.sin(2 * math.pi * (v + 0.3 * u) / 0.07)
        return mix(vector(0.1, 0.15, 0.5), vector(0.95, 0.9, 0.8), (0.5 + 2 * wave).clamp(0, 1))

    def checks(u: Tensor, v: Tensor) -> Tensor:
        odd = ((u / 0.06).floor() + (v / 0.06).floor()) % 2
        return mix(vector(0.85, 0.7, 0.1), vector(0.12, 0.1, 0.12), odd)

    def rings(u: Tensor, v: Tensor) -> Tensor:
        return mix(vector(0.7, 0.1, 0.15), vector(0.95, 0.95, 0.95), (v / 0.05).floor() % 2)

    def tiles(u: Tensor, v: Tensor) -> Tensor:
        x, y = u / 0.12, v / 0.12
        dot = (x - x.round()).square() + (y - y.round()).square() < 0.09
        line = ((x - x.floor() - 0.5).abs() < 0.06) | ((y - y.floor() - 0.5).abs() < 0.06)
        color = torch.where(dot[:, None], vector(0.25, 0.45, 0.4), vector(0.82, 0.8, 0.74))
        return torch.where(line[:, None], vector(0.4, 0.36, 0.34), color)

    return [
        Ball(vector(-0.75, -0.45, 0.1), 0.55, stripes),
        Ball(vector(0.7, -0.5, 0.3), 0.5, checks),
        Pillar(vector(0.05, -0.3, -0.6), 0.4, 0.7, rings),
        Quad(vector(0, -1, 0), vector(2, 0, 0), vector(0, 0, -2), tiles),
    ]


def foliage() -> list[Surface]:
    """Bushes."""

    def leaves(seed: int) -> Callable[[Tensor, Tensor], Tensor]:
        def at(u: Tensor, v: Tensor) -> Tensor:
            total = torch.zeros_like(u)
            for octave in range(4):
                rate = 12.0 * 2**octave
                total += noise(rate * u, rate * v, seed + octave) / 1.4**octave
            share = ((total / 2.6 - 0.5) * 3 + 0.5).clamp(0, 1)
            return mix(vector(0.05, 0.15, 0.04), vector(0.6, 0.75, 0.25), share)

        return at

    return [
        Ball(vector(-0.7, -0.3, 0), 0.7, leaves(10)),
        Ball(vector(0.6, -0.4, 0.3), 0.6, leaves(20)),
        Ball(vector(0.2, 0.25, -0.6), 0.7, leaves(30)),
        Quad(vector(0, -1, 0), vector(2, 0, 0), vector(0, 0, -2), leaves(40)),
    ]


CAPTURES: dict[str, Callable[[], list[Surface]]] = {
    "cloth": cloth,
    "bricks": bricks,
    "fence": fence,
    "objects": objects,
    "foliage": foliage,
}


def camera_at(azimuth: float, elevation: float, distance: float) -> Tensor:
    """World to camera [4, 4] of one that looks at the middle of the scene; y is up."""
    across = math.cos(elevation)
    position = distance * vector(
        math.sin(azimuth) * across, math.sin(elevation), math.cos(azimuth) * across
    )
    ahead = F.normalize(vector(0, -0.2, 0) - position, dim=0)
    right = F.normalize(torch.linalg.cross(ahead, vector(0, 1, 0)), dim=0)
    rotation = torch.stack([right, torch.linalg.cross(ahead, right), ahead])
    matrix = torch.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, -rotation @ position
    return matrix


def cameras(generator: torch.Generator) -> list[Tensor]:
    """On an arc before the scene, at three heights, a little out of line."""
    found: list[Tensor] = []
    for view in range(VIEWS):
        jitter = torch.rand(3, generator=generator).sub(0.5).tolist()
        azimuth = -0.9 + 1.8 * (view + jitter[0]) / (VIEWS - 1)
        elevation = 0.15 + 0.22 * (view % 3) + 0.1 * jitter[1]
        found.append(camera_at(azimuth, elevation, 2.9 + 0.8 * jitter[2]))
    return found


def lens(size: tuple[int, int]) -> Tensor:
    """Intrinsics [3, 3] [px]."""
    width, height = size
    return vector(width, 0, width / 2, 0, width, height / 2, 0, 0, 1).reshape(3, 3).float()


def surface_points(
    scene: Sequence[Surface], views: Sequence[Tensor], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Points [P, 3] that the cameras see, a little off, and their colours."""
    points: list[Tensor] = []
    colors: list[Tensor] = []
    each = POINTS // len(views)
    for view in views:
        at = torch.rand(each, 2, generator=generator) * vector(1.0, 0.75) - vector(0.5, 0.375)
        directions = F.normalize(F.pad(at, (0, 1), value=1.0) @ view[:3, :3], dim=1)
        origin = -view[:3, :3].T @ view[:3, 3]
        color, distance = cast(scene, origin, directions)
        seen = distance.isfinite()
        error = 1 + POINT_NOISE * torch.randn(each, generator=generator)
        points.append(origin + ((distance * error)[:, None] * directions)[seen])
        colors.append(color[seen])
    return torch.cat(points), torch.cat(colors)


def write_capture(folder: Path, scene: Sequence[Surface], size: tuple[int, int], seed: int) -> None:
    """Photos and COLMAP's three text files."""
    generator = torch.Generator().manual_seed(seed)
    views, intrinsics = cameras(generator), lens(size)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "sparse" / "0").mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for index, view in enumerate(views):
        name = f"{index:03d}.png"
        rgb = picture(scene, view, intrinsics, size, SAMPLES).clamp(0, 1)
        pixels = (255 * rgb + 0.5).byte().numpy()
        cv2.imwrite(str(folder / "images" / name), pixels[..., ::-1])
        pose = [*to_quaternions(view[None, :3, :3].double())[0].tolist(), *view[:3, 3].tolist()]
        lines.append(f"{index + 1} {' '.join(f'{x:.9g}' for x in pose)} 1 {name}\n\n")
    model = folder / "sparse" / "0"
    focal, center_x, center_y = intrinsics[0, 0], intrinsics[0, 2], intrinsics[1, 2]
    (model / "cameras.txt").write_text(
        f"1 PINHOLE {size[0]} {size[1]} {focal} {focal} {center_x} {center_y}\n"
    )
    (model / "images.txt").write_text("".join(lines))
    points, colors = surface_points(scene, views, generator)
    rows = zip(points.tolist(), (255 * colors).round().int().tolist(), strict=True)
    (folder / LAST_FILE).write_text(
        "".join(
            f"{i} {' '.join(f'{x:.6g}' for x in at)} {' '.join(map(str, rgb))} 1\n"
            for i, (at, rgb) in enumerate(rows, 1)
        )
    )


def write_suite(
    folder: Path, longest: int = 400, seed: int = 0, names: Collection[str] = CAPTURES
) -> None:
    """Captures that are not there yet, each in a folder of its name; all, or those with `names`."""
    size = (longest, 3 * longest // 4)
    for name, scene in CAPTURES.items():
        if name not in names or (folder / name / LAST_FILE).is_file():
            continue
        started = time.perf_counter()
        write_capture(folder / name, scene(), size, seed)
        print(f"{folder / name}: {time.perf_counter() - started:.1f} s")


def load(folder: Path, max_size: int) -> FitInput:
    """A capture; of the suite, with every sixth view to be tested."""
    capture = load_capture(folder, max_size=max_size)
    if folder.name not in CAPTURES:
        return capture
    views = sorted(capture.views, key=lambda view: view.name)
    train = [view for index, view in enumerate(views) if index % TEST_EVERY]
    return FitData(train, views[::TEST_EVERY], capture.points, capture.point_colors)


def main() -> None:
    """Write the suite."""
    options = tyro.cli(Options, description=__doc__)
    write_suite(options.folder, options.size, options.seed)


if __name__ == "__main__":
    main()
