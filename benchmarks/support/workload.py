"""What is drawn: a real scene, or a box of random points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.splats import SH_C0, Splats
from gaborsplat.renderer.training.density.neighbours import neighbour_distances


@cache
def _garden(path: Path) -> tuple[dict[str, Tensor], Tensor]:
    """The arrays of gsplat's test_garden.npz, and the spacing of its points."""
    points = {name: torch.from_numpy(array) for name, array in np.load(path).items()}
    return points, neighbour_distances(points["means3d"]).square().mean(dim=-1).sqrt()


@dataclass(frozen=True)
class Workload:
    """What is drawn."""

    scene: str  # "garden", or a number of random splats
    size: tuple[int, int]
    waves: int
    degree: int


def load(work: Workload, garden: Path | None) -> tuple[Splats, Camera]:
    """The splats and a camera of a workload."""
    if work.scene == "garden":
        assert garden is not None
        points, scales = _garden(garden)
        means, colors = points["means3d"], points["colors"].double() / 255
        camera = Camera(points["viewmats"][0], points["Ks"][0], (648, 420)).resized(work.size)
    else:
        means, colors, camera = _random_room(int(work.scene), work.size)
        scales = neighbour_distances(means).square().mean(dim=-1).sqrt()
    return _dressed(means, colors, scales, work), camera


def _random_room(count: int, size: tuple[int, int]) -> tuple[Tensor, Tensor, Camera]:
    """Points on the walls of a box, seen from inside; about half of them are in the picture."""
    random = np.random.default_rng(1)
    means = random.uniform(-1, 1, (count, 3))
    wall = random.integers(0, 3, count)
    means[np.arange(count), wall] = np.sign(means[np.arange(count), wall])
    width, height = size
    focal = 0.45 * width
    intrinsics = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    camera = Camera(torch.eye(4), intrinsics.float(), size)
    return torch.from_numpy(means).float(), torch.from_numpy(random.random((count, 3))), camera


def _dressed(means: Tensor, colors: Tensor, scales: Tensor, work: Workload) -> Splats:
    """Random rotations, opacity 0.6, colours as given; waves of 0.2 to 0.8 cycles per sigma."""
    count = len(means)
    random = np.random.default_rng(0)
    quats = random.standard_normal((count, 4))
    sh = np.zeros((count, (work.degree + 1) ** 2, 3))
    sh[:, 0] = (np.asarray(colors) - 0.5) / SH_C0
    sh[:, 1:] = 0.05 * random.standard_normal(sh[:, 1:].shape)
    directions = random.standard_normal((count, work.waves, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    frequencies = directions * random.uniform(0.2, 0.8, (count, work.waves, 1))
    coefficients = random.uniform(-0.3, 0.3, (count, work.waves, 2))
    tensors = (
        means,
        torch.from_numpy(quats),
        scales[:, None].repeat(1, 3),
        torch.full((count,), 0.6),
        torch.from_numpy(sh),
        torch.from_numpy(frequencies),
        torch.from_numpy(coefficients),
    )
    return Splats(*(tensor.float().contiguous() for tensor in tensors))
