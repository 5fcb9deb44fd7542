"""The projection of Gabor waves against the integrals it stands for.

A splat is a density in space. What a pixel sees of its wave is the mean of the wave along the
ray, weighted with the envelope; docs/mathematics.md, section 2, gives that mean in closed form.
"""

from __future__ import annotations

import math

import pytest
import synthetic
import torch
from synthetic import real
from tolerances import EXACT, assert_close
from torch import Tensor

from gaborsplat.renderer.reference import (
    ProjectedSplats,
    project_reference,
    render_reference,
    weight_gabor,
    weight_gaussian,
)
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats

VIEW = synthetic.camera()
UNDILATED = RenderSettings(eps2d=0.0)
OFFSETS = real([0.0, 0.0], [0.4, -0.3], [-1.1, 0.7], [2.0, 1.5], [-0.2, -2.6])
"""[px] from the projected centre."""


def one_splat(seed: int, waves: int = 2) -> Splats:
    """A random ellipsoid near the middle of the view, with strong waves."""
    generator = torch.Generator().manual_seed(seed)
    splats = synthetic.cloud(1, waves, seed=seed, view=VIEW)
    frequencies = 0.4 * torch.randn(1, waves, 3, generator=generator, dtype=torch.float64)
    coefficients = torch.randn(1, waves, 2, generator=generator, dtype=torch.float64)
    return synthetic.with_waves(splats, frequencies, coefficients)


def axes(splats: Splats) -> Tensor:
    """[3, 3] R S: maps whitened coordinates to world offsets from the centre."""
    w, v = splats.quats[0, 0], splats.quats[0, 1:]
    rotated = [_rotate(w, v, basis) for basis in torch.eye(3, dtype=torch.float64)]
    return torch.stack(rotated, dim=1) * splats.scales[0]


def _rotate(w: Tensor, v: Tensor, vector: Tensor) -> Tensor:
    """q vector q^-1."""
    turned = (w * w - v @ v) * vector + 2 * v * (v @ vector)
    return (turned + 2 * w * torch.linalg.cross(v, vector)) / (w * w + v @ v)


def linearisation(splats: Splats) -> Tensor:
    """[2, 3] derivative of the pixel position by the world position, at the centre."""

    def pixel(point: Tensor) -> Tensor:
        local = VIEW.world_to_camera[:3, :3] @ point + VIEW.world_to_camera[:3, 3]
        return (VIEW.intrinsics @ local)[:2] / local[2]

    jacobian = torch.autograd.functional.jacobian(pixel, splats.means[0])
    assert isinstance(jacobian, Tensor)
    return jacobian


def bank_and_envelope(splats: Splats, whitened: Tensor) -> tuple[Tensor, Tensor]:
    """The wave bank M and the envelope at `whitened` [..., 3], as section 1 defines them."""
    phase = 2 * math.pi * whitened @ splats.frequencies[0].T
    cosine, sine = splats.coefficients[0].unbind(dim=-1)
    bank = 1 - cosine.sum() + phase.cos() @ cosine + phase.sin() @ sine
    return bank, torch.exp(-0.5 * (whitened**2).sum(dim=-1))


def projected_bank(projected: ProjectedSplats, offsets: Tensor) -> Tensor:
    """[P] screen-space wave bank at `offsets` [P, 2]."""
    offsets = offsets[:, None]
    return (weight_gabor(projected, offsets) / weight_gaussian(projected, offsets))[:, 0]


@pytest.mark.parametrize("seed", range(6))
def test_the_projected_bank_is_the_mean_of_the_bank_along_the_ray(seed: int):
    splats = one_splat(seed)
    projected = project_reference(splats, VIEW, UNDILATED)
    matrix = linearisation(splats) @ axes(splats)  # [2, 3] whitened coordinates to pixels
    along = torch.linalg.cross(matrix[0], matrix[1])
    along = along / along.norm()
    steps = torch.linspace(-9, 9, 1801, dtype=torch.float64)
    nearest = OFFSETS @ torch.linalg.pinv(matrix).T  # [P, 3]
    bank, envelope = bank_and_envelope(splats, nearest[:, None] + steps[:, None] * along)
    mean = (bank * envelope).sum(dim=1) / envelope.sum(dim=1)
    assert_close(projected_bank(projected, OFFSETS), mean, EXACT)
    profile = envelope.sum(dim=1) / envelope[0].sum()  # offset 0 comes first
    assert_close(weight_gaussian(projected, OFFSETS[:, None])[:, 0], profile, EXACT)


@pytest.mark.parametrize("seed", range(6))
def test_ray_space_and_geometric_forms_agree_with_the_regression_form(seed: int):
    splats = one_splat(seed)
    projected = project_reference(splats, VIEW, UNDILATED)
    root, rows = axes(splats), linearisation(splats)
    covariance = root @ root.T
    world = torch.linalg.solve(root.T, splats.frequencies[0].T)  # [3, K] cycles per unit length
    ray = torch.linalg.cross(rows[0], rows[1])
    ray = ray / ray.norm()
    spread = 1 / (ray @ torch.linalg.solve(covariance, ray))
    assert_close(
        projected.damping[0], torch.exp(-2 * math.pi**2 * (ray @ world) ** 2 * spread), EXACT
    )
    # Section 2.1 (b): any third row that completes the Jacobian will do; take the ray itself.
    whole = torch.cat([rows, ray[None]])
    image = whole @ covariance @ whole.T
    local = torch.linalg.solve(whole.T, world)
    correction = torch.linalg.solve(image[:2, :2], image[:2, 2])
    assert_close(projected.frequencies[0], (local[:2] + correction[:, None] * local[2]).T, EXACT)
    conditional = image[2, 2] - image[2, :2] @ correction
    variance = local[2] ** 2 * conditional
    assert_close(projected.damping[0], torch.exp(-2 * math.pi**2 * variance), EXACT)


