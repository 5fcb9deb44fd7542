"""How far a rendering is from a photograph, and the gradient that says how to come closer.

SSIM (Wang et al. 2004) has an 11-pixel Gaussian window with sigma 1.5, C1 = 0.01^2, C2 = 0.03^2,
and zero padding: the map is as large as the image, as in the original 3DGS. Images are
[H, W, 3] in [0, 1].
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

WINDOW = 11
SIGMA = 1.5
C1 = 0.01**2
C2 = 0.03**2


def photometric_loss(
    image: Tensor, target: Tensor, mask: Tensor | None = None, ssim_weight: float = 0.2
) -> Tensor:
    """(1 - w) L1 + w (1 - SSIM), a scalar, differentiable once with respect to `image`.

    Pixels where `mask` [H, W] is False carry no loss and receive no gradient: both images are
    black there, as they are beyond the border, and both means run over the other pixels only.
    """
    return _Photometric.apply(image, target, mask, ssim_weight)


def ssim(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean structural similarity of two [H, W, 3] images over the valid pixels, a scalar."""
    weight = _weights(image, mask)
    image, target = _masked(image, mask), _masked(target, mask)
    similarity = _Similarity(image, target).map()
    return similarity.mean() if mask is None else (similarity * weight).sum()


def psnr(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio of two [H, W, 3] images over the valid pixels, at most 100 dB."""
    squared = _masked(image - target, mask).square()
    weight = _weights(image, mask)
    mse = squared.mean() if mask is None else (squared * weight).sum()
    return -10.0 * torch.log10(mse.clamp_min(1e-10))


class _Similarity:
    """The SSIM map of two images and its derivative with respect to the first."""

    def __init__(self, image: Tensor, target: Tensor) -> None:
        self.image, self.target = image, target
        energy = torch.addcmul(image * image, target, target)
        moments = torch.cat([image, target, energy, image * target], dim=-1)
        mean_x, mean_y, mean_energy, mean_xy = _blur(moments).split(3, dim=-1)
        self.mean_x, self.mean_y = mean_x, mean_y
        squares = mean_x * mean_x + mean_y * mean_y
        product = mean_x * mean_y
        self.numerator_mean = 2 * product + C1
        self.numerator_covariance = 2 * (mean_xy - product) + C2
        self.denominator_mean = squares + C1
        self.denominator_variance = mean_energy - squares + C2

    def map(self) -> Tensor:
        """[H, W, 3] similarity of every pixel's neighbourhood."""
        top = self.numerator_mean * self.numerator_covariance
        return top / (self.denominator_mean * self.denominator_variance)

    def gradient(self, similarity: Tensor, v_similarity: Tensor | float) -> Tensor:
        """[H, W, 3] gradient with respect to the first image of a loss with `v_similarity`.

        `similarity` is map(). Blurring is its own adjoint: the window is symmetric and the
        padding zero.
        """
        scaled = v_similarity / (self.denominator_mean * self.denominator_variance)
        v_variance = -similarity * v_similarity / self.denominator_variance
        v_covariance = 2 * self.numerator_mean * scaled
        v_mean = 2 * self.mean_y * (self.numerator_covariance - self.numerator_mean) * scaled
        v_mean -= 2 * self.mean_x * (similarity * v_similarity / self.denominator_mean + v_variance)
        blurred = _blur(torch.cat([v_mean, v_variance, v_covariance], dim=-1))
        b_mean, b_variance, b_covariance = blurred.split(3, dim=-1)
        return b_mean + 2 * self.image * b_variance + self.target * b_covariance


class _Photometric(torch.autograd.Function):
    """Forward finds loss and gradient at once; autograd's graph of SSIM costs three times more."""

    @staticmethod
    def forward(
        ctx: Any, image: Tensor, target: Tensor, mask: Tensor | None, ssim_weight: float
    ) -> Tensor:
        weight = _weights(image, mask)
        image, target = _masked(image, mask), _masked(target, mask)
        difference = image - target
        loss = (1 - ssim_weight) * (difference.abs() * weight).sum()
        gradient = (1 - ssim_weight) * weight * difference.sign()
        if ssim_weight > 0:
            parts = _Similarity(image, target)
            similarity = parts.map()
            loss = loss + ssim_weight * ((1 - similarity) * weight).sum()
            gradient += parts.gradient(similarity, -ssim_weight * weight)
        ctx.save_for_backward(_masked(gradient, mask))
        return loss

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *v_loss: Tensor
    ) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * v_loss[0], None, None, None


def _weights(image: Tensor, mask: Tensor | None) -> Tensor:
    """Weight of every value in a mean over the valid pixels; broadcasts to [H, W, 3]."""
    if mask is None:
        return image.new_tensor(1.0 / image.numel())
    count = mask.sum().clamp_min(1) * image.shape[-1]
    return (mask / count).to(image.dtype).unsqueeze(-1)


def _masked(image: Tensor, mask: Tensor | None) -> Tensor:
    # `where`, not a product: what is masked out may be non-finite.
    return image if mask is None else torch.where(mask.unsqueeze(-1), image, 0.0)


def _blur(maps: Tensor) -> Tensor:
    """[H, W, C] -> [H, W, C], every channel convolved with the window, zero padding."""
    channels = maps.shape[-1]
    vertical, horizontal = _window(channels, maps.device, maps.dtype)
    # The permuted view is channels-last in memory, where depthwise convolution is 3-10 x faster.
    planes = maps.permute(2, 0, 1).unsqueeze(0)
    planes = F.conv2d(planes, vertical, padding=(WINDOW // 2, 0), groups=channels)
    planes = F.conv2d(planes, horizontal, padding=(0, WINDOW // 2), groups=channels)
    return planes.squeeze(0).permute(1, 2, 0)


@lru_cache(maxsize=16)
def _window(channels: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    offset = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    taps = torch.exp(-offset.square() / (2 * SIGMA**2))
    taps = (taps / taps.sum()).to(device, dtype)
    vertical = taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    horizontal = taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    layout = torch.channels_last
    return vertical.contiguous(memory_format=layout), horizontal.contiguous(memory_format=layout)
