"""How far a result may be from its oracle: one table, each entry with its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gaborsplat.renderer.frame import Frame


@dataclass(frozen=True)
class Tolerance:
    """Two tiers: all pixels lie within `atol`, except for a counted few that flipped a threshold.

    A flip may go either way: a splat is drawn here and skipped there. One-sided flips would mean
    that the two sides disagree about the threshold itself.
    """

    atol: float  # everywhere else
    flips: float = 0.0  # share of the values that may differ by more
    flip_size: float = 0.0  # bound on those


EXACT = Tolerance(atol=1e-9)
"""float64 on both sides: rounding of some hundred operations, amplified by matrix inverses."""

IMAGE = Tolerance(atol=3e-5, flips=2e-3, flip_size=1.2 / 255)
"""float32 kernels, colour and alpha: exp, sin and cos to a few ulp, summed over some ten splats.
A splat of alpha 1/255 that flips moves a pixel by at most its colour times that."""

DEPTH = Tolerance(atol=3e-4, flips=5e-3, flip_size=8.0)
"""float32 kernels, mean depth: as for colour, over depths up to 6 and divided by an alpha that may
be as small as 1/255, which a single flip can make zero."""

GRADIENT = 1e-9
"""float64 kernels against autograd of the reference, relative: rounding as in EXACT."""

GRADIENT_FLOAT = 3e-4
"""float32 kernels against float64, relative to the largest gradient of a parameter: the conic's
gradient is a difference of large terms."""

FINITE_DIFFERENCE = 1e-6
"""float64 kernels against five-point differences, relative: the stencil's own error is 1e-7."""

VISIBLE = 1e-3
"""Alpha from which on a mean depth is well conditioned; below every threshold in use."""

SCALE_FLOOR = 1e-2
"""Gradients below this share of their tensor's largest are compared relative to that share: the
rounding of a sum is relative to its largest terms, not to what is left of them."""


def assert_close(actual: Tensor, expected: Tensor, tolerance: Tolerance) -> None:
    """Two tiers, see `Tolerance`; NaN on either side fails."""
    assert actual.shape == expected.shape
    difference = actual.detach().double().cpu() - expected.detach().double().cpu()
    assert torch.isfinite(difference).all(), "not finite"
    flipped = difference[difference.abs() > tolerance.atol]
    worst = difference.abs().max().item() if difference.numel() else 0.0
    allowed = math.floor(tolerance.flips * difference.numel())
    assert len(flipped) <= allowed, (
        f"{len(flipped)} of {difference.numel()} values differ by more than {tolerance.atol:g}, "
        f"{allowed} may; the worst by {worst:.3g}"
    )
    assert worst <= max(tolerance.atol, tolerance.flip_size), f"a flip of {worst:.3g}"
    up = int((flipped > 0).sum())
    lopsided = abs(2 * up - len(flipped))
    assert lopsided <= 3 * math.sqrt(len(flipped)) + 3, f"{up} of {len(flipped)} flips go up"


def assert_frames_close(
    actual: Frame, expected: Frame, image: Tolerance = EXACT, depth: Tolerance | None = None
) -> None:
    """Colour and alpha within `image`, depth within `depth` (the same when not given).

    Depths are compared where nothing or something visible is drawn. In between, which only
    settings without an alpha threshold reach, they are quotients of two roundings.
    """
    assert_close(actual.color, expected.color, image)
    assert_close(actual.alpha, expected.alpha, image)
    judged = ((expected.alpha == 0) | (expected.alpha > VISIBLE)).detach().cpu()
    assert_close(actual.depth.cpu() * judged, expected.depth.cpu() * judged, depth or image)


def assert_frames_equal(actual: Frame, expected: Frame) -> None:
    """The same to the bit."""
    for name in ("color", "alpha", "depth"):
        assert torch.equal(getattr(actual, name), getattr(expected, name)), name


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Worst |actual - expected| / max(|expected|, SCALE_FLOOR * max |expected|)."""
    assert actual.shape == expected.shape
    if not expected.numel():
        return 0.0
    actual, expected = actual.double().cpu(), expected.double().cpu()
    size = expected.abs()
    scale = torch.maximum(size, SCALE_FLOOR * size.max()).clamp_min(torch.finfo(size.dtype).tiny)
    error = (actual - expected).abs() / scale
    return error.max().item() if torch.isfinite(error).all() else math.inf


def assert_gradients_close(
    actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], limit: float
) -> None:
    """Relative error of every named gradient at most `limit`."""
    assert actual.keys() == expected.keys()
    errors = {name: relative_error(actual[name], expected[name]) for name in expected}
    print({name: f"{error:.1e}" for name, error in errors.items()})
    assert max(errors.values()) <= limit, errors
