"""Gradients of the kernels against autograd of the oracle and against finite differences."""

from __future__ import annotations

from dataclasses import replace

import pytest
import synthetic
import torch
from derivatives import autograd, finite_differences, random_loss
from drawing import rasterized
from tolerances import (
    FINITE_DIFFERENCE,
    GRADIENT,
    GRADIENT_FLOAT,
    assert_gradients_close,
    relative_error,
)
from torch import Tensor

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.frame import Frame
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.reference import blending_weights, project_reference, render_reference
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats

SMOOTH = RenderSettings(alpha_min=0.0, transmittance_min=0.0, background=(0.3, 0.1, 0.6))
"""No thresholds, so that the picture has a derivative everywhere."""

SETTINGS = {
    "default": RenderSettings(background=(0.3, 0.1, 0.6)),
    "antialiased": RenderSettings(antialiased=True),
    "inria": replace(RenderSettings.inria(), antialiased=True),
    "early_stop": RenderSettings(transmittance_min=0.3),
    "smooth": SMOOTH,
}

SMALL = synthetic.camera((18, 13))


def covered(splats: Splats, camera: Camera, settings: RenderSettings) -> Tensor:
    """[H, W] where enough is drawn for a mean depth to be well conditioned."""
    return (render_reference(splats, camera, settings).alpha > 1e-2).double()


def color_loss(frame: Frame) -> Tensor:
    return frame.color.square().sum()


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_match_the_oracle(waves: int, name: str, device: torch.device):
    splats, camera = synthetic.cloud(40, waves, degree=2, seed=waves), synthetic.camera()
    settings, loss = SETTINGS[name], random_loss(camera.size)
    expected = autograd(render_reference, splats, camera, settings, loss)
    actual = autograd(render, splats.to(device), camera.to(device), settings, loss)
    assert_gradients_close(actual, expected, GRADIENT)


@pytest.mark.parametrize("degree", range(4))
def test_gradients_of_harmonics_match_the_oracle(degree: int, device: torch.device):
    splats, camera = synthetic.cloud(30, 1, degree=degree), synthetic.camera()
    bright = replace(splats, sh=6 * splats.sh)  # so that some colours are clamped to 0
    loss = random_loss(camera.size)
    expected = autograd(render_reference, bright, camera, RenderSettings(), loss)
    actual = autograd(render, bright.to(device), camera.to(device), RenderSettings(), loss)
    assert_gradients_close(actual, expected, GRADIENT)


def test_gradients_added_in_a_fixed_order_match_the_oracle(waves: int, device: torch.device):
    splats, camera = synthetic.cloud(60, waves, degree=1, seed=2), synthetic.camera()
    expected = autograd(render_reference, splats, camera, RenderSettings(), color_loss)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        actual = autograd(
            render, splats.to(device), camera.to(device), RenderSettings(), color_loss
        )
    finally:
        torch.use_deterministic_algorithms(False)
    assert_gradients_close(actual, expected, GRADIENT)


@pytest.mark.parametrize("quantity", ["color", "alpha", "depth"])
def test_every_output_has_its_gradient(waves: int, quantity: str, device: torch.device):
    splats, camera = synthetic.cloud(25, waves, degree=1, seed=1), synthetic.camera()

    def loss(frame: Frame) -> Tensor:
        plane = getattr(frame, quantity)
        ramp = torch.linspace(-1, 2, plane.numel(), dtype=plane.dtype, device=plane.device)
        return (plane.flatten() * ramp).sum()

    expected = autograd(render_reference, splats, camera, RenderSettings(), loss)
    actual = autograd(render, splats.to(device), camera.to(device), RenderSettings(), loss)
    assert_gradients_close(actual, expected, GRADIENT)


def test_clamped_and_skipped_alphas_have_no_gradient(waves: int, device: torch.device):
    splats, camera = synthetic.cloud(30, waves, seed=2), synthetic.camera()
    strong = synthetic.with_waves(splats, splats.frequencies, 8 * splats.coefficients)
    opaque = replace(strong, opacities=strong.opacities.clamp(min=0.7) * 1.1)
    settings, loss = RenderSettings(alpha_max=0.6), random_loss(camera.size)
    expected = autograd(render_reference, opaque, camera, settings, loss)
    actual = autograd(render, opaque.to(device), camera.to(device), settings, loss)
    assert_gradients_close(actual, expected, GRADIENT)


def test_splats_outside_the_view_keep_the_gradient_of_the_bounded_jacobian(device: torch.device):
    view = synthetic.camera((40, 28), centre=(0.2, 0.4))
    splats = synthetic.cloud(30, 2, view=view, seed=4)
    local = splats.means @ view.world_to_camera[:3, :3].T + view.world_to_camera[:3, 3]
    local = local * synthetic.real(1.9, 1.9, 1.0)
    means = (local - view.world_to_camera[:3, 3]) @ view.world_to_camera[:3, :3]
    wide = replace(splats, means=means, scales=6 * splats.scales)
    loss = random_loss(view.size)
    expected = autograd(render_reference, wide, view, RenderSettings(), loss)
    actual = autograd(render, wide.to(device), view.to(device), RenderSettings(), loss)
    assert_gradients_close(actual, expected, GRADIENT)