@pytest.mark.parametrize("seed", range(4))
def test_dilation_is_a_convolution_of_the_picture(seed: int):
    splats, low_pass = one_splat(seed), 0.7
    sharp = project_reference(splats, VIEW, UNDILATED)
    dilated = project_reference(splats, VIEW, RenderSettings(eps2d=low_pass))
    line = torch.linspace(-7, 7, 281, dtype=torch.float64) * math.sqrt(low_pass)
    shifts = torch.cartesian_prod(line, line)  # [Q, 2]
    kernel = torch.exp(-0.5 * (shifts**2).sum(dim=1) / low_pass)
    kernel = kernel / kernel.sum()
    samples = (OFFSETS[:, None] - shifts).reshape(-1, 1, 2)
    blurred = weight_gabor(sharp, samples).reshape(len(OFFSETS), -1) @ kernel
    shrink = torch.sqrt(torch.det(sharp.covariances[0]) / torch.det(dilated.covariances[0]))
    assert_close(shrink * weight_gabor(dilated, OFFSETS[:, None])[:, 0], blurred, EXACT)


def test_antialiased_pictures_of_a_small_splat_are_samples_of_the_convolution():
    splats = one_splat(3, waves=1)
    splats.scales.mul_(0.3)
    splats.coefficients.copy_(real([[0.3, 0.2]]))
    settings = RenderSettings(alpha_min=0.0, transmittance_min=0.0, antialiased=True)
    alpha = render_reference(splats, VIEW, settings).alpha
    sharp = project_reference(splats, VIEW, UNDILATED)
    line = torch.linspace(-7, 7, 401, dtype=torch.float64) * math.sqrt(settings.eps2d)
    shifts = torch.cartesian_prod(line, line)
    kernel = torch.exp(-0.5 * (shifts**2).sum(dim=1) / settings.eps2d)
    for x, y in [(19, 14), (20, 13), (18, 15)]:
        pixel = real(x + 0.5, y + 0.5)
        samples = (pixel - sharp.means[0] - shifts)[:, None]
        expected = splats.opacities[0] * weight_gabor(sharp, samples)[:, 0] @ kernel / kernel.sum()
        assert alpha[y, x].item() == pytest.approx(expected.item(), abs=1e-9)


def test_a_bank_is_one_at_the_centre_of_a_flat_splat():
    splats = flat_splat(frequency=(0.7, -0.3, 0.0))
    projected = project_reference(splats, synthetic.straight_camera(), UNDILATED)
    assert projected_bank(projected, OFFSETS[:1]).item() == pytest.approx(1.0, abs=1e-12)


def test_a_flat_splat_seen_face_on_keeps_its_whole_wave():
    projected = project_reference(
        flat_splat(frequency=(0.7, -0.3, 0.0)), synthetic.straight_camera(), UNDILATED
    )
    assert projected.damping.item() == pytest.approx(1.0, abs=1e-12)
    pixels_per_sigma = 32 * 0.4 / 4.0
    expected = real(0.7, -0.3) / pixels_per_sigma
    assert_close(projected.frequencies[0, 0], expected, EXACT)


@pytest.mark.parametrize(("frequency", "damping"), [(0.25, 0.2912), (0.5, 0.0072)])
def test_a_wave_along_the_ray_averages_away(frequency: float, damping: float):
    splats = synthetic.with_waves(
        synthetic.dot(), real([[0.0, 0.0, frequency]]), real([[0.4, 0.1]])
    )
    projected = project_reference(splats, synthetic.straight_camera(), UNDILATED)
    assert projected.damping.item() == pytest.approx(damping, abs=5e-5)
    assert projected.frequencies.abs().max().item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("dilation", "frequency", "damping"),
    [(0.1, 0.1, 0.981), (0.1, 0.5, 0.614), (0.3, 0.25, 0.699), (0.3, 0.5, 0.239), (0.3, 1, 0.003)],
)
def test_dilation_fades_waves_near_the_pixel_grid(
    dilation: float, frequency: float, damping: float
):
    splats = flat_splat(frequency=(3 * frequency, 0.0, 0.0), pixels=3.0)
    settings = RenderSettings(eps2d=dilation)
    projected = project_reference(splats, synthetic.straight_camera(), settings)
    assert projected.damping.item() == pytest.approx(damping, abs=6e-4)


def test_waves_shift_with_their_phase():
    """A sine is the cosine a quarter period further on."""
    wave = real([[0.6, 0.0, 0.0]])
    cosine, sine = (
        project_reference(
            synthetic.with_waves(flat_splat(), wave, real([amplitudes])),
            synthetic.straight_camera(),
            UNDILATED,
        )
        for amplitudes in ([0.3, 0.0], [0.0, 0.3])
    )
    quarter = real([0.25 / cosine.frequencies[0, 0, 0].item(), 0.0])
    shifted = projected_bank(cosine, OFFSETS - quarter) - 0.7
    assert_close(projected_bank(sine, OFFSETS) - 1, shifted, EXACT)


def flat_splat(
    frequency: tuple[float, float, float] = (0.5, 0.0, 0.0), pixels: float = 3.2
) -> Splats:
    """A disk that faces `straight_camera`, `pixels` in standard deviation, with one wave."""
    splats = synthetic.dot(4.0, pixels * 4.0 / 32)
    splats.scales[0, 2] = 1e-9
    return synthetic.with_waves(splats, real([frequency]), real([[0.3, 0.2]]))
