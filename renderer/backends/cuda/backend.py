"""The CUDA backend: allocates outputs and runs the kernels of cuda/kernels.

The same passes as cpu.py, for tensors on a GPU. Tensors are contiguous, on one device and of one
floating type; `autograd.py` sees to that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ... import _native
from ...cameras import camera_positions_vjp
from ...settings import RenderSettings
from ..stages import Projected, Projection, Tiles
from .kernels import blocks, run
from .tiles import bin_to_tiles as bin_to_tiles
from .training import adam_step as adam_step
from .training import photometric_loss as photometric_loss
from .training import shake as shake

MOST_CHANNELS = 128
"""Numbers of a pixel that one thread holds while it blends."""
_MOST_DEGREE = 3  # of harmonics
_WARP = 32
_THREADS = 128  # of a block of the kernels that take a splat a thread


def _padded_warps(splats: int) -> int:
    """Warps of a grid of `_THREADS` that covers the splats."""
    return blocks(splats, _THREADS) * (_THREADS // _WARP)


def _projection(inputs: Sequence[Tensor], how: Projection) -> dict[str, object]:
    """The arguments that projection and its gradient share."""
    settings = how.settings
    names = ("means", "quats", "scales", "opacities", "frequencies", "coefficients")
    arguments: dict[str, object] = {
        "splats": inputs[0].shape[0],
        "near_plane": settings.near_plane,
        "far_plane": settings.far_plane,
        "eps2d": settings.eps2d,
        "compensation_min": settings.compensation_min,
        "alpha_min": settings.alpha_min,
        "radius_clip": how.radius_clip,
        "width": how.size[0],
        "height": how.size[1],
        "antialiased": int(settings.antialiased),
        "three_sigma": int(settings.extent == "three_sigma"),
        "raw": int(how.raw),
    }
    return arguments | dict(zip((*names, "viewmats", "intrinsics"), inputs, strict=True))


def project(inputs: Sequence[Tensor], how: Projection) -> Projected:
    """As `cpu.project`."""
    means, frequencies, viewmats = inputs[0], inputs[4], inputs[6]
    waves = frequencies.shape[1]
    out = Projected.empty(means, viewmats.shape[0], _native.screen_size(waves))
    filled = {name: tensor for name, tensor in vars(out).items() if name != "opacities"}
    filled["opacities2d"] = out.opacities
    run(
        "project",
        "project",
        (blocks(means.shape[0], _THREADS), viewmats.shape[0]),
        _projection(inputs, how) | filled,
        real=means.dtype,
        defines={"waves": waves},
    )
    return out


def project_backward(
    inputs: Sequence[Tensor],
    how: Projection,
    radii: Tensor,
    v_outputs: Sequence[Tensor | None],
    *,
    poses: bool,
) -> list[Tensor | None]:
    """As `cpu.project_backward`."""
    means, viewmats = inputs[0], inputs[6]
    cameras, splats, waves = viewmats.shape[0], means.shape[0], inputs[4].shape[1]
    v_inputs = [torch.empty_like(tensor) for tensor in inputs[:6]]
    v_poses = means.new_empty(_padded_warps(splats), cameras, 12) if poses else None
    given = ("v_means2d", "v_depths", "v_conics", "v_opacities2d", "v_screen")
    found = ("v_means", "v_quats", "v_scales", "v_opacities", "v_frequencies", "v_coefficients")
    run(
        "project",
        "project_backward",
        (blocks(splats, _THREADS), 1),
        _projection(inputs, how)
        | dict(zip(given, v_outputs, strict=True))
        | dict(zip(found, v_inputs, strict=True))
        | {"radii": radii, "v_poses": v_poses, "cameras": cameras},
        real=means.dtype,
        defines={"waves": waves},
    )
    if v_poses is None:
        return [*v_inputs, None]
    summed = v_poses.sum(dim=0)  # [C, 12]
    v_viewmats = torch.zeros_like(viewmats)
    v_viewmats[:, :3, :3] = summed[:, :9].reshape(-1, 3, 3)
    v_viewmats[:, :3, 3] = summed[:, 9:]
    return [*v_inputs, v_viewmats]


def _shading(inputs: Sequence[Tensor], degree: int) -> dict[str, object]:
    """What shading and its gradient share."""
    means, viewmats, *harmonics = inputs
    bands = _bands(harmonics)
    if not 0 <= degree <= _MOST_DEGREE or (degree + 1) ** 2 > bands:
        raise ValueError(f"SH degree {degree} needs more than {bands} coefficients")
    sh0, sh_rest = _harmonics(harmonics)
    return {
        "means": means,
        "viewmats": viewmats,
        "sh0": sh0,
        "sh_rest": sh_rest,
        "splats": means.shape[0],
        "sh0_width": 3 * harmonics[0].shape[1],
        "rest_width": 3 * harmonics[-1].shape[1],
    }


def _bands(harmonics: Sequence[Tensor]) -> int:
    """Harmonics of a splat."""
    return sum(tensor.shape[1] for tensor in harmonics)


def _harmonics(tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The first band and where the others begin, of one tensor [N, B, 3] or of two."""
    first, rest = tensors[0], tensors[-1]
    return first, rest if len(tensors) == 2 else rest.flatten()[3:]


