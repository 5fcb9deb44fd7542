"""The differentiable stages, and the rasterizer's `torch.autograd.Function`s: each class saves
tensors and calls a backend, chosen by the tensors' device. Gradients are of first order."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..backends import cpu
from ..backends.stages import Projected, Projection, Tiles
from ..cameras import Cameras
from ..settings import RenderSettings
from ..splats import SplatShape

T = TypeVar("T")

_backends: dict[str, ModuleType] = {"cpu": cpu}
"""By type of device."""


def backend(device: torch.device) -> ModuleType:
    """The module that implements the passes for tensors on `device`.

    Raises:
        ValueError: there is none for this device.
    """
    if device.type in _backends:
        return _backends[device.type]
    if device.type == "cuda":
        from ..backends.cuda import backend as cuda

        return cuda
    raise ValueError(f"splats are on {device}: rendering takes the CPU or an NVIDIA GPU")


def _checked(tensors: dict[str, Tensor]) -> list[Tensor]:
    """The tensors, contiguous, after checking that they share one device and floating type."""
    first_name, first = next(iter(tensors.items()))
    if first.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{first_name} must be float32 or float64, not {first.dtype}")
    for name, tensor in tensors.items():
        if (tensor.dtype, tensor.device) != (first.dtype, first.device):
            raise ValueError(
                f"{name} is {tensor.dtype} on {tensor.device}, "
                f"but {first_name} is {first.dtype} on {first.device}"
            )
    return [tensor.contiguous() for tensor in tensors.values()]


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        how: Projection,
        *inputs: Tensor,
    ) -> tuple[Tensor, ...]:
        passes = backend(inputs[0].device)
        out: Projected = passes.project(inputs, how)
        ctx.how, ctx.passes = how, passes
        ctx.save_for_backward(*inputs, out.radii)
        ctx.mark_non_differentiable(out.radii, out.cutoffs)
        return out.tensors()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *v: Tensor
    ) -> tuple[Tensor | None, ...]:
        *inputs, radii = ctx.saved_tensors
        _, v_means2d, v_depths, v_conics, v_opacities, _, v_screen = v
        v_outputs = [
            gradient.contiguous()
            for gradient in (v_means2d, v_depths, v_conics, v_opacities, v_screen)
        ]
        v_inputs = ctx.passes.project_backward(
            inputs, ctx.how, radii, v_outputs, poses=ctx.needs_input_grad[7]
        )
        return None, *v_inputs, None


class _Shade(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, degree: int, radii: Tensor, *inputs: Tensor) -> Tensor:
        passes = backend(inputs[0].device)
        colors: Tensor = passes.shade(inputs, degree, radii)
        ctx.degree, ctx.passes = degree, passes
        ctx.save_for_backward(*inputs, radii, colors)
        return colors

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *v: Tensor
    ) -> tuple[Tensor | None, ...]:
        *inputs, radii, colors = ctx.saved_tensors
        v_inputs = ctx.passes.shade_backward(
            inputs, ctx.degree, radii, colors, v[0].contiguous(), poses=ctx.needs_input_grad[3]
        )
        return None, None, *v_inputs


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        tiles: Tiles,
        shape: tuple[int, int, int, int],
        settings: RenderSettings,
        absgrad: bool,
        *inputs: Tensor,
    ) -> tuple[Tensor, Tensor]:
        passes = backend(inputs[0].device)
        image, transmittance = passes.blend(inputs, tiles, shape, settings)
        ctx.tiles, ctx.waves, ctx.settings, ctx.passes = tiles, shape[3], settings, passes
        ctx.absgrad = absgrad
        ctx.save_for_backward(*inputs, image, transmittance)
        return image, transmittance

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *v: Tensor
    ) -> tuple[Tensor | None, ...]:
        *inputs, image, transmittance = ctx.saved_tensors
        v_image, v_transmittance = (gradient.contiguous() for gradient in v)
        v_means2d, v_conics, v_opacities, v_colors, v_screen, *v_absolute = (
            ctx.passes.blend_backward(
                inputs,
                ctx.tiles,
                (image, transmittance, v_image, v_transmittance),
                ctx.settings,
                waves=ctx.waves,
                absolute=ctx.absgrad,
            )
        )
        if ctx.absgrad:
            inputs[1].absgrad = v_absolute[0]  # where gsplat's strategies look for it
        v_inputs = (None, v_means2d, v_conics, v_opacities, None, v_colors, v_screen)
        return None, None, None, None, *v_inputs


def project(
    geometry: SplatShape, views: Cameras, settings: RenderSettings, radius_clip: float = 0.0
) -> Projected:
    """Splats on the image of every view, fields of shape [C, N, ...].

    Differentiable in the geometry and the view matrices. Splats that are not finite, not in front
    of the camera, outside the image or nowhere above alpha_min are culled.

    Raises:
        ValueError: tensors of mixed or unsupported type or device.
    """
    inputs = _checked({**vars(geometry), "viewmats": views.viewmats, "Ks": views.intrinsics})
    how = Projection(views.size, settings, radius_clip)
    if not torch.is_grad_enabled():  # recording costs more than some passes
        found: Projected = backend(inputs[0].device).project(inputs, how)
        return found
    return Projected(*_Project.apply(how, *inputs))


def shade(means: Tensor, sh: Tensor, views: Cameras, radii: Tensor, degree: int) -> Tensor:
    """Colours [C, N, 3] of spherical harmonics `sh` [N, B, 3] seen from every view: 0.5 + sum, at
    least 0; 0 where culled. A splat whose colour is not finite is culled here: its radius becomes
    0. Differentiable in means, sh and the view matrices."""
    inputs = _checked({"means": means, "viewmats": views.viewmats, "sh": sh})
    if not torch.is_grad_enabled():
        found: Tensor = backend(means.device).shade(inputs, degree, radii)
        return found
    colors: Any = _Shade.apply(degree, radii, *inputs)
    return colors


def with_tiles(
    projected: Projected,
    size: tuple[int, int],
    settings: RenderSettings,
    blend_with: Callable[[Tiles], T],
    *,
    gradient: bool,
) -> tuple[Tiles, T]:
    """The splats of every tile, front to back, and what `blend_with` makes of them.

    `projected` has shape [C, N]. Without `gradient`, what is blended with these tiles cannot be
    differentiated. On a GPU `blend_with` is called again if the lists turn out to be too short.
    """
    detached = projected
    if projected.means2d.requires_grad:
        detached = Projected(*(tensor.detach() for tensor in projected.tensors()))
    passes = backend(projected.depths.device)
    while True:
        tiles: Tiles = passes.bin_to_tiles(detached, size, settings, gradient=gradient)
        result = blend_with(tiles)
        whole = tiles.whole()
        if whole is not None:
            return whole, result


def blend(
    projected: Projected,
    colors: Tensor,
    tiles: Tiles,
    shape: tuple[int, int, int, int],
    settings: RenderSettings,
    *,
    absgrad: bool = False,
) -> tuple[Tensor, Tensor]:
    """Composite front to back.

    Args:
        colors: [..., D] values to blend, one row per projected splat.
        shape: (C, H, W, K) cameras, image height and width, waves per splat.
        absgrad: on backward, set `projected.means2d.absgrad` to the sum over pixels of the
            absolute gradient.

    Returns:
        Image [C, H, W, D] without background, and transmittance [C, H, W].
    """
    p = projected
    _, colors = _checked({"means2d": p.means2d, "colors": colors})
    inputs = (p.means2d, p.conics, p.opacities, p.cutoffs, colors, p.screen)
    if not torch.is_grad_enabled():
        found: tuple[Tensor, Tensor] = backend(colors.device).blend(
            (p.radii, *inputs), tiles, shape, settings
        )
        return found
    result: Any = _Blend.apply(tiles, shape, settings, absgrad, p.radii, *inputs)
    return result
