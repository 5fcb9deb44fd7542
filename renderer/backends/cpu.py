"""The CPU backend: allocates outputs and calls the passes of `renderer._native`.

Tensors are contiguous, on the CPU and of one floating-point type; `autograd.py` sees to that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _native
from ..cameras import camera_positions, camera_positions_vjp
from ..settings import RenderSettings
from .stages import Projected, Projection, Tiles


def _project_options(how: Projection) -> _native.ProjectOptions:
    settings = how.settings
    return _native.ProjectOptions(
        width=how.size[0],
        height=how.size[1],
        near_plane=settings.near_plane,
        far_plane=settings.far_plane,
        eps2d=settings.eps2d,
        compensation_min=settings.compensation_min,
        alpha_min=settings.alpha_min,
        radius_clip=how.radius_clip,
        antialiased=settings.antialiased,
        three_sigma=settings.extent == "three_sigma",
        raw=how.raw,
    )


def _blend_options(
    shape: tuple[int, int, int, int], settings: RenderSettings
) -> _native.BlendOptions:
    cameras, height, width, waves = shape
    return _native.BlendOptions(
        waves=waves,
        cameras=cameras,
        width=width,
        height=height,
        alpha_min=settings.alpha_min,
        alpha_max=settings.alpha_max,
        transmittance_min=settings.transmittance_min,
    )


def project(inputs: Sequence[Tensor], how: Projection) -> Projected:
    """Project all splats. `inputs` are the fields of SplatShape, then viewmats and intrinsics."""
    means, frequencies, viewmats = inputs[0], inputs[4], inputs[6]
    waves = frequencies.shape[1]
    out = Projected.empty(means, viewmats.shape[0], _native.screen_size(waves))
    filled = list(out.tensors()[1:])
    _native.project(list(inputs), waves, _project_options(how), out.radii, filled)
    return out


def project_backward(
    inputs: Sequence[Tensor],
    how: Projection,
    radii: Tensor,
    v_outputs: Sequence[Tensor | None],
    *,
    poses: bool,
) -> list[Tensor | None]:
    """Gradients of SplatShape's fields and viewmats; that of viewmats is None without `poses`.
    `v_outputs` are those of means2d, depths, conics, opacities and screen; None for depths where
    that is zero."""
    waves, depths = inputs[4].shape[1], radii[..., 0]
    v_inputs = [torch.empty_like(tensor) for tensor in inputs[:7]]
    given = [
        depths.new_zeros(depths.shape, dtype=inputs[0].dtype) if v is None else v for v in v_outputs
    ]
    options = _project_options(how)
    _native.project_backward(list(inputs), waves, options, radii, given, v_inputs)
    return [*v_inputs[:6], v_inputs[6] if poses else None]


def shade(inputs: Sequence[Tensor], degree: int, radii: Tensor) -> Tensor:
    """Colours [C, N, 3] of (means [N, 3], viewmats [C, 4, 4], sh [N, B, 3]); the last may be two,
    its first band and the others."""
    means, viewmats, *sh = inputs
    colors = means.new_empty(viewmats.shape[0], means.shape[0], 3)
    _native.shade([means, camera_positions(viewmats), *sh], degree, radii, colors)
    return colors


def shade_backward(
    inputs: Sequence[Tensor],
    degree: int,
    radii: Tensor,
    colors: Tensor,
    v_colors: Tensor,
    *,
    poses: bool,
) -> list[Tensor | None]:
    """Gradients of the inputs of `shade`; that of viewmats is None without `poses`."""
    means, viewmats, *sh = inputs
    given = [means, camera_positions(viewmats), *sh]
    v_given = [torch.empty_like(tensor) for tensor in given]
    _native.shade_backward(given, degree, radii, colors, v_colors, v_given)
    v_means, v_positions, *v_sh = v_given
    return [v_means, camera_positions_vjp(viewmats, v_positions) if poses else None, *v_sh]


def bin_to_tiles(
    projected: Projected, size: tuple[int, int], settings: RenderSettings, *, gradient: bool
) -> Tiles:
    """List the splats of every tile. `projected` has shape [C, N]; without `gradient`, the lists
    for the backward pass stay empty."""
    p = projected
    cameras = p.depths.shape[0]
    lists = _native.bin_to_tiles(
        [p.means2d, p.depths, p.conics, p.cutoffs],
        p.radii,
        cameras,
        *size,
        settings.extent == "exact",
        gradient,
    )
    splat_ids, offsets, slots, first_slot = map(torch.from_numpy, lists)
    return Tiles(splat_ids, offsets, slots, first_slot)


def blend(
    inputs: Sequence[Tensor],
    tiles: Tiles,
    shape: tuple[int, int, int, int],
    settings: RenderSettings,
) -> tuple[Tensor, Tensor]:
    """Image [C, H, W, D] and transmittance [C, H, W]; `shape` is (C, H, W, waves).

    `inputs` are radii, means2d, conics, opacities, cutoffs, colors [M, D], screen.
    """
    *pixels, _ = shape
    _, *rest = inputs
    colors = rest[4]
    image = colors.new_empty(*pixels, colors.shape[-1])
    transmittance = colors.new_empty(*pixels)
    options = _blend_options(shape, settings)
    _native.blend(rest, options, tiles.splat_ids, tiles.offsets, image, transmittance)
    return image, transmittance


def blend_bytes(
    inputs: Sequence[Tensor],
    tiles: Tiles,
    shape: tuple[int, int, int, int],
    settings: RenderSettings,
) -> Tensor:
    """As `blend`, of 3 channels over the background: [C, H, W, 3] uint8."""
    _, *rest = inputs
    image = torch.empty(*shape[:3], 3, dtype=torch.uint8)
    background = [float(value) for value in settings.background]
    options = _blend_options(shape, settings)
    _native.blend_bytes(rest, options, tiles.splat_ids, tiles.offsets, background, image)
    return image


def blend_backward(
    inputs: Sequence[Tensor],
    tiles: Tiles,
    outputs: tuple[Tensor, Tensor, Tensor, Tensor | None],
    settings: RenderSettings,
    *,
    waves: int,
    absolute: bool,
) -> list[Tensor]:
    """Gradients of means2d, conics, opacities, colors, screen and, when `absolute`, the sum of the
    absolute gradient of means2d. `outputs`: image, transmittance and their gradients; None for the
    last where it is zero."""
    image, transmittance, v_image, v_transmittance = outputs
    if v_transmittance is None:
        v_transmittance = torch.zeros_like(transmittance)
    _, *rest = inputs
    means2d, conics, opacities, _, colors, screen = rest
    v_inputs = [torch.empty_like(t) for t in (means2d, conics, opacities, colors, screen)]
    if absolute:
        v_inputs.append(torch.empty_like(means2d))
    cameras, height, width = transmittance.shape
    _native.blend_backward(
        rest,
        _blend_options((cameras, height, width, waves), settings),
        tiles.splat_ids,
        tiles.offsets,
        image,
        transmittance,
        [v_image, v_transmittance],
        tiles.slots,
        tiles.first_slot,
        v_inputs,
    )
    return v_inputs


def photometric_loss(
    image: Tensor, target: Tensor, mask: Tensor | None, ssim_weight: float, gradient: Tensor
) -> Tensor:
    """Means [3] float64 of L1, SSIM and the squared error over the valid pixels of [H, W, 3].

    `target` is of the image's type or uint8, `mask` [H, W] uint8. Fills `gradient` with that of
    (1 - w) L1 + w (1 - SSIM), unless it is empty. SSIM is 0 where its weight is."""
    valid = image.new_empty(0, dtype=torch.uint8) if mask is None else mask
    width = image.shape[1]
    means = _native.photometric_loss(image, target, valid, width, ssim_weight, gradient)
    return torch.tensor(means, dtype=torch.float64)


def adam_step(
    state: tuple[Tensor, Tensor, Tensor],
    gradient: Tensor,
    visible: Tensor | None,
    rates: tuple[float, float, float, float, float],
) -> None:
    """One step of Adam on `state`: a parameter [N, ...] and its two moments, all changed in place.

    Only rows where `visible` [N] bool is True take part. `rates` are the learning rate over
    1 - beta1^t, beta1, beta2, sqrt(1 - beta2^t) and epsilon."""
    rows = (
        gradient.new_empty(0, dtype=torch.uint8) if visible is None else visible.view(torch.uint8)
    )
    _native.adam_step(list(state), gradient, rows, len(gradient), rates)


def shake(
    means: Tensor,
    inputs: tuple[Tensor, Tensor, Tensor],
    strength: float,
    gate: tuple[float, float, float],
    seed: int,
) -> None:
    """Add noise to `means` [N, 3], in place. `inputs` are raw: quats, log scales, opacity logits.

    The noise has the splat's own covariance, times `strength` and sigmoid(l), where `gate` is
    (slope, faint, least) and l = slope (faint - opacity); none where l is not above `least`."""
    _native.shake(means, list(inputs), strength, gate, seed)
