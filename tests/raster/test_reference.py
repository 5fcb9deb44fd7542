"""The oracle against what can be worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import synthetic
import torch
from synthetic import real
from tolerances import EXACT, assert_close, assert_frames_equal
from torch import Tensor

from gaborsplat.renderer.reference import project_reference, render_reference, sh_basis
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats

CAMERA = synthetic.straight_camera()
CENTRE = (CAMERA.size[1] // 2, CAMERA.size[0] // 2)
PLAIN = RenderSettings()
NO_THRESHOLDS = RenderSettings(alpha_min=0.0, transmittance_min=0.0)


def distances_squared() -> Tensor:
    """[H, W] squared distance of each pixel from the principal point [px^2]."""
    width, height = CAMERA.size
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((x - CENTRE[1]) ** 2 + (y - CENTRE[0]) ** 2).double()


def test_a_dot_falls_off_as_a_gaussian_of_its_projected_size():
    frame = render_reference(synthetic.dot(4.0, 0.4, 0.5), CAMERA, PLAIN)
    variance = (32 * 0.4 / 4.0) ** 2 + PLAIN.eps2d
    alpha = 0.5 * torch.exp(-0.5 * distances_squared() / variance)
    alpha = torch.where(alpha >= 1 / 255, alpha, 0.0)
    assert 0 < int((alpha == 0).sum()) < alpha.numel()
    assert_close(frame.alpha, alpha, EXACT)
    assert_close(frame.color, alpha[..., None] * real(0.9, 0.5, 0.2), EXACT)
    assert_close(frame.depth, 4.0 * (alpha > 0), EXACT)


def test_a_near_dot_covers_a_far_one_in_whatever_order_they_come():
    near = synthetic.dot(2.0, 0.3, 0.6, (1.0, 0.0, 0.0))
    far = synthetic.dot(5.0, 0.9, 0.7, (0.0, 1.0, 0.5))
    settings = RenderSettings(background=(0.1, 0.2, 0.3))
    frame = render_reference(synthetic.join(far, near), CAMERA, settings)
    pixel = real(0.6 * 1.0, 0.4 * 0.7 * 1.0, 0.4 * 0.7 * 0.5)
    pixel += 0.4 * 0.3 * real(*settings.background)
    assert_close(frame.color[CENTRE], pixel, EXACT)
    assert frame.alpha[CENTRE].item() == pytest.approx(1 - 0.4 * 0.3)
    expected = (0.6 * 2.0 + 0.4 * 0.7 * 5.0) / (0.6 + 0.4 * 0.7)
    assert frame.depth[CENTRE].item() == pytest.approx(expected)
    assert_frames_equal(frame, render_reference(synthetic.join(near, far), CAMERA, settings))


def test_splats_at_equal_depth_are_drawn_in_the_order_of_the_cloud():
    first = synthetic.dot(3.0, opacity=0.5, color=(1.0, 0.0, 0.0))
    second = synthetic.dot(3.0, opacity=0.5, color=(0.0, 1.0, 0.0))
    frame = render_reference(synthetic.join(first, second), CAMERA, PLAIN)
    assert_close(frame.color[CENTRE], real(0.5, 0.25, 0.0), EXACT)


def test_alpha_is_clamped():
    frame = render_reference(synthetic.dot(opacity=1.0), CAMERA, PLAIN)
    assert frame.alpha[CENTRE].item() == pytest.approx(PLAIN.alpha_max)


def test_a_pixel_is_finished_before_the_splat_that_would_end_its_transmittance():
    stack = [synthetic.dot(2.0 + i, opacity=0.9, color=(2.0 * i - 3, 0, 0)) for i in range(3)]
    splats = synthetic.join(*stack)
    drawn = render_reference(splats, CAMERA, replace(PLAIN, transmittance_min=0.99e-3))
    assert drawn.color[CENTRE][0].item() == pytest.approx(0.9 * 0.1**2)
    dropped = render_reference(splats, CAMERA, replace(PLAIN, transmittance_min=1.01e-3))
    assert dropped.color[CENTRE][0].item() == 0
    assert dropped.alpha[CENTRE].item() == pytest.approx(1 - 0.1**2)


def test_nothing_is_drawn_behind_the_splat_that_finished_a_pixel():
    faint = synthetic.dot(9.0, 3.0, opacity=0.1, color=(1.0, 1.0, 1.0))
    stack = [synthetic.dot(2.0 + i, opacity=0.9, color=(-1, -1, -1)) for i in range(3)]
    settings = replace(PLAIN, transmittance_min=2e-3)
    frame = render_reference(synthetic.join(*stack, faint), CAMERA, settings)
    assert frame.color[CENTRE].abs().max().item() == 0


@pytest.mark.parametrize(("plane", "drawn"), [(3.9, True), (4.0, False), (4.1, False)])
def test_splats_on_or_before_the_near_plane_are_culled(plane: float, drawn: bool):
    frame = render_reference(synthetic.dot(4.0), CAMERA, RenderSettings(near_plane=plane))
    assert bool(frame.alpha.any()) == drawn


@pytest.mark.parametrize(("plane", "drawn"), [(3.9, False), (4.0, False), (4.1, True)])
def test_splats_on_or_behind_the_far_plane_are_culled(plane: float, drawn: bool):
    frame = render_reference(synthetic.dot(4.0), CAMERA, RenderSettings(far_plane=plane))
    assert bool(frame.alpha.any()) == drawn


def test_no_splats_leave_the_background():
    nobody = synthetic.cloud(0, waves=2)
    frame = render_reference(nobody, CAMERA, RenderSettings(background=(0.1, 0.2, 0.3)))
    expected = real(0.1, 0.2, 0.3).expand_as(frame.color)
    assert_close(frame.color, expected, EXACT)
    assert not frame.alpha.any()
    assert not frame.depth.any()


def test_malformed_splats_are_culled_and_get_no_gradient():
    splats = synthetic.join(*[synthetic.dot(3.0 + i) for i in range(6)])
    splats.means[1, 0] = math.nan
    splats.quats[2] = 0
    splats.scales[3, 1] = 0
    splats.scales[4, 2] = -0.1
    splats.sh[5, 0, 1] = math.inf
    leaves = splats.map(lambda tensor: tensor.clone().requires_grad_())
    frame = render_reference(leaves, CAMERA, PLAIN)
    alone = render_reference(splats.select(torch.tensor([0])), CAMERA, PLAIN)
    assert_frames_equal(frame, alone)
    frame.color.sum().backward()
    assert leaves.opacities.grad is not None
    assert leaves.opacities.grad[0] > 0
    for leaf in leaves.tensors().values():
        assert leaf.grad is None or not leaf.grad[1:].any()


def test_projection_is_linearised_at_each_centre():
    camera = synthetic.camera()
    splats = synthetic.cloud(12, view=camera)
    projected = project_reference(splats, camera, RenderSettings(eps2d=0.0))
    assert len(projected.ids) == len(splats)
    for row, index in enumerate(projected.ids.tolist()):
        mean = splats.means[index]
        point, jacobian = pinhole(mean, camera), linearised(mean, camera)
        w, x, y, z = (splats.quats[index] / splats.quats[index].norm()).tolist()
        rotation = real(
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        )
        root = jacobian @ rotation @ torch.diag(splats.scales[index])
        assert_close(projected.means[row], point, EXACT)
        assert_close(projected.covariances[row], root @ root.T, EXACT)


def pinhole(point: Tensor, camera: synthetic.Camera) -> Tensor:
    """[2] pixel that a world point is seen at."""
    local = camera.world_to_camera[:3, :3] @ point + camera.world_to_camera[:3, 3]
    image = camera.intrinsics @ local
    return image[:2] / image[2]


def linearised(point: Tensor, camera: synthetic.Camera) -> Tensor:
    """[2, 3] derivative of `pinhole` by autograd."""
    jacobian = torch.autograd.functional.jacobian(lambda p: pinhole(p, camera), point)
    assert isinstance(jacobian, Tensor)
    return jacobian


def test_directions_far_outside_the_image_are_linearised_at_the_limit():
    far_right = synthetic.dot(1.0, 0.1)
    far_right.means[0, 0] = 50.0
    settings = RenderSettings(eps2d=0.0)
    covariance = project_reference(far_right, CAMERA, settings).covariances[0]
    limit = (40 - 20.5) / 32 + 0.3 * 0.5 * 40 / 32
    slope = 32 * 0.1
    expected = real([slope**2 * (1 + limit**2), 0.0], [0.0, slope**2])
    assert_close(covariance, expected, EXACT)


def test_antialiasing_keeps_the_light_of_a_splat_whatever_its_size():
    scale = 0.1
    splats = synthetic.dot(4.0, scale, opacity=0.3)
    frame = render_reference(splats, CAMERA, replace(NO_THRESHOLDS, antialiased=True))
    area = 2 * math.pi * (32 * scale / 4.0) ** 2
    assert frame.alpha.sum().item() == pytest.approx(0.3 * area, rel=1e-3)


def test_compensation_is_bounded_below():
    splats = synthetic.dot(4.0, 1e-6, opacity=1.0)
    settings = replace(NO_THRESHOLDS, antialiased=True, compensation_min=0.04)
    frame = render_reference(splats, CAMERA, settings)
    assert frame.alpha[CENTRE].item() == pytest.approx(0.2)


@pytest.mark.parametrize(("shift", "columns"), [(0.7, 32), (1.2, 40)])
def test_three_sigma_extent_draws_whole_tiles_of_the_square(shift: float, columns: int):
    splats = synthetic.dot(4.0, 0.5, opacity=0.9)  # sigma 4.04 px: radius ceil(12.2)
    splats.means[0, 0] = (shift - 1) * 4.0 / 32  # m = 19.7 or 20.2 from the first pixel's centre
    settings = replace(NO_THRESHOLDS, extent="three_sigma")
    drawn = render_reference(splats, CAMERA, settings).alpha > 0
    expected = torch.zeros_like(drawn)
    expected[:, :columns] = True  # floor((19.7 + 13 + 15) / 16) = 2 tiles, floor(48.2 / 16) = 3
    assert torch.equal(drawn, expected)


def test_spherical_harmonics_are_orthonormal():
    heights, height_weights = np.polynomial.legendre.leggauss(8)
    angles = torch.arange(16, dtype=torch.float64) * (2 * math.pi / 16)
    z = torch.from_numpy(heights)[:, None].expand(8, 16)
    r = (1 - z**2).sqrt()
    directions = torch.stack([r * angles.cos(), r * angles.sin(), z], dim=-1)
    weights = torch.from_numpy(height_weights)[:, None].expand(8, 16) * (2 * math.pi / 16)
    basis = sh_basis(directions, 3)
    gram = torch.einsum("ab,abi,abj->ij", weights, basis, basis)
    assert_close(gram, torch.eye(16, dtype=torch.float64), EXACT)


def test_spherical_harmonics_have_the_signs_that_splat_files_assume():
    directions = torch.nn.functional.normalize(torch.randn(9, 3, dtype=torch.float64), dim=1)
    x, y, z = directions.unbind(dim=1)
    a = math.sqrt(1 / math.pi)
    closed = [
        torch.full_like(x, 0.5 * a),
        *(math.sqrt(3) / 2 * a * t for t in (-y, z, -x)),
        *(math.sqrt(15) / 2 * a * t for t in (x * y, -y * z)),
        math.sqrt(5) / 4 * a * (2 * z * z - x * x - y * y),
        *(math.sqrt(15) / 2 * a * t for t in (-x * z, (x * x - y * y) / 2)),
        -math.sqrt(70) / 8 * a * y * (3 * x * x - y * y),
        math.sqrt(105) / 2 * a * x * y * z,
        -math.sqrt(42) / 8 * a * y * (4 * z * z - x * x - y * y),
        math.sqrt(7) / 4 * a * z * (2 * z * z - 3 * x * x - 3 * y * y),
        -math.sqrt(42) / 8 * a * x * (4 * z * z - x * x - y * y),
        math.sqrt(105) / 4 * a * z * (x * x - y * y),
        -math.sqrt(70) / 8 * a * x * (x * x - 3 * y * y),
    ]
    assert_close(sh_basis(directions, 3), torch.stack(closed, dim=1), EXACT)


def test_color_depends_on_the_direction_from_the_camera_to_the_splat():
    splats = synthetic.dot(4.0, opacity=0.5)
    sh = torch.zeros(1, 4, 3, dtype=torch.float64)
    sh[0, 2] = real(1.0, -1.0, 0.0)  # the z harmonic; the camera looks along z
    frame = render_reference(replace(splats, sh=sh), CAMERA, PLAIN)
    y = math.sqrt(3 / (4 * math.pi))
    assert_close(frame.color[CENTRE], 0.5 * real(0.5 + y, 0.5 - y, 0.5), EXACT)
    flat = render_reference(replace(splats, sh=sh), CAMERA, replace(PLAIN, sh_degree=0))
    assert_close(flat.color[CENTRE], real(0.25, 0.25, 0.25), EXACT)


def test_negative_colors_are_clamped_to_black():
    frame = render_reference(synthetic.dot(color=(-3.0, 0.5, 2.0)), CAMERA, PLAIN)
    assert_close(frame.color[CENTRE], real(0.0, 0.25, 1.0), EXACT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_picture_has_the_type_of_the_splats(dtype: torch.dtype):
    splats: Splats = synthetic.cloud(5, waves=2, dtype=dtype)
    frame = render_reference(splats, synthetic.camera(dtype=dtype), PLAIN)
    assert {frame.color.dtype, frame.alpha.dtype, frame.depth.dtype} == {dtype}
