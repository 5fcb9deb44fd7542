"""Where waves begin, how fine they may become, and what becomes of them without waves."""

from __future__ import annotations

import math

import pytest
import synthetic
import torch
from fitting import Photo, looking_at_origin
from torch import Tensor
from torch.nn import Parameter

from gaborsplat.renderer.bake import bake
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.losses import psnr
from gaborsplat.renderer.raster.frequency import NYQUIST, render_frequencies, waves_on_image
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import RawSplats, Splats
from gaborsplat.renderer.training.distill.gaussians import (
    CRESTS,
    crests,
    strongest_waves,
    to_gaussians,
)
from gaborsplat.renderer.training.gabor.wave_init import (
    AMPLITUDE,
    APART,
    DIRECTIONS,
    MAGNITUDES,
    init_from_residual,
)
from gaborsplat.renderer.training.gabor.waves import limit_waves, start_waves
from gaborsplat.renderer.training.step.runner import StepRunner

SETTINGS = RenderSettings()
pytestmark = pytest.mark.usefixtures("device")


def disc(
    kappa: tuple[float, float], coefficients: tuple[float, float], size: float = 0.5
) -> Splats:
    """One flat splat that faces a camera on the z axis, with one wave in its plane."""
    return Splats(
        means=torch.zeros(1, 3),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        scales=torch.tensor([[size, 0.9 * size, 0.01]]),
        opacities=torch.tensor([0.7]),
        sh=torch.full((1, 1, 3), 1.0),
        frequencies=torch.tensor([[[*kappa, 0.0]]]),
        coefficients=torch.tensor([[coefficients]]),
    )


def around(distance: float = 4.0) -> list[Camera]:
    """Three cameras before the origin."""
    return [looking_at_origin((side, 0.3, -distance)) for side in (-0.5, 0.0, 0.6)]


def photos(splats: Splats) -> list[Photo]:
    pictures = [(render(splats, camera).color.clamp(0, 1), camera) for camera in around()]
    return [Photo(str(i), c, (255 * p).round().byte()) for i, (p, c) in enumerate(pictures)]


def trainable(splats: Splats) -> RawSplats:
    raw = RawSplats.standing_for(splats)
    return RawSplats.of({name: Parameter(tensor) for name, tensor in raw.tensors().items()})


@pytest.mark.parametrize("turn", [0.1, 0.9, 1.7, 2.6])
@pytest.mark.parametrize("phase", [0.0, 2.0])
@pytest.mark.parametrize("magnitude", [0.35, 0.6])
def test_a_wave_begins_at_the_frequency_and_phase_of_what_is_missing(
    turn: float, phase: float, magnitude: float
):
    kappa = magnitude * math.cos(turn), magnitude * math.sin(turn)
    truth = disc(kappa, (0.3 * math.cos(phase), 0.3 * math.sin(phase)))
    level = 1 - float(truth.coefficients[0, 0, 0])  # of the truth without its wave
    plain = disc((0.0, 0.0), (0.0, 0.0))
    plain = plain.map(torch.clone)
    raw = trainable(plain)
    raw.opacity_logits.data.copy_(torch.logit(plain.opacities * level))
    init_from_residual(raw, photos(truth), StepRunner(raw.means.device, SETTINGS), degree=0)
    found, wanted = raw.frequencies[0, 0, :2].detach(), torch.tensor(kappa)
    same, opposite = (found - wanted).norm(), (found + wanted).norm()
    nearest = min(same, opposite)
    step = max(MAGNITUDES) * math.pi / DIRECTIONS
    assert nearest < 1.2 * step
    cosine, sine = raw.coefficients[0, 0].detach()
    assert math.hypot(cosine, sine) == pytest.approx(AMPLITUDE, rel=1e-4)
    sign = 1.0 if same < opposite else -1.0  # of a wave that runs the other way
    error = math.atan2(float(sign * sine), float(cosine)) - phase
    assert abs(math.remainder(error, 2 * math.pi)) < 0.8


def test_waves_of_one_splat_begin_apart_and_in_the_plane_of_its_longest_axes():
    splats = synthetic.cloud(30, 4, dtype=torch.float32)
    camera = synthetic.camera(dtype=torch.float32)
    width, height = camera.size
    photo = Photo("a", camera, torch.randint(256, (height, width, 3)).byte())
    raw = trainable(splats)
    raw.coefficients.data.zero_()
    init_from_residual(raw, [photo], StepRunner(raw.means.device, SETTINGS), degree=0)
    begun = (raw.coefficients.norm(dim=-1) > 0).sum(dim=-1)
    asked = begun > 0
    assert asked.sum() > 10
    assert (begun[asked] == 4).all()  # there are candidates for all
    found = raw.frequencies[asked].detach()
    shortest = splats.scales[asked].argmin(dim=-1)[:, None, None].expand(-1, 4, 1)
    assert not found.gather(2, shortest).any()
    for one in range(4):
        for other in range(one):
            for sign in (-1, 1):
                apart = (found[:, one] - sign * found[:, other]).norm(dim=-1)
                assert apart.min() >= APART[4] - 1e-6


