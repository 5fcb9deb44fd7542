"""The oracle: what an image of Gabor splats is, in plain torch and straight from the formulas.

No tiles, no early exit, no tricks: every splat meets every pixel, in matrices. It works in any
floating-point type and autograd differentiates all of it, the camera's pose included. Formulas
are those of docs/mathematics.md, in their covariance and regression forms; the kernels
use others. It takes O(height * width * splats) memory, so it is for small images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .cameras import Camera
from .frame import Frame
from .settings import RenderSettings
from .splats import Splats

TILE = 16
"""Side of the original rasterizer's tiles [px]; matters only to the extent "three_sigma"."""


@dataclass(frozen=True)
class ProjectedSplats:
    """The M splats that survive culling, nearest first."""

    ids: Tensor  # [M] index of each in the cloud
    means: Tensor  # [M, 2] projected centres [px]
    depths: Tensor  # [M] distance along the camera's z axis
    covariances: Tensor  # [M, 2, 2] screen-space covariances, dilated [px^2]
    opacities: Tensor  # [M] peak opacities, antialiasing compensation included
    colors: Tensor  # [M, 3] RGB seen from the camera
    frequencies: Tensor  # [M, K, 2] screen-space frequencies [cycles/px]
    damping: Tensor  # [M, K] what is left of each wave after integrating along the ray
    coefficients: Tensor  # [M, K, 2] cosine and sine amplitudes before damping


def render_reference(splats: Splats, camera: Camera, settings: RenderSettings) -> Frame:
    """Image of `splats` seen by `camera`, differentiable in every splat parameter and the pose.

    Ties in depth are drawn in the order of the cloud.
    """
    projected = project_reference(splats, camera, settings)
    weights, transmittance = blending_weights(projected, camera.size, settings)
    alpha = weights.sum(dim=-1)
    background = weights.new_tensor(settings.background)
    color = weights @ projected.colors + transmittance[..., None] * background
    covered = alpha > 0
    depth = (weights @ projected.depths) / torch.where(covered, alpha, 1.0)
    return Frame(color=color, alpha=alpha, depth=torch.where(covered, depth, 0.0))


def project_reference(splats: Splats, camera: Camera, settings: RenderSettings) -> ProjectedSplats:
    """Everything about the splats that a pixel needs, culled and sorted by depth.

    Culled are splats with a non-finite parameter or projection, a zero quaternion, a scale that
    is not positive, and centres outside the near and far planes.
    """
    with torch.no_grad():
        # Cull before anything is differentiated: 0 * nan would poison the gradients of the rest.
        ids = _well_formed(splats).nonzero()[:, 0]
        candidates = _project(splats.select(ids), ids, camera, settings)
        ids = ids[_drawable(candidates, settings)]
        depths = _to_camera(splats.means[ids], camera)[:, 2]
        ids = ids[torch.sort(depths, stable=True).indices]
    return _project(splats.select(ids), ids, camera, settings)


def blending_weights(
    projected: ProjectedSplats, size: tuple[int, int], settings: RenderSettings
) -> tuple[Tensor, Tensor]:
    """Each splat's share of each pixel [H, W, M] and what the background gets [H, W].

    A pixel is finished before the splat that would bring its transmittance to
    `transmittance_min` or below; nothing behind that splat is drawn either.
    """
    width, height = size
    like = projected.means
    x = torch.arange(width, dtype=like.dtype, device=like.device) + 0.5
    y = torch.arange(height, dtype=like.dtype, device=like.device) + 0.5
    pixels = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # [H, W, 2]
    offsets = pixels[:, :, None, :] - projected.means  # [H, W, M, 2]
    waves = projected.frequencies.shape[1]
    weight = weight_gabor(projected, offsets) if waves else weight_gaussian(projected, offsets)

    alpha = (projected.opacities * weight).clamp(max=settings.alpha_max)
    drawn = alpha >= settings.alpha_min
    if settings.extent == "three_sigma":
        drawn = drawn & _in_three_sigma_tiles(projected, pixels)
    alpha = torch.where(drawn, alpha, 0.0)
    with torch.no_grad():
        unfinished = torch.cumprod(1 - alpha, dim=-1) > settings.transmittance_min
    alpha = torch.where(unfinished, alpha, 0.0)
    after = torch.cumprod(1 - alpha, dim=-1)  # [H, W, M] transmittance behind each splat
    through = torch.cat([after.new_ones(height, width, 1), after], dim=-1)
    return through[..., :-1] * alpha, through[..., -1]


def weight_gaussian(projected: ProjectedSplats, offsets: Tensor) -> Tensor:
    """Envelope exp(-d^T A^-1 d / 2) at `offsets` [..., M, 2] from the centres; [..., M]."""
    conics = _inverse(projected.covariances)
    return torch.exp(-0.5 * torch.einsum("...mi,mij,...mj->...m", offsets, conics, offsets))


