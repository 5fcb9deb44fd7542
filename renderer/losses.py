"""How far a rendering is from a photograph, and the gradient that says how to come closer.

SSIM (Wang et al. 2004) has an 11-pixel Gaussian window with sigma 1.5, C1 = 0.01^2, C2 = 0.03^2,
and zero padding: the map is as large as the image, as in the original 3DGS. Images are
[H, W, 3] in [0, 1]; a target may be uint8, 255 for 1.

Pixels where a `mask` [H, W] is False carry no loss and receive no gradient: both images are black
there, as they are beyond the border, and means run over the other pixels only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .raster.autograd import backend

LEAST_MSE = 1e-10
"""PSNR is at most 100 dB."""


@dataclass(frozen=True)
class Judgement:
    """An image against its photo."""

    loss: Tensor  # float64, a scalar
    mse: Tensor  # float64, a scalar
    gradient: Tensor  # [H, W, 3] of the loss to the image


def judge(
    image: Tensor, target: Tensor, mask: Tensor | None = None, ssim_weight: float = 0.2
) -> Judgement:
    """Loss (1 - w) L1 + w (1 - SSIM) and its gradient, without autograd."""
    gradient = torch.empty_like(image, memory_format=torch.contiguous_format)
    l1, similarity, mse = _compare(image, target, mask, ssim_weight, gradient)
    loss = (1 - ssim_weight) * l1 + ssim_weight * (_any(mask) - similarity)
    return Judgement(loss, mse, gradient)


def photometric_loss(
    image: Tensor, target: Tensor, mask: Tensor | None = None, ssim_weight: float = 0.2
) -> Tensor:
    """(1 - w) L1 + w (1 - SSIM), a scalar, differentiable once with respect to `image`."""
    return _Photometric.apply(image, target, mask, ssim_weight)


def ssim(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean structural similarity of two [H, W, 3] images over the valid pixels, a scalar."""
    return image.new_tensor(quality(image, target, mask)[1])


def psnr(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio of two [H, W, 3] images over the valid pixels, at most 100 dB."""
    _, _, mse = _compare(image, target, mask, 0.0, image.new_empty(0))
    return image.new_tensor(decibel(float(mse)))


def quality(image: Tensor, target: Tensor, mask: Tensor | None = None) -> tuple[float, float]:
    """`psnr` and `ssim`, together."""
    _, similarity, mse = _compare(image, target, mask, 1.0, image.new_empty(0)).tolist()
    return decibel(mse), similarity


class _Photometric(torch.autograd.Function):
    """Forward finds loss and gradient at once."""

    @staticmethod
    def forward(
        ctx: Any, image: Tensor, target: Tensor, mask: Tensor | None, ssim_weight: float
    ) -> Tensor:
        judgement = judge(image, target, mask, ssim_weight)
        ctx.save_for_backward(judgement.gradient)
        return judgement.loss.to(image.dtype)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *v_loss: Tensor
    ) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * v_loss[0], None, None, None


def _compare(
    image: Tensor, target: Tensor, mask: Tensor | None, ssim_weight: float, gradient: Tensor
) -> Tensor:
    """Mean L1, SSIM (0 without weight) and squared error, [3] float64; fills `gradient` unless it
    is empty."""
    if image.ndim != 3 or image.shape[2] != 3 or target.shape != image.shape:
        shapes = f"{tuple(image.shape)} and {tuple(target.shape)}"
        raise ValueError(f"images must be [H, W, 3] of one shape, not {shapes}")
    for name, tensor in (("the photo", target), ("the mask", mask)):
        if tensor is not None and tensor.device != image.device:
            raise ValueError(f"{name} is on {tensor.device}, the picture on {image.device}")
    if mask is not None and mask.shape != image.shape[:2]:
        raise ValueError(f"the mask is {tuple(mask.shape)}, the picture {tuple(image.shape[:2])}")
    if target.dtype != torch.uint8:
        target = target.to(image.dtype)
    inputs = image.detach().contiguous(), target.detach().contiguous()
    valid = None if mask is None else mask.contiguous().view(torch.uint8)
    return backend(image.device).photometric_loss(*inputs, valid, ssim_weight, gradient)


def _any(mask: Tensor | None) -> Tensor | float:
    return 1.0 if mask is None else mask.any().double()


def decibel(mse: float) -> float:
    """PSNR [dB] of a mean squared error; NaN of what is not finite."""
    return -10.0 * math.log10(max(mse, LEAST_MSE)) if math.isfinite(mse) else math.nan
