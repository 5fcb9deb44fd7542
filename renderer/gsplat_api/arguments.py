"""What callers of gsplat's `rasterization` may hand over, as the plain values that it is for us."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..cameras import Cameras
from ..splats import SplatShape

LARGEST = 2**31 - 1
"""Largest whole number that passes take."""


def refused(rule: str) -> ValueError:
    """The error to raise where `rule`, one line that begins with the argument's name, is broken."""
    return ValueError(f"rasterization: {rule}")


def whole(name: str, value: Any, least: int = 1) -> int:
    """`value` as an int: integers of numpy and torch, and floats without a fraction, are one too.

    Raises:
        ValueError: it is something else, or not `least` to `LARGEST`.
    """
    try:
        number = operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        number = _fraction(value)
    if number is None or _is_bool(value) or not least <= number <= LARGEST:
        raise refused(f"{name} must be a whole number from {least}, not {_shown(value)}")
    return number


def _fraction(value: Any) -> int | None:
    """A float without a fraction, as an int."""
    number = _float(value)
    return int(number) if number is not None and number.is_integer() else None


def real(name: str, value: Any) -> float:
    """`value` as a float: any number of numpy and torch, also as an array or a tensor of none of
    the dimensions. Infinity is a number, NaN is none.

    Raises:
        ValueError: it is something else.
    """
    number = _float(value)
    if number is None or math.isnan(number):
        raise refused(f"{name} must be a number, not {_shown(value)}")
    return number


def _float(value: Any) -> float | None:
    if isinstance(value, str | bytes) or _is_bool(value) or getattr(value, "shape", ()) != ():
        return None
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool) or str(getattr(value, "dtype", "")) in ("bool", "torch.bool")


def _shown(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None and tuple(shape) != ():
        return f"{type(value).__name__} of shape {tuple(shape)}"
    return " ".join(repr(value).split())[:60]


def refuse_others(given: Mapping[str, tuple[Any, Any]]) -> None:
    """Refuse an option that has another value than the only one that we have.

    Args:
        given: the only value and the value of each option, by name.

    Raises:
        ValueError: one has another, or an array where nothing is the only one.
    """
    for name, (only, value) in given.items():
        if value is not only and (only is None or not _equal(value, only)):
            raise refused(f"{name} is not supported: it must be {only!r}, not {_shown(value)}")


def _equal(value: Any, only: Any) -> bool:
    """Whether `value`, also as an array or a tensor of none of the dimensions, is `only`."""
    if getattr(value, "shape", ()) != ():
        return False
    try:
        return bool(value == only)
    except (TypeError, ValueError, RuntimeError):  # cannot be compared
        return False


def check_choice(name: str, value: Any, known: Sequence[str]) -> None:
    """Raises ValueError if `value` is none of `known`."""
    if not isinstance(value, str) or value not in known:
        raise refused(f"{name} is {_shown(value)}; known are {', '.join(known)}")


def check_tensors(tensors: Mapping[str, Any]) -> None:
    """Raises ValueError if one of `tensors` is no tensor."""
    for name, tensor in tensors.items():
        check_type(name, tensor, Tensor, "torch.Tensor")


def check_type(name: str, value: Any, kind: type, called: str = "") -> None:
    """Raises ValueError if `value` is no `kind`, which is `called` so."""
    if not isinstance(value, kind):
        raise refused(f"{name} must be a {called or kind.__name__}, not {type(value).__name__}")


def check_shapes(
    geometry: SplatShape,
    colors: Tensor,
    backgrounds: Tensor | None,
    views: Cameras,
    sh_degree: int | None,
) -> None:
    """Raises ValueError if a tensor has another shape than N splats and C cameras of each scene
    make, behind the batch dimensions of the means, or if these leave no scene."""
    batch, (n, c, k) = tuple(geometry.means.shape[:-2]), _counts(geometry, views)
    expected = {
        "means": (geometry.means, (n, 3)),
        "quats": (geometry.quats, (n, 4)),
        "scales": (geometry.scales, (n, 3)),
        "opacities": (geometry.opacities, (n,)),
        "gabor frequencies": (geometry.frequencies, (n, k, 3)),
        "gabor coefficients": (geometry.coefficients, (n, k, 2)),
        "viewmats": (views.viewmats, (c, 4, 4)),
        "Ks": (views.intrinsics, (c, 3, 3)),
    }
    for name, (tensor, wanted) in expected.items():
        _check_shape(name, tensor, (*batch, *wanted))
    shape, numbers = tuple(colors.shape), 1 if sh_degree is None else 2
    known = ((*batch, n), (*batch, c, n))
    if shape[:-numbers] not in known or (sh_degree is not None and shape[-1] != 3):
        last = "D" if sh_degree is None else "B, 3"
        rule = " or ".join(f"[{', '.join(map(str, each))}, {last}]" for each in known)
        raise refused(f"colors must have shape {rule}, not {shape}")
    if backgrounds is not None:
        _check_shape("backgrounds", backgrounds, (*batch, c, shape[-1]))
    if 0 in batch:
        raise refused(f"means must have one scene or more, not batch dimensions {batch}")


def _counts(geometry: SplatShape, views: Cameras) -> tuple[int, int, int]:
    """N, C and K as means, view matrices and frequencies have them; 1 where they have too few
    dimensions."""
    n, k = (each.shape[-2:-1].numel() for each in (geometry.means, geometry.frequencies))
    return n, views.viewmats.shape[-3:-2].numel(), k


def _check_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise refused(f"{name} must have shape {shape}, not {tuple(tensor.shape)}")
