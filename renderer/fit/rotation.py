"""Vectors between a splat's own frame and the world."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def to_world(quats: Tensor, vectors: Tensor) -> Tensor:
    """R v for quaternions wxyz [N, 4] of any non-zero length and vectors [N, 3]."""
    unit = F.normalize(quats, dim=-1)
    return _rotate(unit[:, :1], unit[:, 1:], vectors)


def to_splat(quats: Tensor, vectors: Tensor) -> Tensor:
    """R^T v, the inverse of `to_world`."""
    unit = F.normalize(quats, dim=-1)
    return _rotate(unit[:, :1], -unit[:, 1:], vectors)


def _rotate(w: Tensor, axis: Tensor, vectors: Tensor) -> Tensor:
    twice = 2 * torch.linalg.cross(axis, vectors)
    return vectors + w * twice + torch.linalg.cross(axis, twice)
