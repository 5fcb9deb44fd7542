"""Small scenes whose pictures exercise one thing each."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.splats import Splats

SIZE = (40, 28)
"""(width, height) [px]: three tiles by two, both cut off by the border."""


def real(*values: object) -> Tensor:
    """A float64 tensor of these numbers or rows."""
    return torch.tensor(values, dtype=torch.float64)


def camera(
    size: tuple[int, int] = SIZE,
    dtype: torch.dtype = torch.float64,
    centre: tuple[float, float] = (0.46, 0.55),
) -> Camera:
    """A tilted, displaced camera whose principal point lies at `centre` of the image."""
    width, height = size
    intrinsics = torch.tensor(
        [
            [0.95 * width, 0.0, centre[0] * width],
            [0.0, 1.2 * height, centre[1] * height],
            [0.0, 0.0, 1.0],
        ],
        dtype=torch.float64,
    )
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = _turn(0, 0.3) @ _turn(1, -0.5) @ _turn(2, 0.2)
    pose[:3, 3] = real(0.2, -0.1, 0.4)
    return Camera(pose, intrinsics, size).to(dtype)


def straight_camera(size: tuple[int, int] = SIZE, dtype: torch.dtype = torch.float64) -> Camera:
    """A camera at the origin, looking along z, its principal point on a pixel centre."""
    width, height = size
    intrinsics = torch.tensor(
        [
            [32.0, 0.0, width // 2 + 0.5],
            [0.0, 32.0, height // 2 + 0.5],
            [0.0, 0.0, 1.0],
        ],
        dtype=dtype,
    )
    return Camera(torch.eye(4, dtype=dtype), intrinsics, size)


def cloud(
    n: int,
    waves: int = 0,
    *,
    degree: int = 0,
    seed: int = 0,
    view: Camera | None = None,
    dtype: torch.dtype = torch.float64,
) -> Splats:
    """Random ellipsoids that fill `view` and reach beyond its border, 1 to 5 px in size.

    Depths differ by more than rounding, opacities stay below 0.9 and the wave banks are positive
    and below 1.1, so that without thresholds the picture is smooth in every parameter.
    """
    view = view or camera()
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        values = torch.rand(shape, generator=generator, dtype=torch.float64)
        return low + (high - low) * values

    width, height = view.size
    pixels = uniform(-0.08, 1.08, n, 2) * torch.tensor([width, height])
    depth = torch.linspace(2.0, 6.0, max(n, 1), dtype=torch.float64)[:n]
    depth = depth[torch.randperm(n, generator=generator)][:, None]
    sigma = torch.exp(uniform(math.log(1.0), math.log(5.0), n, 3))  # [px]
    amplitude = 0.3 / max(waves, 1)
    splats = Splats(
        means=_unproject(pixels, depth, view),
        quats=torch.randn(n, 4, generator=generator, dtype=torch.float64) * uniform(0.5, 2, n, 1),
        scales=sigma * depth / view.intrinsics[0, 0].double(),
        opacities=uniform(0.3, 0.88, n),
        sh=uniform(-0.3, 0.3, n, (degree + 1) ** 2, 3) / (degree + 1),
        frequencies=uniform(-0.5, 0.5, n, waves, 3),
        coefficients=uniform(-amplitude, amplitude, n, waves, 2),
    )
    return splats.to(dtype)


def ball(n: int, waves: int, degree: int = 3) -> Splats:
    """Needles and plates with strong waves, float32, in a ball of radius 1 about the origin."""
    like = cloud(n, waves, degree=degree, dtype=torch.float32)
    generator = torch.Generator().manual_seed(1)
    means = torch.randn(n, 3, generator=generator) * 0.5
    scales = torch.exp(torch.rand(n, 3, generator=generator) * 3 - 5)
    return replace(like, means=means, scales=scales, coefficients=3 * like.coefficients)


def dot(
    depth: float = 4.0,
    scale: float = 0.4,
    opacity: float = 0.5,
    color: tuple[float, float, float] = (0.9, 0.5, 0.2),
    dtype: torch.dtype = torch.float64,
) -> Splats:
    """One round splat on the axis of `straight_camera`."""
    dc = (torch.tensor(color, dtype=dtype) - 0.5) * math.sqrt(4 * math.pi)
    return Splats(
        means=torch.tensor([[0.0, 0.0, depth]], dtype=dtype),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=dtype),
        scales=torch.full((1, 3), scale, dtype=dtype),
        opacities=torch.tensor([opacity], dtype=dtype),
        sh=dc.reshape(1, 1, 3),
        frequencies=torch.zeros(1, 0, 3, dtype=dtype),
        coefficients=torch.zeros(1, 0, 2, dtype=dtype),
    )


def wall(depth: float, dtype: torch.dtype = torch.float64) -> Splats:
    """Opaque layers that cover all of `straight_camera`, the first of them at `depth`."""
    layers = [dot(depth + 0.1 * layer, 50.0, 1.0, dtype=dtype) for layer in range(4)]
    return join(*layers)


def join(*clouds: Splats) -> Splats:
    """All clouds in one, in the order given."""
    parts = [part.tensors() for part in clouds]
    return Splats(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def with_waves(splats: Splats, frequencies: Tensor, coefficients: Tensor) -> Splats:
    """The same envelopes carrying these waves."""
    like = splats.means
    return replace(splats, frequencies=frequencies.to(like), coefficients=coefficients.to(like))


def with_idle_waves(splats: Splats, waves: int) -> Splats:
    """The same envelopes with waves of random frequency and zero amplitude."""
    n = len(splats)
    return with_waves(splats, torch.randn(n, waves, 3), torch.zeros(n, waves, 2))


def _turn(axis: int, angle: float) -> Tensor:
    """[3, 3] rotation about a coordinate axis."""
    first, second = [other for other in range(3) if other != axis]
    rotation = torch.eye(3, dtype=torch.float64)
    rotation[first, first] = rotation[second, second] = math.cos(angle)
    rotation[first, second] = -math.sin(angle)
    rotation[second, first] = math.sin(angle)
    return rotation


def _unproject(pixels: Tensor, depth: Tensor, view: Camera) -> Tensor:
    """[N, 3] world points that `view` sees at `pixels` [N, 2] and `depth` [N, 1]."""
    view = view.to(torch.float64)
    rays = torch.cat([pixels, torch.ones_like(depth)], dim=1) @ view.intrinsics.inverse().T
    return (rays * depth - view.world_to_camera[:3, 3]) @ view.world_to_camera[:3, :3]
