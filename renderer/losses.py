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

from ._native import LossArguments
from .backends.memory import FRESH, Memory
from .backends.registry import backend_for

LEAST_MSE = 1e-10
"""PSNR is at most 100 dB."""


@dataclass(frozen=True)
class LossResult:
    """An image against its photo.

    Attributes:
        means: [4] float64 over the valid pixels: L1, SSIM (0 where its weight is), squared error,
            and the loss (1 - w) L1 + w (1 - SSIM).
        gradient: [H, W, 3] of the loss to the image; None if not wanted.
    """

    means: Tensor
    gradient: Tensor | None

    @property
    def loss(self) -> Tensor:
        """The loss, a scalar."""
        return self.means[3]

    @property
    def mse(self) -> Tensor:
        """The mean squared error, a scalar."""
        return self.means[2]


def compare(
    image: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    ssim_weight: float = 0.2,
    *,
    gradient: bool,
    memory: Memory = FRESH,
) -> LossResult:
    """The photometric loss and, if wanted, its gradient, without autograd.

    Args:
        image: [H, W, 3].
        target: [H, W, 3], of the image's type or uint8.
        mask: [H, W] bool, True where a pixel counts; None for all.
        ssim_weight: w.
        gradient: whether that of the loss to the image is wanted.
        memory: where the result lies.

    Raises:
        ValueError: shapes, types or devices that do not fit.
    """
    _check(image, target, mask)
    if target.dtype != torch.uint8:
        target = target.to(image.dtype)
    image, target = image.detach().contiguous(), target.detach().contiguous()
    mask = None if mask is None else mask.contiguous()
    found, means = memory.keep("loss", _empty_result, image.shape, image.dtype, image.device)
    height, width, _ = image.shape
    arguments = LossArguments(
        width=width,
        height=height,
        parts=0,
        ssim_weight=ssim_weight,
        image=image,
        photo=None if target.dtype == torch.uint8 else target,
        photo_bytes=target if target.dtype == torch.uint8 else None,
        mask=mask,
        gradient=found if gradient else None,
        means=means,
    )
    backend_for(image.device).photometric_loss(arguments)
    return LossResult(means, found if gradient else None)


def photometric_loss(
    image: Tensor, target: Tensor, mask: Tensor | None = None, ssim_weight: float = 0.2
) -> Tensor:
    """(1 - w) L1 + w (1 - SSIM), differentiable once with respect to `image`.

    Args:
        image: [H, W, 3] in [0, 1].
        target: [H, W, 3], of the image's type or uint8.
        mask: [H, W] bool, True where a pixel counts; None for all.
        ssim_weight: w.

    Returns:
        A scalar, of the image's type.

    Raises:
        ValueError: shapes, types or devices that do not fit.
    """
    return _Photometric.apply(image, target, mask, ssim_weight)


def ssim(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean structural similarity of two [H, W, 3] images over the valid pixels, a scalar
    (Wang et al. 2004), with the window that `evaluate` states. Takes and raises what
    `photometric_loss` does."""
    return image.new_tensor(quality(image, target, mask)[1])


def psnr(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio [dB] of two [H, W, 3] images over the valid pixels, at most 100, a
    scalar. Takes and raises what `photometric_loss` does."""
    means = compare(image, target, mask, 0.0, gradient=False).means.tolist()
    return image.new_tensor(decibel(means[2]))


def quality(image: Tensor, target: Tensor, mask: Tensor | None = None) -> tuple[float, float]:
    """`psnr` and `ssim`, together."""
    means = compare(image, target, mask, 1.0, gradient=False).means.tolist()
    return decibel(means[2]), means[1]


def _empty_result(
    shape: torch.Size, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The gradient of a picture, and means."""
    return (
        torch.empty(shape, dtype=dtype, device=device),
        torch.empty(4, dtype=torch.float64, device=device),
    )


class _Photometric(torch.autograd.Function):
    """Forward finds loss and gradient at once."""

    @staticmethod
    def forward(
        ctx: Any, image: Tensor, target: Tensor, mask: Tensor | None, ssim_weight: float
    ) -> Tensor:
        result = compare(image, target, mask, ssim_weight, gradient=True)
        ctx.save_for_backward(result.gradient)
        return result.loss.to(image.dtype, copy=True)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *v_loss: Tensor
    ) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * v_loss[0], None, None, None


def _check(image: Tensor, target: Tensor, mask: Tensor | None) -> None:
    if image.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"the picture must be float32 or float64, not {image.dtype}")
    if mask is not None and mask.dtype not in (torch.bool, torch.uint8):
        raise ValueError(f"the mask must be bool, not {mask.dtype}")
    if image.ndim != 3 or image.shape[2] != 3 or target.shape != image.shape:
        shapes = f"{tuple(image.shape)} and {tuple(target.shape)}"
        raise ValueError(f"images must be [H, W, 3] of one shape, not {shapes}")
    for name, tensor in (("the photo", target), ("the mask", mask)):
        if tensor is not None and tensor.device != image.device:
            raise ValueError(f"{name} is on {tensor.device}, the picture on {image.device}")
    if mask is not None and mask.shape != image.shape[:2]:
        raise ValueError(f"the mask is {tuple(mask.shape)}, the picture {tuple(image.shape[:2])}")


def decibel(mse: float) -> float:
    """PSNR [dB] of a mean squared error; NaN of what is not finite."""
    return -10.0 * math.log10(max(mse, LEAST_MSE)) if math.isfinite(mse) else math.nan
