"""The splats a fit starts from: one on every point of the capture."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...cameras import Camera
from ...splats import SH_C0, Parameters
from ..config import TrainConfig
from ..data import FitInput, Lengths, camera_centres
from .masked import counting
from .neighbours import neighbour_distance
from .thinning import thinned

log = logging.getLogger(__name__)

START_OPACITY = {"mcmc": 0.5, "default": 0.1}
"""MCMC starts firm, since its regularisation fades what is not needed; cloning starts faint."""
NEAREST = 0.02
"""Points nearer to a camera than this many scene scales are dropped: they fill its image."""
WIDEST = 0.2
"""A splat starts at most this large, per distance to the nearest camera."""
THINNEST = 1e-5
"""A splat starts at least this large, in scene scales: points may coincide."""
FEWEST_POINTS = 100
"""Captures with fewer points than this get random ones besides."""
RANDOM_POINTS = 10_000
"""How many random ones."""


def initial_parameters(
    data: FitInput, config: TrainConfig, generator: torch.Generator
) -> Parameters:
    """Raw parameters on the CPU, at most `config.max_splats`: round splats as wide as the mean
    distance to the three nearest others, in the points' colours, without waves.

    Points that are not finite, almost in a camera, beyond reach or masked out are dropped. Of more
    than `max_splats` a spatially even subset is kept, and a line logged. Where too few are left,
    random grey ones are added in the box that the cameras look into. `generator` is on the CPU.
    """
    cameras = [view.camera for view in data.train]
    finite = torch.isfinite(data.points).all(dim=-1)
    points, colors = data.points[finite].float(), data.point_colors[finite].float() / 255.0
    lengths = Lengths.of(cameras, points)
    size = lengths.scale
    clear = _camera_distance(points, cameras) > NEAREST * size
    clear &= counting(data.train, points)
    clear &= (points - lengths.middle).norm(dim=-1) < lengths.reach
    points, colors = points[clear], colors[clear]
    if len(points) < FEWEST_POINTS:
        extra = _random_points(cameras, size, min(RANDOM_POINTS, config.max_splats), generator)
        points = torch.cat([points, extra])
        colors = torch.cat([colors, torch.full_like(extra, 0.5)])
    if len(points) > config.max_splats:
        kept = thinned(points, config.max_splats, generator)
        log.warning(
            "note: starts from %s of %s points, spread evenly, as max_splats says",
            f"{len(kept):,}",
            f"{len(points):,}",
        )
        points, colors = points[kept], colors[kept]
    largest = WIDEST * _camera_distance(points, cameras)
    spacing = neighbour_distance(points).clamp_min(THINNEST * size).minimum(largest)
    raw = _round_splats(points, colors, spacing, config, generator)
    return {name: torch.nn.Parameter(tensor) for name, tensor in raw.items()}


def _round_splats(
    points: Tensor, colors: Tensor, radii: Tensor, config: TrainConfig, generator: torch.Generator
) -> dict[str, Tensor]:
    count = len(points)
    sh_coeffs = (config.degree + 1) ** 2
    quats = torch.randn(count, 4, generator=generator, dtype=torch.float32, device=generator.device)
    opacity = START_OPACITY[config.strategy]
    return {
        "means": points.clone(),
        "quats": F.normalize(quats, dim=-1),
        "scales": torch.log(radii)[:, None].repeat(1, 3),
        "opacities": points.new_full((count,), math.log(opacity / (1 - opacity))),
        "sh0": ((colors - 0.5) / SH_C0)[:, None],
        "shN": points.new_zeros(count, sh_coeffs - 1, 3),
        "frequencies": points.new_zeros(count, config.gabor, 3),
        "coefficients": points.new_zeros(count, config.gabor, 2),
    }


def _camera_distance(points: Tensor, cameras: Sequence[Camera]) -> Tensor:
    """[P] distance to the nearest camera."""
    centres = camera_centres(cameras)
    parts = [torch.cdist(part, centres).amin(dim=-1) for part in points.split(16_384)]
    return torch.cat(parts) if parts else points.new_zeros(0)


def _random_points(
    cameras: Sequence[Camera], size: float, count: int, generator: torch.Generator
) -> Tensor:
    """[count, 3] uniform in the cube around what the cameras look at, as wide as they see there;
    where they look at nothing in common, in front of each of them."""
    found = _focus(cameras)
    if found is None:
        return _points_ahead(cameras, size, count, generator)
    focus, distance = found
    tangents = [max(c.size) / (2 * float(c.intrinsics[0, 0])) for c in cameras]
    half = distance * sum(tangents) / len(tangents)
    return focus + half * (2 * _uniform(count, 3, generator) - 1)


def _points_ahead(
    cameras: Sequence[Camera], size: float, count: int, generator: torch.Generator
) -> Tensor:
    """[count, 3] in the pictures of cameras, chosen at random, one to four scene scales deep."""
    chosen = torch.randint(len(cameras), (count,), generator=generator, device=generator.device)
    x, y, depth = _uniform(3, count, generator)
    depth = size * 4**depth
    poses = torch.stack([camera.world_to_camera for camera in cameras])[chosen]
    k = torch.stack([camera.intrinsics for camera in cameras])[chosen]
    width, height = x.new_tensor([camera.size for camera in cameras])[chosen].unbind(1)
    pixels = torch.stack([x * width, y * height, torch.ones_like(x)], dim=1)
    local = torch.linalg.solve(k, pixels) * depth[:, None] - poses[:, :3, 3]
    return (poses[:, :3, :3].transpose(1, 2) @ local[:, :, None])[:, :, 0]


def _uniform(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """[rows, columns] float32 in [0, 1)."""
    return torch.rand(
        rows, columns, generator=generator, dtype=torch.float32, device=generator.device
    )


def _focus(cameras: Sequence[Camera]) -> tuple[Tensor, float] | None:
    """The point nearest to all optical axes, and the cameras' median distance from it; None where
    the axes are parallel or meet behind the cameras.
    """
    centres = camera_centres(cameras)
    axes = torch.stack([camera.world_to_camera[2, :3] for camera in cameras])
    identity = torch.eye(3, dtype=axes.dtype, device=axes.device)
    across = identity - axes[:, :, None] * axes[:, None, :]  # [C, 3, 3] off-axis projection
    normal = across.mean(0)
    focus = torch.linalg.lstsq(normal, (across @ centres[:, :, None]).mean(0)).solution[:, 0]
    depths = ((focus - centres) * axes).sum(-1)
    well_posed = float(torch.linalg.eigvalsh(normal)[0]) > 1e-3
    if well_posed and float(depths.median()) > 0:
        return focus, float(depths.median())
    return None
