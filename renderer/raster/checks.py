"""What the passes ask of tensors that come from outside."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .._native import alike
from ..cameras import Cameras
from ..splats import SplatShape

_REAL = (torch.float32, torch.float64)


def checked(
    shape: SplatShape, others: Mapping[str, Tensor], cameras: Cameras
) -> tuple[SplatShape, list[Tensor], Cameras]:
    """The same, contiguous, after checking that all tensors share one device and floating type.
    Cameras elsewhere are brought to the splats.

    Raises:
        ValueError: they do not.
    """
    views, (*geometry, _) = (cameras.viewmats, cameras.intrinsics), shape
    if shape.means.dtype in _REAL and alike(*geometry, *others.values(), *views):
        return shape, list(others.values()), cameras
    viewmats, intrinsics = (view.to(shape.means.device) for view in views)
    tensors = {**shape.tensors(), **others, "viewmats": viewmats, "Ks": intrinsics}
    first_name, first = next(iter(tensors.items()))
    if first.dtype not in _REAL:
        raise ValueError(f"{first_name} must be float32 or float64, not {first.dtype}")
    for name, tensor in tensors.items():
        if tensor.dtype != first.dtype or tensor.device != first.device:
            raise ValueError(
                f"{name} is {tensor.dtype} on {tensor.device}, "
                f"but {first_name} is {first.dtype} on {first.device}"
            )
    found = [tensor.contiguous() for tensor in tensors.values()]
    means, quats, scales, opacities, frequencies, coefficients, *rest, viewmats, intrinsics = found
    shape = SplatShape(means, quats, scales, opacities, frequencies, coefficients, shape.raw)
    return shape, rest, Cameras(viewmats, intrinsics, cameras.size)