def shade(inputs: Sequence[Tensor], degree: int, radii: Tensor) -> Tensor:
    """As `cpu.shade`."""
    means, viewmats = inputs[:2]
    cameras, splats = viewmats.shape[0], means.shape[0]
    colors = means.new_empty(cameras, splats, 3)
    run(
        "shade",
        "shade_splats",
        (blocks(splats, _THREADS), cameras),
        _shading(inputs, degree) | {"radii": radii, "colors": colors},
        real=means.dtype,
        defines={"degree": degree},
    )
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
    """As `cpu.shade_backward`."""
    means, viewmats, *harmonics = inputs
    cameras, splats = viewmats.shape[0], means.shape[0]
    v_means = torch.empty_like(means)
    v_positions = means.new_empty(_padded_warps(splats), cameras, 3) if poses else None
    v_harmonics = [torch.empty_like(tensor) for tensor in harmonics]
    v_sh0, v_sh_rest = _harmonics(v_harmonics)
    run(
        "shade",
        "shade_backward",
        (blocks(splats, _THREADS), 1),
        _shading(inputs, degree)
        | {
            "v_sh0": v_sh0,
            "v_sh_rest": v_sh_rest,
            "radii": radii,
            "colors": colors,
            "v_colors": v_colors,
            "v_means": v_means,
            "v_positions": v_positions,
            "cameras": cameras,
            "bands": _bands(harmonics),
        },
        real=means.dtype,
        defines={"degree": degree},
    )
    v_viewmats = None
    if v_positions is not None:
        v_viewmats = camera_positions_vjp(viewmats, v_positions.sum(dim=0))
    return [v_means, v_viewmats, *v_harmonics]


def _blending(
    inputs: Sequence[Tensor], tiles: Tiles, settings: RenderSettings
) -> dict[str, object]:
    """The arguments that blending and its gradient share."""
    _, means2d, conics, opacities, cutoffs, colors, screen = inputs
    return {
        "means2d": means2d,
        "conics": conics,
        "opacities": opacities,
        "cutoffs": cutoffs,
        "colors": colors,
        "screen": screen,
        "splat_ids": tiles.splat_ids,
        "offsets": tiles.offsets,
        "alpha_min": settings.alpha_min,
        "alpha_max": settings.alpha_max,
        "transmittance_min": settings.transmittance_min,
    }


