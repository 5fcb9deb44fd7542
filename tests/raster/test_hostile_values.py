"""Splats that no fit should produce, and some do: pictures and gradients stay finite."""

from __future__ import annotations

import math
from dataclasses import replace

import hypothesis
import pytest
import synthetic
import torch
from derivatives import autograd
from drawing import rasterized
from hypothesis import strategies as st
from tolerances import assert_frames_equal
from torch import Tensor

from gaborsplat.renderer.backends.registry import backend_for
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.frame import Frame
from gaborsplat.renderer.gsplat_api.rasterization import rasterization
from gaborsplat.renderer.raster.forward import RasterOptions, in_view
from gaborsplat.renderer.raster.passes import Passes
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats

FIELDS = ("means", "quats", "scales", "opacities", "sh", "frequencies", "coefficients")
LARGEST = 1e30
"""Its square overflows in float32, but a sum of many does not: no gradient needs to."""
NOT_FINITE = (math.nan, math.inf, -math.inf)
EXTREME = (0.0, -1.0, 1e-45, 1e-20, 10.0, 1e18, LARGEST, -LARGEST)
"""The worst of each kind: no length, inside out, denormal, a square that vanishes, out of range, a
cube that overflows, a square that does."""
ORDINARY = (-0.0, 1e-38, 1e-6, 0.5, 1.0, 1e6)
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
SETTINGS = (
    RenderSettings(),
    RenderSettings(antialiased=True),
    RenderSettings.inria(),
    RenderSettings(eps2d=0.0, alpha_min=0.0, transmittance_min=0.0),
)


def total(frame: Frame) -> Tensor:
    """A loss of all outputs."""
    return frame.color.sum() + frame.alpha.sum() + frame.depth.sum()


def assert_finite(splats: Splats, camera: Camera, settings: RenderSettings) -> None:
    """Picture and gradients hold no NaN and no infinity."""
    frame = render(splats, camera, settings)
    for name, plane in vars(frame).items():
        assert torch.isfinite(plane).all(), name
    assert frame.alpha.min() >= 0
    assert frame.alpha.max() <= 1
    for name, gradient in autograd(render, splats, camera, settings, total).items():
        assert torch.isfinite(gradient).all(), f"gradient of {name}"


def set_value(splats: Splats, field: str, index: int, value: float) -> None:
    """Puts `value` in one number, chosen by `index`, of the last splat's `field`."""
    row = splats.tensors()[field][-1:].view(-1)
    if row.numel():
        row[index % row.numel()] = value


@DTYPES
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", NOT_FINITE)
def test_a_splat_that_is_not_finite_is_never_drawn(
    field: str, value: float, dtype: torch.dtype, device: torch.device
):
    camera = synthetic.camera(dtype=dtype).to(device)
    healthy = synthetic.cloud(12, 2, degree=1, dtype=dtype)
    for index in range(4):
        splats = healthy.map(torch.clone)
        set_value(splats, field, index, value)
        first = healthy.select(torch.arange(11)).to(device)
        splats = splats.to(device)
        assert_frames_equal(render(splats, camera), render(first, camera))
        found = autograd(render, splats, camera, RenderSettings(), total)
        expected = autograd(render, first, camera, RenderSettings(), total)
        for name in FIELDS:
            assert torch.equal(found[name][:-1], expected[name]), name
            assert not found[name][-1].any(), name


@DTYPES
@pytest.mark.parametrize(
    ("field", "value"), [("quats", 0.0), ("scales", 0.0), ("scales", -0.3), ("opacities", 0.0)]
)
def test_a_splat_without_shape_is_never_drawn(
    field: str, value: float, dtype: torch.dtype, device: torch.device
):
    camera = synthetic.camera(dtype=dtype).to(device)
    splats = synthetic.cloud(12, 1, dtype=dtype)
    splats.tensors()[field][-1] = value
    first = splats.select(torch.arange(11)).to(device)
    assert_frames_equal(render(splats.to(device), camera), render(first, camera))
    assert_finite(splats.to(device), camera, RenderSettings())


