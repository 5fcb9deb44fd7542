"""The CUDA backend's passes of a fit: the loss, Adam and the noise."""

from __future__ import annotations

import torch
from torch import Tensor

from .kernels import blocks, run

_THREADS = 256  # of a block of the kernels that take a number, or a splat, a thread
_SQUARE = 16  # [px] of a block of the loss


def photometric_loss(
    image: Tensor, target: Tensor, mask: Tensor | None, ssim_weight: float, gradient: Tensor
) -> Tensor:
    """As `cpu.photometric_loss`. Does not wait for the GPU."""
    height, width, _ = image.shape
    grid = (blocks(width, _SQUARE), blocks(height, _SQUARE))
    wanted = gradient.numel() > 0
    derivatives = image.new_empty(3, height, width, 3) if wanted and ssim_weight > 0 else None
    sums = image.new_zeros(grid[0] * grid[1], 3)
    valid = None if mask is None else torch.count_nonzero(mask)
    common: dict[str, object] = {
        "image": image,
        "photo": target,
        "mask": mask,
        "derivatives": derivatives,
        "width": width,
        "height": height,
    }
    run(
        "loss",
        "compare_pictures",
        grid,
        common | {"sums": sums, "with_ssim": int(ssim_weight > 0)},
        real=image.dtype,
    )
    if wanted:
        weights = {"l1_weight": 1 - ssim_weight, "ssim_weight": -ssim_weight, "valid": valid}
        run(
            "loss",
            "loss_gradient",
            grid,
            common | weights | {"gradient": gradient},
            real=image.dtype,
        )
    pixels = height * width if valid is None else valid.clamp_min(1)
    return sums.double().sum(dim=0) / (3 * pixels)


def adam_step(
    state: tuple[Tensor, Tensor, Tensor],
    gradient: Tensor,
    visible: Tensor | None,
    rates: tuple[float, float, float, float, float],
) -> None:
    """As `cpu.adam_step`."""
    names = ("rate", "beta1", "beta2", "root_remainder", "eps")
    numbers, rows = gradient.numel(), max(1, len(gradient))
    if visible is not None and visible.numel() != len(gradient):
        raise ValueError(f"visible holds {visible.numel()} numbers, not {len(gradient)}")
    run(
        "descent",
        "adam_step",
        (blocks(numbers, _THREADS), 1),
        dict(zip(("values", "means", "squares"), state, strict=True))
        | dict(zip(names, rates, strict=True))
        | {
            "gradients": gradient,
            "visible": None if visible is None else visible.view(torch.uint8),
            "numbers": numbers,
            "width": numbers // rows,
        },
        real=gradient.dtype,
    )


def shake(
    means: Tensor,
    inputs: tuple[Tensor, Tensor, Tensor],
    strength: float,
    gate: tuple[float, float, float],
    seed: int,
) -> None:
    """As `cpu.shake`."""
    run(
        "descent",
        "shake",
        (blocks(len(means), _THREADS), 1),
        dict(zip(("quats", "scales", "opacities"), inputs, strict=True))
        | dict(zip(("slope", "faint", "least"), gate, strict=True))
        | {"means": means, "splats": len(means), "seed": seed, "strength": strength},
        real=means.dtype,
    )
