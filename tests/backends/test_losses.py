"""The loss and the metrics, against the definition of SSIM written out pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import TypeVar

import pytest
import torch
from tolerances import GRADIENT, GRADIENT_FLOAT, assert_gradients_close
from torch import Tensor

from gaborsplat.renderer.backends.memory import FreshMemory
from gaborsplat.renderer.losses import compare, photometric_loss, psnr, ssim

pytestmark = pytest.mark.usefixtures("device")

T = TypeVar("T")


def pair(height: int = 7, width: int = 12) -> tuple[Tensor, Tensor]:
    image = torch.rand(height, width, 3, dtype=torch.float64)
    target = (image + 0.3 * torch.randn(height, width, 3, dtype=torch.float64)).clamp(0, 1)
    return image, target


def hole(height: int = 7, width: int = 12) -> Tensor:
    """A mask with an invalid rectangle and an invalid border on the left."""
    mask = torch.ones(height, width, dtype=torch.bool)
    mask[3:5, 5:9] = False
    mask[:, :2] = False
    return mask


def similarity_by_definition(image: Tensor, target: Tensor) -> Tensor:
    """SSIM map [H, W, 3]: weighted moments of each pixel's 11 x 11 window, black outside."""
    height, width, _ = image.shape
    result = torch.zeros_like(image)
    for i in range(height):
        for j in range(width):
            weights, xs, ys = [], [], []
            for di in range(-5, 6):
                for dj in range(-5, 6):
                    weights.append(math.exp(-(di * di + dj * dj) / (2 * 1.5**2)))
                    inside = 0 <= i + di < height and 0 <= j + dj < width
                    xs.append(image[i + di, j + dj] if inside else torch.zeros(3).double())
                    ys.append(target[i + di, j + dj] if inside else torch.zeros(3).double())
            w = torch.tensor(weights).double()[:, None] / sum(weights)
            x, y = torch.stack(xs), torch.stack(ys)
            mx, my = (w * x).sum(0), (w * y).sum(0)
            vx, vy = (w * (x - mx) ** 2).sum(0), (w * (y - my) ** 2).sum(0)
            cov = (w * (x - mx) * (y - my)).sum(0)
            c1, c2 = 0.01**2, 0.03**2
            top = (2 * mx * my + c1) * (2 * cov + c2)
            result[i, j] = top / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return result


def test_ssim_follows_its_definition() -> None:
    image, target = pair()
    expected = similarity_by_definition(image, target).mean()
    assert torch.allclose(ssim(image, target), expected, atol=1e-12)


def test_masked_ssim_sees_black_where_pixels_are_invalid_and_averages_the_others() -> None:
    (image, target), mask = pair(), hole()
    keep = mask[..., None]
    expected = similarity_by_definition(image * keep, target * keep)[mask].mean()
    assert torch.allclose(ssim(image, target, mask), expected, atol=1e-12)


@pytest.mark.parametrize("weight", [0.0, 0.2, 1.0])
def test_loss_weighs_absolute_difference_and_dissimilarity(weight: float) -> None:
    image, target = pair()
    expected = (1 - weight) * (image - target).abs().mean() + weight * (1 - ssim(image, target))
    loss = photometric_loss(image, target, ssim_weight=weight)
    assert torch.allclose(loss, expected, atol=1e-12)


