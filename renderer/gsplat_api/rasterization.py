"""gsplat's `rasterization` on our kernels: its strategies and other trainers run unchanged.

Written to the interface of gsplat 1.5.3 (Ye et al. 2025, Apache-2.0). What this adds is `gabor=`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from .._native import constants
from ..backends.stages import Tiles
from ..cameras import Cameras
from ..raster import autograd
from ..settings import RenderSettings
from ..splats import SplatShape
from .info import Info, Packing

RenderMode = Literal["RGB", "D", "ED", "RGB+D", "RGB+ED"]


def rasterization(  # noqa: PLR0913, PLR0917 - gsplat's signature
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    radius_clip: float = 0.0,
    eps2d: float = 0.3,
    sh_degree: int | None = None,
    packed: bool = True,
    tile_size: int = 16,
    backgrounds: Tensor | None = None,
    render_mode: RenderMode = "RGB",
    sparse_grad: bool = False,
    absgrad: bool = False,
    rasterize_mode: Literal["classic", "antialiased"] = "classic",
    channel_chunk: int = 32,
    distributed: bool = False,
    camera_model: str = "pinhole",
    segmented: bool = False,
    covars: Tensor | None = None,
    with_ut: bool = False,
    with_eval3d: bool = False,
    radial_coeffs: Tensor | None = None,
    tangential_coeffs: Tensor | None = None,
    thin_prism_coeffs: Tensor | None = None,
    ftheta_coeffs: Any = None,
    rolling_shutter: Any = None,
    viewmats_rs: Tensor | None = None,
    *,
    gabor: tuple[Tensor, Tensor] | None = None,
    settings: RenderSettings | None = None,
) -> tuple[Tensor, Tensor, Info]:
    """Rasterize N splats to C images.

    Args:
        means: [N, 3] centres.
        quats: [N, 4] rotations wxyz, any non-zero length.
        scales: [N, 3] standard deviations.
        opacities: [N] in [0, 1].
        colors: [N, D] or [C, N, D] values to blend, or with `sh_degree` [N, B, 3] or [C, N, B, 3]
            spherical harmonics.
        viewmats: [C, 4, 4] world to camera.
        Ks: [C, 3, 3] intrinsics [px].
        near_plane, far_plane: bounds of camera z outside which splats are culled.
        radius_clip: splats of no larger radius are culled [px].
        eps2d: dilation of the 2D covariance [px^2].
        packed: drop invisible splats before blending; `info` then holds [nnz, ...] tensors.
        backgrounds: [C, D] colour behind the splats.
        render_mode: what the channels are: colour, accumulated depth (D), expected depth (ED).
        absgrad: give `info["means2d"]` an `absgrad` on backward.
        rasterize_mode: "antialiased" compensates the opacity for the dilation.
        channel_chunk, segmented: without effect, as the result does not depend on them.
        gabor: frequencies [N, K, 3] and coefficients [N, K, 2] of each splat's waves.
        settings: thresholds that gsplat does not expose; by default RenderSettings(). Fields that
            have an argument here are taken from that argument.

    Returns:
        Images [C, H, W, D], alphas [C, H, W, 1], and gsplat's `info`. The gradient of
        `info["means2d"]` is that of the envelope alone: what the waves do to the mean would swamp
        the thresholds of density control (docs/mathematics.md, 4).

    Raises:
        ValueError: a shape that does not fit, or an option of gsplat's that is not supported.
    """
    unsupported = {
        "tile_size other than 16": tile_size != constants.TILE_SIZE,
        "sparse_grad": sparse_grad,
        "distributed": distributed,
        f"camera_model={camera_model!r}": camera_model != "pinhole",
        "covars": covars is not None,
        "with_ut": with_ut,
        "with_eval3d": with_eval3d,
        "radial_coeffs": radial_coeffs is not None,
        "tangential_coeffs": tangential_coeffs is not None,
        "thin_prism_coeffs": thin_prism_coeffs is not None,
        "ftheta_coeffs": ftheta_coeffs is not None,
        "rolling_shutter": getattr(rolling_shutter, "name", "GLOBAL") != "GLOBAL",
        "viewmats_rs": viewmats_rs is not None,
    }
    _check_choice("render_mode", render_mode, get_args(RenderMode))
    _check_choice("rasterize_mode", rasterize_mode, ("classic", "antialiased"))
    _refuse(unsupported)
    del channel_chunk, segmented

    settings = replace(
        settings or RenderSettings(),
        antialiased=rasterize_mode == "antialiased",
        near_plane=near_plane,
        far_plane=far_plane,
        eps2d=eps2d,
    )
    if gabor is None:
        n = len(means)
        gabor = means.new_zeros(n, 0, 3), means.new_zeros(n, 0, 2)
    geometry = SplatShape(means, quats, scales, opacities, *gabor)
    views = Cameras(viewmats, Ks, (width, height))
    _check_shapes(geometry, colors, views, sh_degree)

    dense = autograd.project(geometry, views, settings, radius_clip)
    values = _values(means, colors, views, dense.radii, sh_degree)
    packing = Packing.of(dense.radii) if packed else None
    projected = dense
    if packing is not None:
        projected, values = packing.drop_culled(dense), packing.pick(values)
    channels, backgrounds = _with_depth(values, projected.depths, backgrounds, render_mode)
    shape = (len(viewmats), height, width, geometry.waves)

    def blend(tiles: Tiles) -> tuple[Tiles, tuple[Tensor, Tensor]]:
        tiles = tiles if packing is None else packing.renumber(tiles)
        result = autograd.blend(projected, channels, tiles, shape, settings, absgrad=absgrad)
        return tiles, result

    binned = autograd.with_tiles(dense, views.size, settings, blend, gradient=True)
    _, (listed, (image, transmittance)) = binned
    tiles = listed.whole()
    assert tiles is not None  # `with_tiles` saw to it
    alphas = 1 - transmittance[..., None]
    if backgrounds is not None:
        image = image + transmittance[..., None] * backgrounds[:, None, None, :]
    if render_mode in ("ED", "RGB+ED"):
        image = torch.cat([image[..., :-1], image[..., -1:] / alphas.clamp(min=1e-10)], dim=-1)
    return image, alphas, Info(projected, tiles, views, packing)


def _refuse(options: dict[str, bool]) -> None:
    for option, used in options.items():
        if used:
            raise ValueError(f"rasterization: {option} is not supported")


def _check_choice(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"rasterization: {option} is {value!r}; known are {', '.join(known)}")


def _check_shapes(
    geometry: SplatShape, colors: Tensor, views: Cameras, sh_degree: int | None
) -> None:
    n, c, k = len(geometry.means), len(views.viewmats), geometry.waves
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
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} must have shape {shape}, not {tuple(tensor.shape)}")
    shape = tuple(colors.shape)
    per_splat = 1 if sh_degree is None else 2
    if shape[:-per_splat] not in ((n,), (c, n)) or (sh_degree is not None and shape[-1] != 3):
        rule = f"[{n}, D] or [{c}, {n}, D]" if sh_degree is None else f"[..., {n}, B, 3]"
        raise ValueError(f"colors must have shape {rule}, not {shape}")


def _values(
    means: Tensor, colors: Tensor, views: Cameras, radii: Tensor, sh_degree: int | None
) -> Tensor:
    """Values to blend, [C, N, D]."""
    cameras = len(views.viewmats)
    if sh_degree is None:
        return colors.expand(cameras, *colors.shape[-2:])
    if colors.ndim == 3:
        return autograd.shade(means, colors, views, radii, sh_degree)
    per_camera = [
        autograd.shade(means, sh, Cameras(viewmat[None], k[None], views.size), r[None], sh_degree)
        for sh, viewmat, k, r in zip(colors, views.viewmats, views.intrinsics, radii, strict=True)
    ]
    return torch.cat(per_camera)


def _with_depth(
    values: Tensor, depths: Tensor, backgrounds: Tensor | None, mode: RenderMode
) -> tuple[Tensor, Tensor | None]:
    """Channels to blend, and their background, for a render mode. Depth has no background."""
    if mode == "RGB":
        return values, backgrounds
    if mode in ("D", "ED"):
        return depths[..., None], None
    if backgrounds is not None:
        backgrounds = torch.nn.functional.pad(backgrounds, (0, 1))
    return torch.cat([values, depths[..., None]], dim=-1), backgrounds
