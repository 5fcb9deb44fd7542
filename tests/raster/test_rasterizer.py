"""Pictures of the kernels against those of the oracle."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import synthetic
import torch
from tolerances import DEPTH, EXACT, IMAGE, assert_frames_close

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.reference import render_reference
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats

PRESETS = {
    "default": RenderSettings(),
    "antialiased": RenderSettings(antialiased=True),
    "inria": RenderSettings.inria(),
    "inria_antialiased": replace(RenderSettings.inria(), antialiased=True),
    "gsplat": RenderSettings.gsplat(),
    "background": RenderSettings(background=(0.9, 0.2, 0.4)),
    "no_dilation": RenderSettings(eps2d=0.0),
    "more_dilation": RenderSettings(eps2d=1.5, antialiased=True, compensation_min=0.5),
    "early_stop": RenderSettings(transmittance_min=0.3),
    "coarse_cut": RenderSettings(alpha_min=0.1),
    "no_thresholds": RenderSettings(alpha_min=0.0, transmittance_min=0.0),
    "planes": RenderSettings(near_plane=3.0, far_plane=5.0),
}

VIEWS = {
    "off_centre": synthetic.camera((40, 28), centre=(0.1, 0.95)),
    "centre_outside": synthetic.camera((40, 28), centre=(-0.6, 0.5)),
    "one_tile": synthetic.camera((16, 16)),
    "odd": synthetic.camera((33, 47)),
    "wide": synthetic.camera((95, 5)),
    "one_pixel": synthetic.camera((1, 1)),
    "column": synthetic.camera((1, 37)),
}


def check(splats: Splats, camera: Camera, settings: RenderSettings, device: torch.device) -> None:
    """Both types of kernel, each against the float64 oracle."""
    expected = render_reference(splats, camera, settings)
    double = render(splats.to(device), camera.to(device), settings)
    assert_frames_close(double, expected, EXACT)
    single = render(
        splats.to(torch.float32).to(device), camera.to(torch.float32).to(device), settings
    )
    assert single.color.dtype == torch.float32
    assert_frames_close(single, expected, IMAGE, DEPTH)


@pytest.mark.parametrize("degree", range(4))
def test_pictures_match_the_oracle(waves: int, degree: int, device: torch.device):
    splats = synthetic.cloud(60, waves, degree=degree, seed=10 * waves + degree)
    check(splats, synthetic.camera(), RenderSettings(), device)


@pytest.mark.parametrize("preset", PRESETS)
def test_pictures_match_the_oracle_under_all_settings(
    waves: int, preset: str, device: torch.device
):
    splats = synthetic.cloud(50, waves, degree=1, seed=waves)
    check(splats, synthetic.camera(), PRESETS[preset], device)


@pytest.mark.parametrize("view", VIEWS)
def test_pictures_match_the_oracle_in_all_views(waves: int, view: str, device: torch.device):
    camera = VIEWS[view]
    check(synthetic.cloud(40, waves, seed=waves, view=camera), camera, RenderSettings(), device)


@pytest.mark.parametrize("degree", range(4))
def test_harmonics_can_be_cut_short(degree: int, device: torch.device):
    splats = synthetic.cloud(20, 1, degree=3)
    check(splats, synthetic.camera(), RenderSettings(sh_degree=degree), device)


def test_strong_waves_are_drawn_as_far_as_they_reach(waves: int, device: torch.device):
    """Banks far above 1 and below 0: the reach of a splat grows with its waves."""
    splats = synthetic.cloud(25, waves, seed=3)
    strong = synthetic.with_waves(splats, 1.5 * splats.frequencies, 12 * splats.coefficients)
    check(strong, synthetic.camera(), RenderSettings(), device)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("border", "side"), [(16.5, -1), (15.5, 1), (32.5, -1), (31.5, 1)])
def test_a_splat_is_drawn_up_to_its_last_pixel(
    axis: int, border: float, side: int, waves: int, device: torch.device
):
    """A dot that just reaches the first pixels of the next tile, and one that just does not."""
    camera = synthetic.straight_camera((48, 48))
    dot = synthetic.with_idle_waves(synthetic.dot(4.0, 0.25, opacity=0.6), waves)
    dot.scales[0, 2] = 1e-9  # a disk keeps its size off the axis
    variance = (32 * 0.25 / 4.0) ** 2 + RenderSettings().eps2d
    reach = math.sqrt(2 * math.log(0.6 / RenderSettings().alpha_min) * variance)
    pixel = [24, 24]
    pixel[axis] = int(border)
    for inside in (True, False):
        centre = border + side * (reach - (0.01 if inside else -0.01))
        means = dot.means.clone()
        means[0, axis] = (centre - 24.5) * 4.0 / 32
        alpha = render(replace(dot, means=means).to(device), camera.to(device)).alpha
        assert bool(alpha[pixel[1], pixel[0]]) == inside


@pytest.mark.parametrize("extent", ["exact", "three_sigma"])
def test_splats_reaching_in_from_outside_are_drawn(waves: int, extent: str, device: torch.device):
    camera = synthetic.camera()
    splats = synthetic.cloud(80, waves, seed=5, view=camera)
    wide = replace(splats, scales=3 * splats.scales)
    check(wide, camera, RenderSettings(extent=extent), device)


def test_needles_and_specks_match_the_oracle(waves: int, device: torch.device):
    splats = synthetic.cloud(40, waves, seed=6)
    stretch = torch.exp(torch.randn(40, 3, dtype=torch.float64) * 1.2)
    check(
        replace(splats, scales=splats.scales * stretch),
        synthetic.camera(),
        RenderSettings(),
        device,
    )


def test_hundreds_of_splats_in_one_pixel_are_blended(waves: int, device: torch.device):
    camera = synthetic.camera((20, 12))
    splats = synthetic.cloud(600, waves, seed=7, view=camera)
    faint = replace(splats, opacities=0.05 * splats.opacities, scales=2 * splats.scales)
    check(faint, camera, RenderSettings(alpha_min=1e-3), device)


def test_views_far_from_the_world_origin_match_the_oracle(device: torch.device):
    """In float64: it is the capture's loader that keeps coordinates small for float32."""
    splats, camera = synthetic.cloud(20, 2), synthetic.camera()
    shift = synthetic.real(1e4, -2e4, 5e3)
    pose = camera.world_to_camera.clone()
    pose[:3, 3] -= pose[:3, :3] @ shift
    moved, there = (
        replace(splats, means=splats.means + shift),
        replace(camera, world_to_camera=pose),
    )
    expected = render_reference(splats, camera, RenderSettings())
    actual = render(moved.to(device), there.to(device))
    assert_frames_close(actual, expected, replace(EXACT, atol=1e-7))