@pytest.mark.parametrize("weight", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("masked", [False, True])
def test_gradient_of_the_loss_matches_finite_differences(weight: float, masked: bool) -> None:
    image, target = pair()
    image.requires_grad_()
    mask = hole() if masked else None
    assert torch.autograd.gradcheck(
        lambda x: photometric_loss(x, target, mask, weight), image, eps=1e-7, atol=1e-7
    )


def test_the_gradient_scales_with_what_follows_the_loss() -> None:
    image, target = pair()
    image.requires_grad_()
    (once,) = torch.autograd.grad(photometric_loss(image, target), image)
    (thrice,) = torch.autograd.grad(3 * photometric_loss(image, target), image)
    assert torch.allclose(thrice, 3 * once)


def test_invalid_pixels_change_nothing_even_if_they_are_not_numbers() -> None:
    (image, target), mask = pair(), hole()
    spoiled, spoiled_target = image.clone(), target.clone()
    spoiled[~mask] = math.nan
    spoiled_target[~mask] = math.inf
    spoiled.requires_grad_()
    loss = photometric_loss(spoiled, spoiled_target, mask)
    loss.backward()
    assert torch.equal(loss, photometric_loss(image, target, mask))
    assert spoiled.grad is not None
    assert bool((spoiled.grad[~mask] == 0).all())
    assert bool((spoiled.grad[mask] != 0).all())
    assert torch.equal(ssim(spoiled, spoiled_target, mask), ssim(image, target, mask))
    assert torch.equal(psnr(spoiled, spoiled_target, mask), psnr(image, target, mask))


def test_a_fully_masked_image_costs_nothing() -> None:
    image, target = pair()
    image.requires_grad_()
    loss = photometric_loss(image, target, torch.zeros(7, 12, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert image.grad is not None and not image.grad.any()


class SpoiledMemory(FreshMemory):
    """Memory that holds what a pass must not leave there."""

    def keep(self, name: str, make: Callable[..., T], *key: Hashable) -> T:
        made = super().keep(name, make, *key)
        for tensor in made if isinstance(made, tuple) else ():
            tensor.fill_(math.nan)
        return made


def test_results_of_zero_are_written_too() -> None:
    mask = torch.zeros(7, 12, dtype=torch.bool)
    result = compare(*pair(), mask, gradient=True, memory=SpoiledMemory())
    assert result.gradient is not None and bool((result.gradient == 0).all())
    assert bool((result.means == 0).all())


def loss_by_convolution(
    image: Tensor, target: Tensor, mask: Tensor | None, weight: float
) -> Tensor:
    """The loss from torch's convolutions, for pictures of any size."""
    valid = torch.ones(image.shape[:2], dtype=torch.bool) if mask is None else mask
    x, y = (tensor.permute(2, 0, 1)[:, None] * valid for tensor in (image, target))
    row = torch.exp(-(torch.arange(-5, 6, dtype=image.dtype) ** 2) / (2 * 1.5**2))
    window = torch.outer(row, row)[None, None] / row.sum() ** 2

    def blurred(tensor: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(tensor, window, padding=5)

    mx, my, c1, c2 = blurred(x), blurred(y), 0.01**2, 0.03**2
    variances = blurred(x * x) + blurred(y * y) - mx * mx - my * my
    covariance = blurred(x * y) - mx * my
    similar = (2 * mx * my + c1) * (2 * covariance + c2)
    similar = similar / ((mx * mx + my * my + c1) * (variances + c2))
    l1 = (x - y).abs()[:, 0][:, valid].mean()
    return (1 - weight) * l1 + weight * (1 - similar[:, 0][:, valid].mean())


@pytest.mark.parametrize("weight", [0.0, 0.2])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [(70, 131), (16, 60), (17, 61)])
def test_loss_and_gradient_of_larger_pictures_are_those_of_convolutions(
    size: tuple[int, int], masked: bool, weight: float
) -> None:
    image, target = pair(*size)
    mask = torch.rand(size) < 0.8 if masked else None
    expected = loss_by_convolution(image.requires_grad_(), target, mask, weight)
    (gradient,) = torch.autograd.grad(expected, image)
    result = compare(image, target, mask, weight, gradient=True)
    assert torch.allclose(result.loss, expected, atol=1e-12)
    assert result.gradient is not None
    assert_gradients_close({"image": result.gradient}, {"image": gradient}, GRADIENT)


@pytest.mark.parametrize("masked", [False, True])
def test_a_photo_of_bytes_is_compared_in_float(masked: bool) -> None:
    image, target = pair(40, 70)
    photo = (target * 255).round().to(torch.uint8)
    mask = hole(40, 70) if masked else None
    expected = loss_by_convolution(image.requires_grad_(), photo.double() / 255, mask, 0.2)
    (gradient,) = torch.autograd.grad(expected, image)
    result = compare(image.detach().float(), photo, mask, gradient=True)
    assert torch.allclose(result.loss, expected, atol=1e-6)
    assert result.gradient is not None
    assert_gradients_close({"image": result.gradient}, {"image": gradient}, GRADIENT_FLOAT)


def test_equal_images_have_no_loss_and_perfect_metrics() -> None:
    image, _ = pair()
    assert abs(photometric_loss(image, image).item()) < 1e-12
    assert abs(ssim(image, image).item() - 1) < 1e-12
    assert psnr(image, image).item() == pytest.approx(100.0)


def test_psnr_of_a_uniform_error_is_its_square_in_decibels() -> None:
    image = torch.full((4, 5, 3), 0.5)
    assert psnr(image, image + 0.1).item() == pytest.approx(20.0, abs=1e-4)


def test_masked_psnr_averages_over_valid_pixels_only() -> None:
    (image, target), mask = pair(), hole()
    expected = -10 * torch.log10((image - target)[mask].square().mean())
    assert torch.allclose(psnr(image, target, mask), expected)


def test_a_mask_of_another_size_is_refused() -> None:
    image, photo = torch.rand(4, 6, 3), torch.rand(4, 6, 3)
    with pytest.raises(ValueError, match=r"the mask is \(4, 1\), the picture \(4, 6\)"):
        photometric_loss(image, photo, torch.ones(4, 1, dtype=torch.bool))


def test_tensors_need_not_lie_side_by_side() -> None:
    image, target = pair(40, 50)
    mask = hole(40, 50)
    expected = photometric_loss(image, target, mask)
    scattered = torch.stack([mask, ~mask, mask], dim=2)[..., 0]
    strided = [tensor.transpose(0, 1).contiguous().transpose(0, 1) for tensor in (image, target)]
    assert torch.equal(photometric_loss(*strided, scattered), expected)


def test_the_loss_is_a_tensor_of_its_own() -> None:
    image, target = pair()
    loss = photometric_loss(image.requires_grad_(), target)
    loss += 1.0
    loss.backward()
    assert image.grad is not None


@pytest.mark.parametrize("kind", [torch.float16, torch.uint8])
def test_pictures_and_masks_of_another_type_are_refused(kind: torch.dtype) -> None:
    image, target = pair()
    with pytest.raises(ValueError, match="the picture must be float32 or float64, not torch"):
        psnr(image.to(kind), target)
    with pytest.raises(ValueError, match="the mask must be bool, not torch"):
        ssim(image, target, hole().float())
