"""k-means, which says what the entries of codebooks and palettes are.

The same points give the same clusters: nothing is drawn at random.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_BLOCK = 1 << 22  # distances that are computed at a time
_BINS = 1 << 12  # of the density of numbers
_ROUNDS_ON_A_LINE = 60
_ROUNDS = 8
_SAMPLED = 1 << 16  # points that groups are fitted to


def codebook(values: Floats, weights: Floats, size: int) -> Floats:
    """[up to size] ascending numbers that stand for `values` [N] with the least squared error.

    Lloyd's iterations on sorted values: a cluster is an interval, whose mean is a difference of
    running sums. They start with as many numbers everywhere as the cube root of the density, which
    is optimal for many numbers.
    """
    different = np.unique(values)
    if len(different) <= size:
        return different
    order = np.argsort(values, kind="stable")
    ordered = values[order].astype(np.float64)
    share = weights[order].astype(np.float64)
    mass = np.concatenate([[0.0], np.cumsum(share)])
    moment = np.concatenate([[0.0], np.cumsum(share * ordered)])
    density, edges = np.histogram(ordered, _BINS, weights=share)
    wanted = np.concatenate([[0.0], np.cumsum(np.cbrt(density))])
    book = np.interp((np.arange(size) + 0.5) / size * wanted[-1], wanted, edges)
    for _ in range(_ROUNDS_ON_A_LINE):
        cuts = np.searchsorted(ordered, (book[1:] + book[:-1]) / 2)
        ends = np.concatenate([[0], cuts, [len(ordered)]])
        inside = np.diff(mass[ends])
        means = np.diff(moment[ends]) / np.where(inside > 0, inside, 1)
        book = np.sort(np.where(inside > 0, means, book))
    return np.unique(book.astype(np.float32))


def even_codebook(values: Floats, step: float, size: int) -> Floats:
    """[up to size] ascending multiples of `step`, or of more if that takes too many, as far as
    `values` go. For the same error they pack better than the numbers with the least error."""
    lowest, highest = float(values.min()), float(values.max())
    step = max(step, (highest - lowest) / (size - 2), 1e-12 * max(-lowest, highest, 1e-12))
    places = np.arange(np.rint(lowest / step), np.rint(highest / step) + 1)
    return (places * step).astype(np.float32)


def indices(values: Floats, book: Floats) -> NDArray[np.uint8]:
    """Which number of an ascending codebook is nearest to each of `values`, of any shape."""
    return np.searchsorted((book[1:] + book[:-1]) / 2, values).astype(np.uint8)


def palette(points: Floats, weights: Floats, size: int) -> tuple[Floats, NDArray[np.int64]]:
    """[up to size, D] points that stand for `points` [N, D], and [N] which of them for which.

    Clusters within clusters: as many groups as the root of `size`, fitted to a sample, and in each
    as many entries as its share of the squared error. The time goes with N sqrt(size).
    """
    groups = max(1, round(size**0.5))
    sample = slice(None, None, -(-len(points) // _SAMPLED))
    centres = _fitted(points[sample], weights[sample], groups)
    group, error = nearest(points, centres)
    error = error * weights
    order = np.argsort(group, kind="stable")
    ends = np.searchsorted(group[order], np.arange(len(centres) + 1))
    members = [order[a:b] for a, b in pairwise(ends)]
    sizes = _shared_out(size, np.array([error[each].sum() for each in members]))
    labels = np.empty(len(points), np.int64)
    entries: list[Floats] = []
    count = 0
    for each, room in zip(members, sizes, strict=True):
        if len(each):
            found = _fitted(points[each], weights[each], int(room))
            labels[each] = nearest(points[each], found)[0] + count
            entries.append(found)
            count += len(found)
    return np.concatenate(entries), labels


def _shared_out(size: int, errors: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of `size` entries each group gets: one, and its share of the error."""
    total = errors.sum()
    return 1 + np.floor((size - len(errors)) * errors / (total or 1.0)).astype(np.int64)


def _fitted(points: Floats, weights: Floats, size: int) -> Floats:
    """[up to size, D] centres after some of Lloyd's iterations."""
    if size >= len(points):
        return np.unique(points, axis=0)
    middle = np.average(points, axis=0, weights=weights + 1e-30)
    spread = np.cumsum(weights * np.square(points - middle).sum(axis=1), dtype=np.float64)
    if size < 2 or spread[-1] == 0:
        return middle[None].astype(np.float32)
    # Points at even steps of the error: where it is large, there are many.
    steps = (np.arange(size) + 0.5) / size * spread[-1]
    centres = points[np.unique(np.searchsorted(spread, steps))]
    for _ in range(_ROUNDS):
        centres = _means(points, weights, nearest(points, centres)[0])
    return centres


def _means(points: Floats, weights: Floats, labels: NDArray[np.int64]) -> Floats:
    """[K, D] means of the clusters that have points."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    share = weights[order, None] + np.float32(1e-30)
    sums = np.add.reduceat(points[order] * share, starts, axis=0, dtype=np.float64)
    return (sums / np.add.reduceat(share, starts, axis=0, dtype=np.float64)).astype(np.float32)


def nearest(points: Floats, centres: Floats) -> tuple[NDArray[np.int64], Floats]:
    """[N] which of `centres` [K, D] is nearest to each of `points` [N, D], and its squared
    distance."""
    labels = np.empty(len(points), np.int64)
    distance = np.empty(len(points), np.float32)
    half = np.square(centres).sum(axis=1) / 2
    rows = max(1, _BLOCK // len(centres))
    for start in range(0, len(points), rows):
        block = points[start : start + rows]
        score = half - block @ centres.T
        best = score.argmin(axis=1)
        labels[start : start + rows] = best
        least = np.take_along_axis(score, best[:, None], axis=1)[:, 0]
        distance[start : start + rows] = np.square(block).sum(axis=1) + 2 * least
    return labels, np.maximum(distance, 0)