def _blend(
    inputs: Sequence[Tensor],
    tiles: Tiles,
    shape: tuple[int, int, int, int],
    settings: RenderSettings,
    outputs: dict[str, object],
) -> None:
    _, height, width, waves = shape
    colors = inputs[5]
    if colors.shape[-1] > MOST_CHANNELS:
        raise ValueError(f"the GPU blends at most {MOST_CHANNELS} channels, not {colors.shape[-1]}")
    background = map(float, settings.background)
    names = ("background_red", "background_green", "background_blue")
    run(
        "blend",
        "blend",
        (tiles.offsets.shape[0] - 1, 1),
        _blending(inputs, tiles, settings)
        | {"image": None, "transmittance": None, "bytes": None}
        | dict(zip(names, background, strict=True))
        | outputs
        | {"width": width, "height": height},
        real=colors.dtype,
        defines={"waves": waves, "channels": colors.shape[-1], "bytes": "bytes" in outputs},
    )


def blend(
    inputs: Sequence[Tensor],
    tiles: Tiles,
    shape: tuple[int, int, int, int],
    settings: RenderSettings,
) -> tuple[Tensor, Tensor]:
    """As `cpu.blend`."""
    colors = inputs[5]
    image = colors.new_empty(*shape[:3], colors.shape[-1])
    transmittance = colors.new_empty(*shape[:3])
    outputs: dict[str, object] = {"image": image, "transmittance": transmittance}
    _blend(inputs, tiles, shape, settings, outputs)
    return image, transmittance


def blend_bytes(
    inputs: Sequence[Tensor],
    tiles: Tiles,
    shape: tuple[int, int, int, int],
    settings: RenderSettings,
) -> Tensor:
    """As `cpu.blend_bytes`."""
    image = inputs[5].new_empty(*shape[:3], 3, dtype=torch.uint8)
    _blend(inputs, tiles, shape, settings, {"bytes": image})
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
    """As `cpu.blend_backward`. Sums are added in a fixed order when
    `torch.use_deterministic_algorithms` was on as the lists were made, which takes memory for every
    pair of splat and tile; otherwise in the order that tiles finish."""
    image, transmittance, v_image, v_transmittance = outputs
    opacities, colors = inputs[3], inputs[5]
    _, height, width = transmittance.shape
    channels = colors.shape[-1]
    everything = opacities.numel()
    deterministic = len(tiles.first_slot) > 0
    # 6 of the envelope, 1 + 4 K of the waves: see blend_backward.cu.
    numbers = 6 + (1 + 4 * waves if waves else 0) + channels + 2 * absolute
    rows = tiles.splat_ids.shape[0] if deterministic else everything
    sums = colors.new_zeros(rows, numbers)
    special: dict[str, int] = {
        "waves": waves,
        "channels": channels,
        "absolute": absolute,
        "deterministic": deterministic,
    }
    run(
        "blend_backward",
        "blend_backward",
        (tiles.offsets.shape[0] - 1, 1),
        _blending(inputs, tiles, settings)
        | {
            "slots": tiles.slots,
            "image": image,
            "transmittance": transmittance,
            "v_image": v_image,
            "v_transmittance": v_transmittance,
            "sums": sums,
            "width": width,
            "height": height,
        },
        real=colors.dtype,
        defines=special,
    )
    return _finish_blend(inputs, tiles, sums, special)


def _finish_blend(
    inputs: Sequence[Tensor], tiles: Tiles, sums: Tensor, special: dict[str, int]
) -> list[Tensor]:
    """From sums over pixels to gradients."""
    radii, means2d, conics, opacities, _, colors, screen = inputs
    everything = opacities.numel()
    v_inputs = [torch.empty_like(t) for t in (means2d, conics, opacities, colors, screen)]
    v_absolute = torch.empty_like(means2d) if special["absolute"] else None
    names = ("v_means2d", "v_conics", "v_opacities", "v_colors", "v_screen")
    run(
        "blend_backward",
        "finish_blend",
        (blocks(everything, _THREADS), 1),
        dict(zip(names, v_inputs, strict=True))
        | {
            "means2d": means2d,
            "conics": conics,
            "opacities": opacities,
            "screen": screen,
            "radii": radii,
            "first_slot": tiles.first_slot,
            "sums": sums,
            "v_means2d_abs": v_absolute,
            "all": everything,
        },
        real=colors.dtype,
        defines=special,
    )
    return v_inputs if v_absolute is None else [*v_inputs, v_absolute]
