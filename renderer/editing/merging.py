"""Several clouds of splats as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..splats import Splats


def merged(clouds: Sequence[Splats]) -> Splats:
    """All splats of several clouds, in this order.

    Harmonics have the highest degree of any, waves the largest number; those that a cloud lacks are
    zero, which changes no picture of it.

    Args:
        clouds: at least one, all on one device and of one floating-point type.

    Raises:
        ValueError: there is none, or devices or types are mixed.
    """
    if not clouds:
        raise ValueError("there are no splats to merge")
    kinds = {(cloud.means.device, cloud.means.dtype) for cloud in clouds}
    if len(kinds) > 1:
        told = ", ".join(sorted(f"{dtype} on {device}" for device, dtype in kinds))
        raise ValueError(f"splats that are merged must be of one type, on one device, not {told}")
    degree = max(cloud.sh_degree for cloud in clouds)
    waves = max(cloud.waves for cloud in clouds)
    parts = [with_waves(with_sh_degree(cloud, degree), waves).tensors() for cloud in clouds]
    return Splats(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def with_sh_degree(splats: Splats, degree: int) -> Splats:
    """The same cloud with harmonics up to `degree`: others are dropped, missing ones are zero.

    Args:
        splats: N splats.
        degree: 0 to 3.

    Raises:
        ValueError: the degree is not between 0 and 3.
    """
    if not 0 <= degree <= 3:
        raise ValueError(f"harmonics have a degree of 0 to 3, not {degree}")
    return replace(splats, sh=_of_length(splats.sh, (degree + 1) ** 2))


def degree_in_use(splats: Splats) -> int:
    """The highest degree of which any harmonic is not zero."""
    used = splats.sh.any(dim=0).any(dim=-1).nonzero()
    return math.isqrt(int(used.max())) if len(used) else 0


def with_waves(splats: Splats, waves: int) -> Splats:
    """The same cloud with `waves` waves a splat, no fewer than it has: new ones are zero."""
    return replace(
        splats,
        frequencies=_of_length(splats.frequencies, max(waves, splats.waves)),
        coefficients=_of_length(splats.coefficients, max(waves, splats.waves)),
    )


def _of_length(rows: Tensor, length: int) -> Tensor:
    """[N, length, D] of [N, M, D]: the first, or all and zeros behind them."""
    missing = length - rows.shape[1]
    if missing <= 0:
        return rows[:, :length]
    return torch.cat([rows, rows.new_zeros(rows.shape[0], missing, rows.shape[2])], dim=1)
