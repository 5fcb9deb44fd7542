"""Small rigid motions, before cameras: in their axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...cameras import Camera

GRID = (0.25, 0.5, 0.75)
"""Where in a picture its motion is measured, along either side."""


def cross(vector: Tensor) -> Tensor:
    """[3, 3] matrix that takes x to `vector` x x."""
    x, y, z = vector.unbind()
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)


def rigid(rotation: Tensor, translation: Tensor) -> Tensor:
    """[4, 4] turn by a rotation vector [3] [rad], then motion by `translation` [3]; differentiable
    in both. By Rodrigues' formula, whose quotients are written as sinc, which is whole at zero."""
    angle, k = torch.linalg.vector_norm(rotation), cross(rotation)
    first, second = torch.sinc(angle / math.pi), 0.5 * torch.sinc(angle / (2 * math.pi)).square()
    turn = torch.eye(3, dtype=k.dtype, device=k.device) + first * k + second * (k @ k)
    last = torch.eye(4, dtype=k.dtype, device=k.device)[3:]
    return torch.cat([torch.cat([turn, translation[:, None]], dim=1), last])


def common_motions(cameras: Sequence[Camera], middle: Tensor, scale: float) -> Tensor:
    """[V, 6, 7] float64, to first order: how cameras move in their axes, turning [rad] and then
    moving [`scale`], by what leaves every picture as it is if the scene follows: turning [rad] and
    moving [`scale`] the world, and making it larger [log], about `middle` [3]."""
    rows: list[Tensor] = []
    for camera in cameras:
        pose = camera.world_to_camera.double()
        turn, centre = pose[:3, :3], (pose[:3, :3] @ middle.double() + pose[:3, 3]) / scale
        zero = torch.zeros_like(turn)
        turning = torch.cat([turn, zero, zero[:, :1]], dim=1)
        moving = torch.cat([cross(centre) @ turn, turn, -centre[:, None]], dim=1)
        rows.append(torch.cat([turning, moving]))
    return torch.stack(rows)


def shown_motion(camera: Camera, motion: Tensor, depth: float) -> float:
    """By how many pixels things at a `depth` move in a picture where the camera takes a rigid
    motion [4, 4]: the mean over a grid."""
    k, (width, height) = camera.intrinsics.double().cpu(), camera.size
    x, y = torch.meshgrid(
        torch.tensor(GRID, dtype=k.dtype, device=k.device) * width,
        torch.tensor(GRID, dtype=k.dtype, device=k.device) * height,
        indexing="xy",
    )
    pixels = torch.stack(
        [x.flatten(), y.flatten(), torch.ones(x.numel(), dtype=k.dtype, device=k.device)]
    )
    moved = motion[:3, :3] @ (depth * torch.linalg.inv(k) @ pixels) + motion[:3, 3:]
    seen = k @ moved
    return float((seen[:2] / seen[2] - pixels[:2]).norm(dim=0).mean())