def weight_gabor(projected: ProjectedSplats, offsets: Tensor) -> Tensor:
    """Envelope times wave bank at `offsets` [..., M, 2] from the centres; [..., M]. Section 2."""
    phase = 2 * math.pi * torch.einsum("...mi,mki->...mk", offsets, projected.frequencies)
    cosine, sine = projected.coefficients.unbind(dim=-1)
    bank = (projected.damping * (cosine * phase.cos() + sine * phase.sin())).sum(dim=-1)
    return weight_gaussian(projected, offsets) * (1 - cosine.sum(dim=-1) + bank)


def sh_basis(directions: Tensor, degree: int) -> Tensor:
    """Real spherical harmonics of unit `directions` [..., 3]; [..., (degree + 1)^2].

    Y_lm = (-1)^m sqrt(2 - [m = 0]) N_lm d^m P_l(z) / dz^m Re|Im (x + i y)^m, ordered by l, then m
    from -l to l, the imaginary part for m < 0: the signs that 3D Gaussian splats are stored with.
    """
    x, y, z = directions.unbind(dim=-1)
    azimuth = [(torch.ones_like(x), torch.zeros_like(x))]  # (x + i y)^m
    for _ in range(degree):
        real, imaginary = azimuth[-1]
        azimuth.append((real * x - imaginary * y, real * y + imaginary * x))
    columns: list[Tensor] = []
    for band in range(degree + 1):
        for order in range(-band, band + 1):
            m = abs(order)
            ratio = math.factorial(band - m) / math.factorial(band + m)
            scale = math.sqrt((2 if m else 1) * (2 * band + 1) / (4 * math.pi) * ratio)
            around = azimuth[m][1 if order < 0 else 0]
            columns.append((-1) ** m * scale * _legendre_derivative(band, m, z) * around)
    return torch.stack(columns, dim=-1)


def _legendre_derivative(degree: int, order: int, z: Tensor) -> Tensor:
    """The order-th derivative of the Legendre polynomial P_degree at z."""
    below = torch.zeros_like(z)
    value = torch.full_like(z, math.prod(range(1, 2 * order, 2)))
    for band in range(order + 1, degree + 1):
        above = (2 * band - 1) * z * value - (band + order - 1) * below
        below, value = value, above / (band - order)
    return value


def _well_formed(splats: Splats) -> Tensor:
    """[N] whether all parameters are finite and describe an ellipsoid."""
    usable = (_lengths(splats.quats)[:, 0] > 0) & (splats.scales > 0).all(dim=-1)
    for tensor in splats.tensors().values():
        usable = usable & _finite(tensor)
    return usable


def _drawable(projected: ProjectedSplats, settings: RenderSettings) -> Tensor:
    """[M] whether the splat lies between the planes and its projection is a finite ellipse."""
    z = projected.depths
    drawable = (z > settings.near_plane) & (z < settings.far_plane)
    drawable = drawable & (torch.det(projected.covariances) > 0)
    for tensor in vars(projected).values():
        drawable = drawable & _finite(tensor)
    return drawable


def _finite(tensor: Tensor) -> Tensor:
    """[M] whether every number of each entry of `tensor` [M, ...] is finite."""
    return torch.isfinite(tensor[:, None]).flatten(start_dim=1).all(dim=1)


def _project(
    splats: Splats, ids: Tensor, camera: Camera, settings: RenderSettings
) -> ProjectedSplats:
    """Perspective projection, linearised at each centre (EWA), in the order given."""
    points = _to_camera(splats.means, camera)  # [M, 3]
    homogeneous = points @ camera.intrinsics.T
    frames = _rotations(splats.quats)  # [M, 3, 3] splat axes in world coordinates
    covariances = torch.einsum("mij,mj,mkj->mik", frames, splats.scales**2, frames)
    jacobians = _jacobians(points, camera) @ camera.world_to_camera[:3, :3]  # [M, 2, 3]
    projected = jacobians @ covariances @ jacobians.mT
    dilated = projected + settings.eps2d * torch.eye(
        2, dtype=projected.dtype, device=projected.device
    )
    frequencies, damping = _project_waves(splats, frames, covariances, jacobians, dilated)
    opacities = splats.opacities
    if settings.antialiased:
        opacities = opacities * _compensation(projected, dilated, settings.compensation_min)
    return ProjectedSplats(
        ids=ids,
        means=homogeneous[:, :2] / homogeneous[:, 2:],
        depths=points[:, 2],
        covariances=dilated,
        opacities=opacities,
        colors=_colors(splats, camera, settings),
        frequencies=frequencies,
        damping=damping,
        coefficients=splats.coefficients,
    )