def test_a_splat_that_no_photo_shows_keeps_its_waves():
    seen, hidden = disc((0.3, 0.0), (0.1, 0.0)), disc((0.3, 0.0), (0.1, 0.0))
    hidden.means[:] = torch.tensor([0.0, 0.0, -50.0])
    raw = trainable(synthetic.join(seen, hidden))
    start_waves(raw, torch.Generator().manual_seed(0))
    before = {name: getattr(raw, name).detach().clone() for name in ("frequencies", "coefficients")}
    init_from_residual(
        raw, photos(disc((0.5, 0.2), (0.3, 0.0))), StepRunner(raw.means.device, SETTINGS), degree=0
    )
    for name, old in before.items():
        assert torch.equal(getattr(raw, name)[1], old[1])
        assert not torch.equal(getattr(raw, name)[0], old[0])


@pytest.mark.parametrize("finer", [0.5, 3.0])
def test_waves_are_limited_to_what_the_nearest_camera_resolves(finer: float):
    camera = looking_at_origin((0.0, 0.0, -4.0))
    pixels_per_sigma = 40.0 / 4.0 * 0.5  # focal length, distance, size
    splats = disc((finer * NYQUIST * pixels_per_sigma, 0.0), (0.3, 0.0))
    raw = trainable(splats)
    farther = looking_at_origin((0.0, 0.0, -9.0))
    limit_waves(raw, [farther, camera], SETTINGS)
    shortened = raw.frequencies.detach() / splats.frequencies
    # Dilation makes a wave longer on the image: a little more is left than without it.
    assert float(shortened[0, 0, 0]) == pytest.approx(min(1.0, 1 / finer), rel=0.02)
    if finer < 1:
        assert torch.equal(raw.frequencies.detach(), splats.frequencies)
    _, waves = waves_on_image(
        Splats(**{**splats.tensors(), "frequencies": raw.frequencies.detach()}), camera, SETTINGS
    )
    assert waves[0, 0, :2].norm() <= NYQUIST * 1.0001


def test_a_wave_along_the_ray_is_not_limited():
    raw = trainable(disc((0.3, 0.0), (0.3, 0.0)))
    raw.frequencies.data[0, 0] = torch.tensor([0.1, 0.0, 0.4])  # 40 cycles per unit, unseen
    before = raw.frequencies.detach().clone()
    limit_waves(raw, [looking_at_origin((0.0, 0.0, -4.0))], SETTINGS)
    assert torch.equal(raw.frequencies.detach(), before)


def test_what_no_camera_sees_is_not_limited():
    raw = trainable(disc((30.0, 0.0), (0.3, 0.0)))
    raw.means.data[0, 2] = -50.0
    limit_waves(raw, around(), SETTINGS)
    assert raw.frequencies[0, 0, 0].item() == 30.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pixels_that_a_mask_excludes_ask_for_nothing(dtype: torch.dtype):
    views = photos(disc((0.5, 0.2), (0.3, 0.0)))
    found: list[Tensor] = []
    for spoil in (False, True):
        for view in views:
            view.camera = view.camera.to(dtype)
            view.valid = torch.ones(view.pixels.shape[:2], dtype=torch.bool)
            view.valid[:, :20] = False
            if spoil:
                view.pixels[:, :20] = 255 - view.pixels[:, :20]
        raw = trainable(disc((0.1, 0.0), (0.0, 0.0)).to(dtype))
        init_from_residual(raw, views, StepRunner(raw.means.device, SETTINGS), degree=0)
        found.append(torch.cat([raw.frequencies.flatten(), raw.coefficients.flatten()]))
    assert found[0].dtype == dtype
    assert torch.equal(found[0], found[1])


def test_crests_of_a_flat_splat_are_as_flat():
    for seed in range(5):
        splats = disc((0.5, 0.1), (0.3, 0.1))
        splats.scales[0, 2] = 1e-4
        splats.quats[:] = torch.randn(1, 4, generator=torch.Generator().manual_seed(seed))
        thinnest = crests(splats).scales.amin(dim=-1)
        assert torch.allclose(thinnest, torch.tensor(1e-4), rtol=1e-3)