def test_float32_gradients_are_close_to_float64(waves: int, device: torch.device):
    splats, camera = synthetic.cloud(30, waves, degree=3, seed=waves), synthetic.camera()
    # A pixel that is hardly covered divides by its alpha, and one flip of a threshold moves it.
    loss = random_loss(camera.size, covered(splats, camera, SMOOTH))
    expected = autograd(render_reference, splats, camera, SMOOTH, loss)
    single = splats.to(torch.float32).to(device)
    actual = autograd(render, single, camera.to(torch.float32).to(device), SMOOTH, loss)
    for name, gradient in expected.items():
        if gradient.numel():
            error = (actual[name].double().cpu() - gradient).abs().max() / gradient.abs().max()
            assert error <= GRADIENT_FLOAT, f"{name}: {error:.1e}"


@pytest.mark.slow
@pytest.mark.parametrize("antialiased", [False, True])
def test_gradients_match_finite_differences(waves: int, antialiased: bool, device: torch.device):
    splats = synthetic.cloud(5, waves, degree=1, seed=20 + waves, view=SMALL)
    settings = replace(SMOOTH, antialiased=antialiased)
    loss = random_loss(SMALL.size, covered(splats, SMALL, settings))
    scene = splats.to(device), SMALL.to(device), settings, loss
    expected = finite_differences(render, *scene)
    actual = autograd(render, *scene)
    actual["world_to_camera"][3] = 0  # not a parameter: the last row of a rigid transform
    assert_gradients_close(actual, expected, FINITE_DIFFERENCE)


def test_gradcheck_accepts_the_renderer(waves: int, device: torch.device):
    view = synthetic.camera((7, 5)).to(device)
    splats = synthetic.cloud(2, waves, seed=30 + waves, view=view).to(device)
    pose = view.world_to_camera.clone().requires_grad_()
    names = [name for name, tensor in splats.tensors().items() if tensor.numel()]
    leaves = [splats.tensors()[name].clone().requires_grad_() for name in names]
    settings = replace(SMOOTH, background=(0.0, 0.0, 0.0))

    def planes(pose: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        scene = replace(splats, **dict(zip(names, tensors, strict=True)))
        frame = render(scene, replace(view, world_to_camera=pose), settings)
        return frame.color, frame.alpha

    assert torch.autograd.gradcheck(planes, (pose, *leaves), eps=1e-6, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3, 7, 40])
@pytest.mark.parametrize("per_camera", [False, True])
def test_feature_channels_of_several_cameras_match_the_oracle(
    waves: int, channels: int, per_camera: bool, device: torch.device
):
    views = [synthetic.camera(), synthetic.camera(centre=(0.7, 0.2))]
    splats = synthetic.cloud(20, waves, seed=channels)
    shape = (2, 20, channels) if per_camera else (20, channels)
    features = torch.randn(shape, dtype=torch.float64)
    backgrounds = torch.rand(2, channels, dtype=torch.float64)
    weights = torch.randn(2, 28, 40, channels + 1, dtype=torch.float64)

    def oracle(splats: Splats, features: Tensor) -> tuple[Tensor, Tensor]:
        planes, alphas = [], []
        for index, view in enumerate(views):
            projected = project_reference(splats, view, RenderSettings.gsplat())
            shares, rest = blending_weights(projected, view.size, RenderSettings.gsplat())
            values = (features[index] if per_camera else features)[projected.ids]
            planes.append(shares @ values + rest[..., None] * backgrounds[index])
            alphas.append(shares.sum(dim=-1, keepdim=True))
        return torch.stack(planes), torch.stack(alphas)

    def kernels(splats: Splats, features: Tensor) -> tuple[Tensor, Tensor]:
        colors, alphas, _ = rasterized(
            splats,
            [view.to(device) for view in views],
            colors=features,
            sh_degree=None,
            backgrounds=backgrounds.to(device),
            settings=RenderSettings.gsplat(),
        )
        return colors, alphas

    results = []
    for function in (oracle, kernels):
        leaves = splats.to(device).map(lambda tensor: tensor.clone().requires_grad_())
        values = features.to(device).clone().requires_grad_()
        planes = torch.cat(function(leaves, values), dim=-1)
        (planes * weights.to(planes)).sum().backward()
        gradients = {name: leaf.grad for name, leaf in leaves.tensors().items() if leaf.numel()}
        gradients = {name: grad for name, grad in gradients.items() if grad is not None}
        results.append((planes, gradients | {"features": values.grad}))
    (expected, expected_gradients), (actual, actual_gradients) = results
    assert relative_error(actual.detach(), expected.detach()) <= GRADIENT
    actual_gradients.pop("sh", None)
    assert_gradients_close(actual_gradients, expected_gradients, GRADIENT)
