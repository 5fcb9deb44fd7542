"""Splats as files hold them: scales as logarithms and opacities as logits, in numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...renderer.editing.order import morton_order
from ...renderer.splats import SH_C0, Splats
from ..errors import InputError

LOG_SCALE_MIN = -30.0
"""What the logarithm of a scale is clamped to: a flat splat's is -inf."""
LOGIT_MAX = 18.0
"""What the logit of an opacity is clamped to in files: in float32 its sigmoid is exactly 1."""


@dataclass(frozen=True)
class RawSplats:
    """The parameters of N splats before activation, float32; positions may be float64."""

    means: NDArray[np.floating[Any]]  # [N, 3]
    quats: NDArray[np.float32]  # [N, 4] wxyz
    log_scales: NDArray[np.float32]  # [N, 3]; -inf is a flat splat
    logits: NDArray[np.float32]  # [N] of the opacities; +-inf is exactly 1 or 0
    sh: NDArray[np.float32]  # [N, (degree + 1)^2, 3]
    frequencies: NDArray[np.float32]  # [N, K, 3]
    coefficients: NDArray[np.float32]  # [N, K, 2]

    @property
    def sh_degree(self) -> int:
        """Of the spherical harmonics."""
        return math.isqrt(self.sh.shape[1]) - 1

    @property
    def opacities(self) -> NDArray[np.float64]:
        """[N] in [0, 1]; NaN where the logit is."""
        with np.errstate(over="ignore", invalid="ignore"):
            return 1.0 / (1.0 + np.exp(-self.logits.astype(np.float64)))

    @property
    def colors(self) -> NDArray[np.float32]:
        """[N, 3] seen from all sides alike, in [0, 1] where they can be shown."""
        return self.sh[:, 0] * np.float32(SH_C0) + np.float32(0.5)

    def taken(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> RawSplats:
        """Some of the splats, by a mask or by their numbers, in that order."""
        return RawSplats(**{each.name: getattr(self, each.name)[which] for each in fields(self)})

    def along_morton_curve(self) -> RawSplats:
        """The splats in an order in which neighbours are near each other."""
        means = torch.from_numpy(np.ascontiguousarray(self.means, np.float32))
        return self.taken(morton_order(means).numpy())


def gaussians(
    means: NDArray[np.floating[Any]],
    quats: NDArray[np.float32],
    log_scales: NDArray[np.float32],
    logits: NDArray[np.float32],
    sh: NDArray[np.float32],
) -> RawSplats:
    """Raw splats without waves."""
    n = len(means)
    none = np.zeros((n, 0, 3), np.float32), np.zeros((n, 0, 2), np.float32)
    return RawSplats(means, quats, log_scales, logits, sh, *none)


def logits_of(opacities: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Logits of opacities; infinite for 0 and 1, NaN beyond."""
    exact = opacities.astype(np.float64)
    with np.errstate(all="ignore"):
        return (np.log(exact) - np.log1p(-exact)).astype(np.float32)


def harmonics_of(colors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The constant harmonic of colours in [0, 1]: the inverse of `RawSplats.colors`."""
    with np.errstate(all="ignore"):  # of a file, which may hold anything
        return ((colors - 0.5) / SH_C0).astype(np.float32)


def as_bytes(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Numbers from 0 to 255, rounded; those beyond are clipped."""
    return np.rint(values).clip(0, 255).astype(np.uint8)


def activate(raw: RawSplats, name: str) -> Splats:
    """The splats that were read from a file of that name.

    Raises:
        InputError: a value is not finite, or the numbers of values do not fit each other.
    """  # what files have of the first is dropped before: see repair.py
    arrays = {field.name: getattr(raw, field.name) for field in fields(raw)}
    del arrays["logits"]
    arrays["opacities"] = raw.opacities
    with np.errstate(over="ignore", invalid="ignore"):
        arrays["scales"] = np.exp(np.maximum(arrays.pop("log_scales"), LOG_SCALE_MIN))
    for part, values in arrays.items():
        _require(rows(np.isfinite(values)), name, f"{part} must be finite")
    try:
        return Splats(
            **{
                part: torch.from_numpy(np.ascontiguousarray(values, np.float32))
                for part, values in arrays.items()
            }
        )
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error


def deactivate(splats: Splats, path: Path) -> RawSplats:
    """Splats, on any device, as they can be written to `path`: finite, quaternions of length 1.

    Opacities 0 and 1 become logits -LOGIT_MAX and LOGIT_MAX, scales of 0 become LOG_SCALE_MIN.

    Raises:
        InputError: a value is not finite, a scale is negative or a quaternion zero.
    """
    arrays = {
        name: tensor.detach().to("cpu", torch.float32).numpy()
        for name, tensor in splats.tensors().items()
    }
    for name, values in arrays.items():
        _require(rows(np.isfinite(values)), path, f"Splats.{name} must be finite")
    scales, quats = arrays.pop("scales"), arrays.pop("quats").astype(np.float64)
    _require(rows(scales >= 0), path, "Splats.scales must not be negative")
    lengths = np.linalg.norm(quats, axis=1, keepdims=True)
    _require(rows(lengths > 0), path, "Splats.quats must not be zero")
    logits = logits_of(arrays.pop("opacities").clip(0.0, 1.0))
    with np.errstate(divide="ignore"):
        logs = np.log(scales)
    return RawSplats(
        quats=(quats / lengths).astype(np.float32),
        log_scales=np.maximum(logs, np.float32(LOG_SCALE_MIN)),
        logits=logits.clip(-LOGIT_MAX, LOGIT_MAX),
        **arrays,
    )


def rows(good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[N] whether all of a splat's values are good."""
    return np.all(good, axis=tuple(range(1, good.ndim)))


def _require(good: NDArray[np.bool_], file: Path | str, rule: str) -> None:
    if not good.all():
        raise InputError(
            f"{file}: {rule}: {int((~good).sum())} of {good.size} splats break this "
            f"(first at {int(np.argmin(good))})"
        )
