"""Nearest neighbours among points, exactly, with nothing but torch."""

from __future__ import annotations

import torch
from torch import Tensor

LEAF = 64
"""At most this many points in a leaf of the tree."""


def neighbour_distance(points: Tensor, count: int = 3) -> Tensor:
    """[P] mean distance of every point of [P, 3] to its `count` nearest others.

    With P <= count the mean is over the others there are, and 0 for a single point.
    """
    if min(count, len(points) - 1) < 1:
        return torch.zeros(len(points), dtype=torch.float32, device="cpu")
    return neighbour_distances(points, count).mean(dim=-1).float()


def neighbour_distances(points: Tensor, count: int = 3) -> Tensor:
    """[P, min(count, P - 1)] distances of every point of [P, 3] to its nearest others, ascending,
    float64.

    A hundred thousand points take seconds: leaves of a k-d tree are compared only with leaves near
    enough.
    """
    others = max(0, min(count, len(points) - 1))
    points = points.detach().double().cpu()
    leaves = _leaves(points)
    low = torch.stack([points[leaf].amin(0) for leaf in leaves])
    high = torch.stack([points[leaf].amax(0) for leaf in leaves])
    result = points.new_empty(len(points), others)
    if others == 0:
        return result
    for leaf, box_low, box_high in zip(leaves, low, high, strict=True):
        own = points[leaf]
        reach = _nearest(own, own, others)[:, -1].max() if len(leaf) > others else torch.inf
        gap = torch.maximum(low - box_high, box_low - high).clamp_min(0).norm(dim=-1)
        near = torch.nonzero(gap <= reach).squeeze(-1).tolist()
        candidates = points[torch.cat([leaves[index] for index in near])]
        result[leaf] = _nearest(own, candidates, others)
    return result


def _nearest(points: Tensor, candidates: Tensor, count: int) -> Tensor:
    """[M, count] smallest distances of `points` to `candidates`, which contain them, ascending."""
    # Differences, not the expanded square: far from the origin the latter loses all digits.
    distances = torch.cdist(points, candidates, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.topk(count + 1, dim=-1, largest=False).values[:, 1:]


def _leaves(points: Tensor) -> list[Tensor]:
    """Indices of the points in each leaf: halved at the median of the widest axis."""
    done: list[Tensor] = []
    todo = [torch.arange(len(points), device=points.device)]
    while todo:
        part = todo.pop()
        if len(part) <= LEAF:
            done.append(part)
            continue
        inside = points[part]
        axis = int((inside.amax(0) - inside.amin(0)).argmax())
        order = inside[:, axis].argsort()
        half = len(part) // 2
        todo += [part[order[:half]], part[order[half:]]]
    return done