@DTYPES
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", EXTREME)
def test_extreme_values_leave_picture_and_gradients_finite(
    field: str, value: float, dtype: torch.dtype, device: torch.device
):
    camera = synthetic.camera(dtype=dtype).to(device)
    splats = synthetic.cloud(6, 2, degree=1, dtype=dtype)
    for index in (0, 2):
        hostile = splats.map(torch.clone)
        set_value(hostile, field, index, value)
        for settings in SETTINGS:
            assert_finite(hostile.to(device), camera, settings)


@hypothesis.settings(max_examples=80)
@hypothesis.given(
    changes=st.lists(
        st.tuples(
            st.sampled_from(FIELDS),
            st.integers(0, 5),
            st.integers(0, 11),
            st.sampled_from(NOT_FINITE + EXTREME + ORDINARY) | st.floats(-LARGEST, LARGEST),
        ),
        max_size=12,
    ),
    settings=st.sampled_from(SETTINGS),
    waves=st.sampled_from((0, 1, 4)),
    double=st.booleans(),
)
def test_any_mix_of_values_leaves_picture_and_gradients_finite(
    changes: list[tuple[str, int, int, float]], settings: RenderSettings, waves: int, double: bool
):
    dtype = torch.float64 if double else torch.float32
    splats = synthetic.cloud(6, waves, degree=1, dtype=dtype)
    for field, row, index, value in changes:
        numbers = splats.tensors()[field][row : row + 1].view(-1)
        if numbers.numel():
            numbers[index % numbers.numel()] = value
    assert_finite(splats, synthetic.camera(dtype=dtype), settings)


@DTYPES
@pytest.mark.parametrize("distance", [-5.0, -1e-3, 0.0, 1e-30, 1e-4, 0.0101, 0.02])
def test_splats_at_and_behind_the_camera_are_harmless(
    distance: float, waves: int, dtype: torch.dtype, device: torch.device
):
    camera = synthetic.camera(dtype=dtype).to(device)
    axis, centre = camera.world_to_camera[2, :3], camera.position
    splats = synthetic.cloud(5, waves, degree=1, dtype=dtype).to(device)
    means = splats.means.clone()
    means[2] = centre + distance * axis
    for settings in SETTINGS:
        assert_finite(replace(splats, means=means), camera, settings)


@DTYPES
def test_a_screen_filled_by_one_huge_splat_is_finite(
    waves: int, dtype: torch.dtype, device: torch.device
):
    camera = synthetic.camera(dtype=dtype).to(device)
    splats = synthetic.cloud(4, waves, dtype=dtype)
    for factor in (1e2, 1e5, 1e9, 1e15):
        scales = splats.scales.clone()
        scales[1] *= factor
        for settings in SETTINGS:
            assert_finite(replace(splats, scales=scales).to(device), camera, settings)


@DTYPES
def test_huge_frequencies_are_averaged_away(dtype: torch.dtype, device: torch.device):
    """What is left of such a wave is its mean under the envelope: 1 - a."""
    camera = synthetic.straight_camera(dtype=dtype).to(device)
    plain = synthetic.dot(dtype=dtype)
    frequencies = torch.tensor([[[40.0, 30.0, 1e3]]])
    waving = synthetic.with_waves(plain, frequencies, torch.tensor([[[0.25, 0.1]]]))
    dimmed = replace(plain, opacities=0.75 * plain.opacities)
    actual = render(waving.to(device), camera).color
    assert torch.allclose(actual, render(dimmed.to(device), camera).color, atol=1e-6)


@DTYPES
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (17, 16)])
def test_images_of_any_shape_are_drawn(
    size: tuple[int, int], waves: int, dtype: torch.dtype, device: torch.device
):
    camera = synthetic.camera(size, dtype=dtype).to(device)
    splats = synthetic.cloud(30, waves, view=camera.to("cpu"), dtype=dtype).to(device)
    frame = render(splats, camera)
    assert frame.color.shape == (size[1], size[0], 3)
    assert frame.alpha.any()
    assert_finite(splats, camera, RenderSettings())


@pytest.mark.parametrize("name", ["world_to_camera", "intrinsics"])
def test_a_camera_that_is_not_finite_is_refused_or_sees_nothing(name: str, device: torch.device):
    camera = synthetic.camera().to(device)
    broken = getattr(camera, name).clone()
    broken[0, 2] = math.nan
    splats = synthetic.cloud(5, 1).to(device)
    try:
        frame = render(splats, replace(camera, **{name: broken}))
    except ValueError as error:
        assert name in str(error)
    else:
        assert not frame.alpha.any()