def test_splats_without_waves_are_fitted_too():
    plain = scene().without_waves()
    assert len(to_gaussians(plain, around(), 9, SETTINGS, steps=2)) == 4


def difference(one: Splats, other: Splats, camera: Camera) -> float:
    return float(psnr(render(one, camera).color, render(other, camera).color))


@pytest.mark.parametrize("phase", [0.0, 1.0, 3.0])
def test_crests_of_a_strong_wave_look_more_like_it_than_its_mean(phase: float):
    splats = disc((0.6, 0.2), (0.45 * math.cos(phase), 0.45 * math.sin(phase)))
    split = crests(splats)
    assert (len(split), split.waves) == (CRESTS, 0)
    for camera in around():
        assert difference(split, splats, camera) > difference(bake(splats), splats, camera)


def test_crests_lie_where_the_wave_is_highest():
    splats = disc((0.5, 0.0), (0.0, 0.4))
    split = crests(splats)
    along = split.means[:, 0] / splats.scales[0, 0]
    modulation = torch.sin(2 * math.pi * 0.5 * along)
    assert modulation[1] > 0.8  # the middle one; the envelope pulls those beside it inwards
    assert torch.allclose(split.means[:, 1:], torch.zeros(CRESTS, 2), atol=1e-6)


def scene() -> Splats:
    return synthetic.join(
        *(
            disc((0.6 * math.cos(i), 0.6 * math.sin(i)), (0.4, 0.2)).map(
                lambda t, i=i: t + 0.3 * i if t.shape == (1, 3) and not t.any() else t
            )
            for i in range(4)
        )
    )


@pytest.mark.parametrize("budget", [4, 7, 12, 100])
def test_baking_under_a_budget_keeps_to_it_and_beats_the_mean(budget: int):
    splats, cameras = scene(), around()
    steps: list[tuple[int, int]] = []
    plain = to_gaussians(
        splats, cameras, budget, SETTINGS, steps=60, progress=lambda *at: steps.append(at)
    )
    assert plain.waves == 0
    assert len(plain) <= budget
    assert len(plain) == 4 + 2 * min(4, (budget - 4) // 2)
    assert steps == [(k + 1, 60) for k in range(60)]
    mean = bake(splats)
    gained = 1.0 if budget > 4 else -0.5  # [dB]; without more splats there is little to gain
    for camera in cameras:
        assert difference(plain, splats, camera) > difference(mean, splats, camera) + gained


def test_a_budget_below_the_number_of_splats_is_refused():
    with pytest.raises(ValueError, match="a budget of 3 is less than the 4 splats"):
        to_gaussians(scene(), around(), 3, SETTINGS)
    with pytest.raises(ValueError, match="no cameras"):
        to_gaussians(scene(), [], 8, SETTINGS)


def test_the_splats_whose_waves_show_most_are_split_first():
    faint, strong = disc((0.5, 0.0), (0.01, 0.0)), disc((0.5, 0.0), (0.4, 0.0))
    shown = strongest_waves(synthetic.join(faint, strong), around(), SETTINGS)
    assert shown[1] > 10 * shown[0] > 0


def hue_at_middle(splats: Splats) -> Tensor:
    frame = render_frequencies(splats, looking_at_origin((0.0, 0.0, -4.0)), SETTINGS)
    height, width, _ = frame.color.shape
    return frame.color[height // 2, width // 2]


def test_the_picture_of_frequencies_tells_directions_and_strengths_apart():
    horizontal = hue_at_middle(disc((0.6, 0.0), (0.4, 0.0)))
    vertical = hue_at_middle(disc((0.0, 0.6), (0.4, 0.0)))
    assert horizontal[0] > 5 * horizontal[1:].max()  # red
    assert vertical[1:].min() > 5 * vertical[0]  # cyan
    reversed_ = hue_at_middle(disc((-0.6, 0.0), (0.4, 0.0)))
    assert torch.allclose(reversed_, horizontal, atol=1e-5)
    finer = hue_at_middle(disc((0.9, 0.0), (0.4, 0.0)))
    assert finer[0] > 1.3 * horizontal[0]
    fainter = hue_at_middle(disc((0.6, 0.0), (0.05, 0.0)))
    assert fainter[0] < 0.5 * horizontal[0]


def test_gaussians_are_black_in_the_picture_of_frequencies():
    splats = disc((0.6, 0.0), (0.4, 0.0)).without_waves()
    frame = render_frequencies(splats, around()[0], SETTINGS)
    assert not frame.color.any()
    plain = render(splats, around()[0])
    assert torch.allclose(frame.alpha, plain.alpha)
    assert torch.allclose(frame.depth, plain.depth, atol=1e-5)