def _project_waves(
    splats: Splats, frames: Tensor, covariances: Tensor, jacobians: Tensor, dilated: Tensor
) -> tuple[Tensor, Tensor]:
    """Screen-space frequencies [M, K, 2] and damping [M, K]: section 2.1 (a).

    Offset and phase are jointly Gaussian, so the phase seen at an offset is its regression on
    that offset, and what the regression leaves unexplained is averaged away.
    """
    world = torch.einsum("mij,mkj->mki", frames, splats.frequencies / splats.scales[:, None])
    correlation = torch.einsum("mij,mkj->mki", covariances, world)  # phase with position
    on_screen = torch.einsum("mij,mkj->mki", jacobians, correlation)  # phase with offset
    frequencies = torch.einsum("mij,mkj->mki", _inverse(dilated), on_screen)
    variance = (world * correlation).sum(dim=-1) - (frequencies * on_screen).sum(dim=-1)
    return frequencies, torch.exp(-2 * math.pi**2 * variance)


def _to_camera(means: Tensor, camera: Camera) -> Tensor:
    """[M, 3] points in camera coordinates."""
    return means @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]


def _rotations(quats: Tensor) -> Tensor:
    """[M, 3, 3] rotations of wxyz quaternions of any non-zero length: I + 2 w [v] + 2 [v]^2."""
    unit = quats / _lengths(quats)
    w, x, y, z = unit.unbind(dim=-1)
    o = torch.zeros_like(w)
    cross = torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=-1).reshape(-1, 3, 3)
    return (
        torch.eye(3, dtype=quats.dtype, device=quats.device)
        + 2 * w[:, None, None] * cross
        + 2 * cross @ cross
    )


def _lengths(vectors: Tensor) -> Tensor:
    """[M, 1] Euclidean lengths."""
    return (vectors * vectors).sum(dim=-1, keepdim=True).sqrt()


def _inverse(matrices: Tensor) -> Tensor:
    """[M, 2, 2] inverses, (tr A - A) / |A|; infinite where there is none, as torch's are not."""
    identity = torch.eye(2, dtype=matrices.dtype, device=matrices.device)
    trace = matrices.diagonal(dim1=1, dim2=2).sum(dim=-1)[:, None, None]
    return (trace * identity - matrices) / torch.det(matrices)[:, None, None]


def _jacobians(points: Tensor, camera: Camera) -> Tensor:
    """[M, 2, 3] derivative of the projection at camera-space `points`.

    Directions further outside the image than 0.3 of its half extent are pulled back to there, as
    gsplat does: the linearisation has no meaning beyond.
    """
    focal = camera.intrinsics.diagonal()[:2]
    centre = camera.intrinsics[:2, 2]
    size = focal.new_tensor(camera.size)
    margin = 0.3 * 0.5 * size / focal
    slopes = points[:, :2] / points[:, 2:]
    slopes = torch.minimum((size - centre) / focal + margin, slopes)
    slopes = torch.maximum(-(centre / focal + margin), slopes)
    scale = focal / points[:, 2:]  # [M, 2]
    return torch.cat([torch.diag_embed(scale), -(scale * slopes)[..., None]], dim=-1)


def _compensation(projected: Tensor, dilated: Tensor, minimum: float) -> Tensor:
    """[M] sqrt(max(minimum, |A| / |A + h I|)): keeps the energy that dilation adds out."""
    ratio = torch.det(projected) / torch.det(dilated)
    above = ratio > minimum
    # The root is taken of a safe value where it is not used: its slope at 0 is infinite.
    return torch.where(above, torch.where(above, ratio, 1.0).sqrt(), math.sqrt(minimum))


def _colors(splats: Splats, camera: Camera, settings: RenderSettings) -> Tensor:
    """[M, 3] colours seen from the camera, max(0, 0.5 + sum_j sh_j Y_j)."""
    degree = splats.sh_degree
    if settings.sh_degree is not None:
        degree = min(degree, settings.sh_degree)
    rays = splats.means - camera.position
    basis = sh_basis(rays / _lengths(rays), degree)
    return (0.5 + torch.einsum("mb,mbc->mc", basis, splats.sh[:, : basis.shape[1]])).clamp_min(0)


def _in_three_sigma_tiles(projected: ProjectedSplats, pixels: Tensor) -> Tensor:
    """[H, W, M] whether a pixel lies in a tile that the splat's 3-sigma square is drawn in.

    The rule of the original 3DGS rasterizer: radius r = ceil(3 sqrt(largest eigenvalue)), tiles
    floor((m - r) / 16) up to, not including, floor((m + r + 15) / 16), where m counts from the
    centre of the first pixel.
    """
    middle = 0.5 * projected.covariances.diagonal(dim1=1, dim2=2).sum(dim=-1)
    spread = middle**2 - torch.det(projected.covariances)
    radius = torch.ceil(3 * torch.sqrt(middle + spread.clamp_min(0.1).sqrt()))[:, None]
    means = projected.means - 0.5
    first = torch.floor((means - radius) / TILE)
    last = torch.floor((means + radius + (TILE - 1)) / TILE)
    tiles = torch.floor(pixels / TILE)[:, :, None, :]
    return ((tiles >= first) & (tiles < last)).all(dim=-1)