@pytest.mark.parametrize("packed", [True, False])
def test_a_splat_of_no_finite_colour_is_left_out(packed: bool):
    camera = synthetic.camera(dtype=torch.float32)
    healthy = synthetic.cloud(12, 0, degree=1, dtype=torch.float32)

    def draw(splats: Splats) -> tuple[Tensor, Tensor]:
        colors, alphas, _ = rasterized(splats, [camera], packed=packed)
        return colors, alphas

    expected = draw(healthy.select(torch.arange(12) != 5))
    healthy.sh[5, 2, 1] = torch.nan
    for actual, without in zip(draw(healthy), expected, strict=True):
        assert torch.equal(actual, without)


def specks(pixels: list[tuple[int, int]]) -> tuple[Splats, Camera]:
    """Splats of about a pixel's size, one over each of `pixels`, front to back."""
    camera = synthetic.straight_camera(dtype=torch.float32)
    focal, centre = camera.intrinsics[0, 0], camera.intrinsics[:2, 2]
    depth = 2 + 0.1 * torch.arange(len(pixels))
    on_plane = (torch.tensor(pixels) + 0.5 - centre) / focal
    splats = synthetic.cloud(len(pixels), 0, dtype=torch.float32)
    return replace(
        splats,
        means=torch.cat([on_plane * depth[:, None], depth[:, None]], dim=1),
        scales=torch.full_like(splats.scales, 0.02),
        opacities=torch.full_like(splats.opacities, 0.8),
    ), camera


@pytest.mark.parametrize("value", NOT_FINITE)
def test_a_gradient_that_is_not_finite_harms_only_the_splats_of_its_pixel(
    value: float, device: torch.device
):
    # All in the 8 x 8 pixels that a warp takes, the first two in those of one lane. The CPU takes
    # packs of neighbours, which share what is not finite.
    splats, camera = specks([(1, 1), (5 if backend_for(device).records else 6, 1), (1, 2), (6, 2)])
    leaves = splats.to(device).map(lambda tensor: tensor.requires_grad_())
    upstream = torch.ones(camera.size[1], camera.size[0], 3)
    upstream[1, 1] = value
    render(leaves, camera.to(device)).color.backward(upstream.to(device))
    for name in ("means", "opacities", "sh"):
        gradient = leaves.tensors()[name].grad
        assert gradient is not None
        finite = gradient.reshape(4, -1).isfinite().all(dim=1).tolist()
        assert finite[1], name
        assert finite[3], name
        assert not finite[0], name


@pytest.mark.parametrize("value", NOT_FINITE)
def test_a_feature_that_is_not_finite_harms_only_pixels_that_show_it(
    value: float, device: torch.device
):
    splats, camera = specks([(1, 1), (6, 1), (6, 2)])
    means = splats.means.to(device).requires_grad_()
    features = torch.ones(3, 3)
    features[0] = value
    image, _, _ = rasterization(
        means=means,
        quats=splats.quats.to(device),
        scales=splats.scales.to(device),
        opacities=splats.opacities.to(device),
        colors=features.to(device),
        viewmats=camera.world_to_camera[None].to(device),
        Ks=camera.intrinsics[None].to(device),
        width=camera.size[0],
        height=camera.size[1],
        packed=False,
    )
    image[0, :, 5:].sum().backward()
    assert means.grad is not None
    assert means.grad[1:].isfinite().all()
    assert means.grad[1:].any()


def test_harmonics_of_a_higher_degree_than_there_are_coefficients_for_are_refused(
    device: torch.device,
):
    splats = synthetic.cloud(5, 0, degree=1, dtype=torch.float32).to(device)
    settings, camera = RenderSettings(), synthetic.camera(dtype=torch.float32).to(device)
    seen = in_view(splats, camera, settings, RasterOptions.of(settings))
    for degree in (-1, 2, 4):
        with pytest.raises(ValueError, match=f"SH degree {degree}: 4 coefficients have 0 to 1"):
            Passes(backend_for(device)).shaded(seen._replace(degree=degree))
