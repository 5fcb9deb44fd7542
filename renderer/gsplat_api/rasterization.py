"""gsplat's `rasterization` on our kernels: its strategies and other trainers run unchanged.

Written to the interface of gsplat 1.5.3 (Ye et al. 2025, Apache-2.0). What this adds is `gabor=`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from .._native import constants
from ..backends.registry import backend_for
from ..cameras import Cameras
from ..raster.autograd import RecordedPasses
from ..raster.checks import checked
from ..raster.forward import Channels, RasterOptions, blend_shaded
from ..raster.inputs import ShadedSplats, SplatsInView
from ..raster.passes import Passes
from ..settings import RenderSettings
from ..splats import GaborWaves, Harmonics, SplatShape
from .arguments import (
    check_choice,
    check_shapes,
    check_tensors,
    check_type,
    real,
    refuse_others,
    refused,
    whole,
)
from .batches import Batch, joined
from .info import Info

RenderMode = Literal["RGB", "D", "ED", "RGB+D", "RGB+ED"]
_CHANNELS: dict[str, Channels] = {
    "RGB": "color",
    "D": "depth",
    "ED": "depth",
    "RGB+D": "color+depth",
    "RGB+ED": "color+depth",
}


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
    gabor: GaborWaves | tuple[Tensor, Tensor] | None = None,
    settings: RenderSettings | None = None,
) -> tuple[Tensor, Tensor, Info]:
    """Rasterize N splats to C images; or scenes of N splats, each to C images of its own.

    Batch dimensions, "..." below, are none, or the same for all tensors.

    Args:
        means: [..., N, 3] centres.
        quats: [..., N, 4] rotations wxyz, any non-zero length.
        scales: [..., N, 3] standard deviations.
        opacities: [..., N] in [0, 1].
        colors: [..., N, D] or [..., C, N, D] values to blend, or with `sh_degree` [..., N, B, 3] or
            [..., C, N, B, 3] spherical harmonics.
        viewmats: [..., C, 4, 4] world to camera.
        Ks: [..., C, 3, 3] intrinsics [px].
        width, height: size of the images [px]; any whole number, of numpy and torch too.
        near_plane, far_plane: bounds of camera z outside which splats are culled.
        radius_clip: splats of no larger radius are culled [px].
        eps2d: dilation of the 2D covariance [px^2].
        sh_degree: highest degree of the harmonics to evaluate; None blends `colors` as they are.
        packed: drop invisible splats before blending; `info` then holds [nnz, ...] tensors.
        backgrounds: [..., C, D] colour behind the splats, of their type and on their device.
        render_mode: what the channels are: colour, accumulated depth (D), expected depth (ED).
        absgrad: give `info["means2d"]` an `absgrad` on backward.
        rasterize_mode: "antialiased" compensates the opacity for the dilation.
        channel_chunk, segmented: without effect, as the result does not depend on them.
        tile_size, sparse_grad, distributed, camera_model, with_ut, with_eval3d: not supported; only
            the defaults are taken.
        rolling_shutter: not supported; only None and gsplat's GLOBAL are taken.
        covars, viewmats_rs: not supported; only None is taken.
        radial_coeffs, tangential_coeffs, thin_prism_coeffs, ftheta_coeffs: not supported; only
            None is taken.
        gabor: waves of each splat: frequencies [..., N, K, 3] and coefficients [..., N, K, 2].
        settings: thresholds that gsplat does not expose; by default RenderSettings(). Fields that
            have an argument here are taken from that argument.

    Returns:
        Images [..., C, H, W, D], alphas [..., C, H, W, 1], and gsplat's `info`. The gradient of
        `info["means2d"]` is that of the envelope alone: what the waves do to the mean would swamp
        the thresholds of density control (docs/mathematics.md, 4). Of a batch, rows of `info` are
        [..., C, N, *], or packed and known by `batch_ids`; gsplat's strategies look at one scene.

    Raises:
        ValueError: an argument that does not fit, or an option of gsplat's that is not supported;
            one line with its name, the rule and the value.
    """
    shutter = "GLOBAL" if rolling_shutter is None else rolling_shutter
    shutter = getattr(shutter, "name", shutter)  # gsplat's is an enumeration
    refuse_others(
        {
            "tile_size": (constants.TILE_SIZE, tile_size),
            "sparse_grad": (False, sparse_grad),
            "distributed": (False, distributed),
            "camera_model": ("pinhole", camera_model),
            "covars": (None, covars),
            "with_ut": (False, with_ut),
            "with_eval3d": (False, with_eval3d),
            "radial_coeffs": (None, radial_coeffs),
            "tangential_coeffs": (None, tangential_coeffs),
            "thin_prism_coeffs": (None, thin_prism_coeffs),
            "ftheta_coeffs": (None, ftheta_coeffs),
            "rolling_shutter": ("GLOBAL", shutter),
            "viewmats_rs": (None, viewmats_rs),
        }
    )
    check_choice("render_mode", render_mode, get_args(RenderMode))
    check_choice("rasterize_mode", rasterize_mode, ("classic", "antialiased"))
    del channel_chunk, segmented
    size = whole("width", width), whole("height", height)
    planes = real("near_plane", near_plane), real("far_plane", far_plane)
    eps2d, clip = real("eps2d", eps2d), real("radius_clip", radius_clip)
    sh_degree = None if sh_degree is None else whole("sh_degree", sh_degree, 0)
    settings = _settings(settings, rasterize_mode, planes, eps2d)

    geometry = {"means": means, "quats": quats, "scales": scales, "opacities": opacities}
    others = {"colors": colors} | ({} if backgrounds is None else {"backgrounds": backgrounds})
    check_tensors({**geometry, **others, "viewmats": viewmats, "Ks": Ks})
    shape = SplatShape(means, quats, scales, opacities, *_waves(gabor, means))
    cameras = Cameras(viewmats, Ks, size)
    check_shapes(shape, colors, backgrounds, cameras, sh_degree)
    batch = Batch(tuple(means.shape[:-2]), viewmats.shape[-3], size)
    shape, (colors, *_), cameras = checked(shape, others, cameras)
    gradient = torch.is_grad_enabled() and any(
        tensor.requires_grad for tensor in (*shape.tensors().values(), colors, viewmats)
    )
    options = RasterOptions.of(
        settings,
        channels=_CHANNELS[render_mode],
        gradient=gradient,
        absolute=absgrad,
        packed=packed,
    )
    options = replace(options, project=options.project.replaced(radius_clip=clip))
    passes = (RecordedPasses if gradient else Passes)(backend_for(means.device))

    splats = SplatsInView(shape, None, sh_degree or 0, cameras, options.project)
    each = [_shaded(passes, *scene, sh_degree) for scene in batch.each_scene(splats, colors)]
    shaded = joined(each) if packed else batch.laid_out(joined(each))
    drawn = blend_shaded(passes, batch.all_views(splats), shaded, shaded.colors, options)
    blended, packing = drawn.blended, drawn.packing
    visible = shaded.visible if packing is None else packing.pick(shaded.visible)
    info = Info(blended.projected, visible, blended.tiles.trimmed(), batch, packing)
    assert drawn.transmittance is not None  # but of bytes
    planes = batch.unflattened(drawn.image), batch.unflattened(drawn.transmittance)
    return *_images(*planes, backgrounds, render_mode), info


def _images(
    image: Tensor, transmittance: Tensor, backgrounds: Tensor | None, render_mode: RenderMode
) -> tuple[Tensor, Tensor]:
    """Images [..., C, H, W, D] and alphas [..., C, H, W, 1], from what is blended, and the
    transmittance [..., C, H, W]."""
    through = transmittance[..., None]
    alphas = 1 - through
    if backgrounds is not None and render_mode not in ("D", "ED"):  # depth has none
        image = image + through * _wide(backgrounds, image.shape[-1])
    if render_mode in ("ED", "RGB+ED"):
        image = torch.cat([image[..., :-1], image[..., -1:] / alphas.clamp(min=1e-10)], dim=-1)
    return image, alphas


def _settings(
    settings: RenderSettings | None, mode: str, planes: tuple[float, float], eps2d: float
) -> RenderSettings:
    """`settings` with what has an argument of gsplat's; backgrounds come later. Raises ValueError
    if they are none."""
    settings = RenderSettings() if settings is None else settings
    check_type("settings", settings, RenderSettings)
    return replace(
        settings,
        antialiased=mode == "antialiased",
        near_plane=planes[0],
        far_plane=planes[1],
        eps2d=eps2d,
        background=(0.0, 0.0, 0.0),
    )


def _waves(gabor: Any, means: Tensor) -> GaborWaves:
    """The waves; none without `gabor`. Raises ValueError if it is no pair of tensors."""
    if gabor is not None:
        if not isinstance(gabor, tuple | list) or len(gabor) != 2:
            raise refused("gabor must be a pair: frequencies and coefficients")
        waves = GaborWaves(*gabor)
        check_tensors({f"gabor {name}": each for name, each in waves._asdict().items()})
        return waves
    count = means.shape[:-1]
    return GaborWaves(means.new_zeros(*count, 0, 3), means.new_zeros(*count, 0, 2))


def _wide(backgrounds: Tensor, channels: int) -> Tensor:
    """[..., C, 1, 1, channels] of [..., C, D], 0 behind depth."""
    padded = torch.nn.functional.pad(backgrounds, (0, channels - backgrounds.shape[-1]))
    return padded[..., None, None, :]


def _shaded(
    passes: Passes, splats: SplatsInView, colors: Tensor, sh_degree: int | None
) -> ShadedSplats:
    """The splats in all views, with the values to blend [C, N, D]."""
    if sh_degree is None:
        shaded = passes.shaded(splats)
        values = colors.expand(len(splats.cameras), *colors.shape[-2:]).contiguous()
        return shaded._replace(colors=values)
    if colors.ndim == 3:
        return passes.shaded(splats._replace(harmonics=Harmonics(colors)))
    if not len(colors):  # no camera: nothing is evaluated
        return passes.shaded(splats._replace(harmonics=Harmonics(colors.sum(dim=0))))
    each = [
        passes.shaded(
            splats._replace(harmonics=Harmonics(sh.contiguous()), cameras=splats.cameras[index])
        )
        for index, sh in enumerate(colors)
    ]
    return joined(each)
