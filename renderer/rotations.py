"""Rotations as matrices and as quaternions wxyz."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def to_matrices(quats: Tensor) -> Tensor:
    """[N, 3, 3] of quaternions [N, 4] of any non-zero length."""
    w, x, y, z = F.normalize(quats, dim=-1).unbind(dim=-1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def to_quaternions(rotations: Tensor) -> Tensor:
    """[N, 4] of rotations [N, 3, 3]: the largest eigenvector of Bar-Itzhack's matrix (2000), which
    is sure for every rotation."""
    m = rotations
    trace = m.diagonal(dim1=1, dim2=2).sum(dim=-1)
    identity = torch.eye(3, dtype=m.dtype, device=m.device)
    symmetric = m + m.mT - trace[:, None, None] * identity
    twist = torch.stack(
        [m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]], dim=-1
    )
    last = torch.cat([twist, trace[:, None]], dim=-1)
    whole = torch.cat([torch.cat([symmetric, twist[..., None]], dim=-1), last[:, None]], dim=1)
    return torch.linalg.eigh(whole).eigenvectors[:, :, -1].roll(1, dims=-1)


def product(first: Tensor, second: Tensor) -> Tensor:
    """[..., 4] quaternions wxyz that turn as `second` [..., 4] and then as `first` [..., 4]; their
    lengths are multiplied."""
    w, axis = first[..., :1], first[..., 1:]
    v, other = second[..., :1], second[..., 1:]
    axis, other = torch.broadcast_tensors(axis, other)
    real = w * v - (axis * other).sum(dim=-1, keepdim=True)
    rest = w * other + v * axis + torch.linalg.cross(axis, other)
    return torch.cat([real, rest], dim=-1)
