"""What must hold of every picture, whatever the formulas; most of it to the bit."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import synthetic
import torch
from derivatives import autograd, random_loss
from drawing import rasterized
from tolerances import (
    DEPTH,
    EXACT,
    GRADIENT,
    GRADIENT_FLOAT,
    IMAGE,
    assert_frames_close,
    assert_frames_equal,
    relative_error,
)
from torch import Tensor

from gaborsplat.renderer import _native
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.render import render, render_bytes
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import WAVE_COUNTS, Splats

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])


@pytest.fixture
def threads() -> Iterator[None]:
    """Gives the number of threads back afterwards."""
    before = _native.cpu.threads()
    yield
    _native.cpu.set_threads(before)


def scene(n: int, waves: int, dtype: torch.dtype, device: torch.device) -> tuple[Splats, Camera]:
    """A cloud with view-dependent colours and the camera that sees it."""
    splats = synthetic.cloud(n, waves, degree=2, seed=n + waves, dtype=dtype)
    return splats.to(device), synthetic.camera(dtype=dtype).to(device)


def straight(dtype: torch.dtype, device: torch.device) -> Camera:
    """The camera at the origin."""
    return synthetic.straight_camera(dtype=dtype).to(device)


def sums_limit(request: pytest.FixtureRequest, dtype: torch.dtype) -> float:
    """How far gradients of one loss may lie apart, relatively. On a GPU, tiles add to the gradient
    of a splat in any order."""
    if request.node.callspec.params["device"] != "cuda":
        return 0.0
    return GRADIENT if dtype == torch.float64 else GRADIENT_FLOAT


def gradients(splats: Splats, camera: Camera, settings: RenderSettings) -> dict[str, Tensor]:
    """Gradients of a loss that is the same at every call."""
    torch.manual_seed(1)
    return autograd(render, splats, camera, settings, random_loss(camera.size))


@DTYPES
def test_the_order_of_the_cloud_does_not_matter(
    waves: int, dtype: torch.dtype, device: torch.device, request: pytest.FixtureRequest
):
    splats, camera = scene(60, waves, dtype, device)
    order = torch.randperm(60, device=device)
    assert_frames_equal(render(splats.select(order), camera), render(splats, camera))
    shuffled = gradients(splats.select(order), camera, RenderSettings())
    straightened = gradients(splats, camera, RenderSettings())
    for name in splats.tensors():
        error = relative_error(shuffled[name], straightened[name][order])
        assert error <= sums_limit(request, dtype), name


@DTYPES
def test_splats_at_equal_depth_are_drawn_in_the_order_of_the_cloud(
    dtype: torch.dtype, device: torch.device
):
    colors = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)] * 20
    ties = synthetic.join(
        *[synthetic.dot(3.0, 0.5, opacity=0.5, color=color, dtype=dtype) for color in colors]
    ).to(device)
    camera = straight(dtype, device)
    expected = torch.tensor([1 / 2, 1 / 4, 1 / 8], dtype=dtype) * (8 / 7)
    actual = render(ties, camera, RenderSettings(transmittance_min=0.0)).color[14, 20].cpu()
    assert torch.allclose(actual, expected, rtol=1e-5)


@DTYPES
def test_splats_behind_a_wall_change_nothing(waves: int, dtype: torch.dtype, device: torch.device):
    camera = straight(dtype, device)
    view = synthetic.straight_camera()
    visible = synthetic.cloud(20, waves, seed=1, view=view, dtype=dtype)
    barrier = synthetic.with_idle_waves(synthetic.wall(8.0, dtype), waves)
    hidden = synthetic.cloud(20, waves, seed=2, view=view, dtype=dtype)
    hidden = replace(hidden, means=hidden.means + torch.tensor([0.0, 0.0, 10.0], dtype=dtype))
    shown = synthetic.join(visible, barrier).to(device)
    everything = synthetic.join(visible, barrier, hidden).to(device)
    assert_frames_equal(render(everything, camera), render(shown, camera))
    behind = gradients(everything, camera, RenderSettings())
    for name in everything.tensors():
        assert not behind[name][len(shown) :].any(), name


@DTYPES
def test_zero_splats_are_the_background(waves: int, dtype: torch.dtype, device: torch.device):
    splats, camera = scene(0, waves, dtype, device)
    leaves = splats.map(lambda tensor: tensor.requires_grad_())
    frame = render(leaves, camera, RenderSettings(background=(0.25, 0.5, 0.75)))
    expected = torch.tensor([0.25, 0.5, 0.75], dtype=dtype, device=device)
    assert torch.equal(frame.color, expected.expand(28, 40, 3))
    assert not frame.alpha.any()
    assert not frame.depth.any()


@DTYPES
def test_splats_out_of_sight_are_the_background(
    waves: int, dtype: torch.dtype, device: torch.device
):
    splats, camera = scene(10, waves, dtype, device)
    behind = replace(splats, means=splats.means - 100 * camera.world_to_camera[2, :3])
    frame = render(behind, camera, RenderSettings(background=(0.25, 0.5, 0.75)))
    assert torch.equal(frame.color, frame.color.new_tensor([0.25, 0.5, 0.75]).expand(28, 40, 3))
    for name, gradient in gradients(behind, camera, RenderSettings()).items():
        assert not gradient.any(), name


@DTYPES
def test_a_splat_exactly_on_a_plane_is_culled(dtype: torch.dtype, device: torch.device):
    camera, on = straight(dtype, device), torch.tensor(0.5, dtype=dtype)
    inside = {
        "near_plane": torch.nextafter(on, torch.tensor(1.0, dtype=dtype)).item(),
        "far_plane": torch.nextafter(on, torch.tensor(0.0, dtype=dtype)).item(),
    }
    for plane, depth in inside.items():
        settings = replace(RenderSettings(), **{plane: 0.5})
        culled = synthetic.dot(0.5, 0.1, dtype=dtype).to(device)
        assert not render(culled, camera, settings).alpha.any()
        drawn = synthetic.dot(depth, 0.1, dtype=dtype).to(device)
        assert render(drawn, camera, settings).alpha.any()


@DTYPES
@pytest.mark.parametrize("alpha_min", [RenderSettings().alpha_min, 2.0**-8])
def test_the_threshold_of_alpha_is_exact_up_to_rounding(
    dtype: torch.dtype, alpha_min: float, device: torch.device
):
    camera, settings = straight(dtype, device), RenderSettings(alpha_min=alpha_min)
    margin = 16 * torch.finfo(dtype).eps  # alpha is computed as a power of two
    above, below = alpha_min * (1 + margin), alpha_min * (1 - margin)
    drawn = render(synthetic.dot(opacity=above, dtype=dtype).to(device), camera, settings)
    assert torch.equal(drawn.alpha.nonzero().cpu(), torch.tensor([[14, 20]]))
    skipped = render(synthetic.dot(opacity=below, dtype=dtype).to(device), camera, settings)
    assert not skipped.alpha.any()


@DTYPES
def test_bytes_are_the_rounded_colours(waves: int, dtype: torch.dtype, device: torch.device):
    splats, camera = scene(50, waves, dtype, device)
    settings = RenderSettings(background=(0.1, 0.5, 1.0))
    color = render(splats, camera, settings).color.clamp(0, 1)
    levels = (255 * color + 0.5).to(torch.uint8)
    difference = render_bytes(splats, camera, settings).int() - levels.int()
    assert difference.abs().max() <= 1
    assert (difference != 0).float().mean() < 1e-3  # halves are rounded either way


@DTYPES
def test_tiles_without_lists_for_the_gradient_draw_the_same_picture(
    waves: int, dtype: torch.dtype, device: torch.device
):
    splats, camera = scene(50, waves, dtype, device)
    with torch.no_grad():
        shown = render(splats, camera)
    watched = render(splats.map(lambda tensor: tensor.requires_grad_()), camera)
    assert_frames_equal(shown, watched)


@DTYPES
def test_waves_of_zero_amplitude_leave_a_gaussian_to_the_bit(
    waves: int, dtype: torch.dtype, device: torch.device, request: pytest.FixtureRequest
):
    """On a GPU to rounding: there, NVRTC fuses other products and sums for each number of waves."""
    limit = sums_limit(request, dtype)
    on_gpu, real = limit > 0, dtype == torch.float64
    plain, camera = scene(50, 0, dtype, device)
    idle = synthetic.with_idle_waves(plain, waves)
    for settings in (RenderSettings(antialiased=True), RenderSettings.inria()):
        drawn, wanted = render(idle, camera, settings), render(plain, camera, settings)
        if on_gpu:
            assert_frames_close(drawn, wanted, *((EXACT,) if real else (IMAGE, DEPTH)))
        else:
            assert_frames_equal(drawn, wanted)
        expected = gradients(plain, camera, settings)
        actual = gradients(idle, camera, settings)
        for name in ("means", "quats", "scales", "opacities", "sh", "world_to_camera"):
            assert relative_error(actual[name], expected[name]) <= limit, name
        assert not actual["frequencies"].any()


@DTYPES
def test_cameras_are_independent(waves: int, dtype: torch.dtype, device: torch.device):
    splats, _ = scene(40, waves, dtype, device)
    cameras = [synthetic.camera(centre=(x, 0.5), dtype=dtype).to(device) for x in (0.2, 0.5, 0.9)]

    def draw(views: list[Camera]) -> tuple[Tensor, Tensor]:
        colors, alphas, _ = rasterized(splats, views, render_mode="RGB+ED")
        return colors, alphas

    together = draw(cameras)
    for index, camera in enumerate(cameras):
        for all_views, one_view in zip(together, draw([camera]), strict=True):
            assert torch.equal(all_views[index], one_view[0])


@DTYPES
def test_the_compatible_face_draws_the_same_picture(
    waves: int, dtype: torch.dtype, device: torch.device
):
    splats, camera = scene(40, waves, dtype, device)
    colors, alphas, _ = rasterized(splats, [camera], render_mode="RGB+ED")
    frame = render(splats, camera)
    assert torch.equal(colors[0, ..., :3], frame.color)
    assert torch.equal(alphas[0, ..., 0], frame.alpha)
    assert torch.allclose(colors[0, ..., 3], frame.depth, rtol=1e-5)


@DTYPES
@pytest.mark.usefixtures("threads")
def test_the_number_of_threads_changes_no_bit(
    waves: int, dtype: torch.dtype, device: torch.device, request: pytest.FixtureRequest
):
    view = synthetic.camera((130, 70))
    splats = synthetic.cloud(300, waves, degree=1, view=view, dtype=dtype).to(device)
    camera = view.to(dtype).to(device)
    results = []
    for count in (1, 2, 3):
        _native.cpu.set_threads(count)
        assert _native.cpu.threads() == count
        frame = render(splats, camera)
        results.append((frame, gradients(splats, camera, RenderSettings())))
    for frame, gradient in results[1:]:
        assert_frames_equal(frame, results[0][0])
        for name, tensor in results[0][1].items():
            assert relative_error(gradient[name], tensor) <= sums_limit(request, dtype), name


def test_renders_from_several_python_threads_do_not_disturb_each_other(
    waves: int, device: torch.device
):
    scenes = [scene(10 + 30 * n, waves, torch.float32, device) for n in range(4)]
    expected = [render(*one) for one in scenes]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for alone, frame in zip(
                expected, pool.map(lambda one: render(*one), scenes), strict=True
            ):
                assert_frames_equal(frame, alone)


@DTYPES
def test_turning_the_world_turns_nothing_in_the_picture(
    waves: int, dtype: torch.dtype, device: torch.device
):
    """Moving splats and camera together; with constant colours, for harmonics do not turn."""
    splats = synthetic.cloud(40, waves, seed=8)
    camera = synthetic.camera()
    half = 0.35
    turn = synthetic.real(
        [math.cos(2 * half), -math.sin(2 * half), 0.0],
        [math.sin(2 * half), math.cos(2 * half), 0.0],
        [0.0, 0.0, 1.0],
    )
    w, x, y, z = splats.quats.unbind(dim=1)
    c, s = math.cos(half), math.sin(half)  # (c, 0, 0, s) times (w, x, y, z)
    quats = torch.stack([c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w], dim=1)
    turned = replace(splats, means=splats.means @ turn.T, quats=quats)
    pose = camera.world_to_camera.clone()
    pose[:3, :3] = pose[:3, :3] @ turn.T
    there = replace(camera, world_to_camera=pose)
    expected = render(splats.to(dtype).to(device), camera.to(dtype).to(device))
    actual = render(turned.to(dtype).to(device), there.to(dtype).to(device))
    limit = 1e-4 if dtype == torch.float32 else 1e-9
    far = (actual.color - expected.color).abs() > limit
    assert int(far.sum()) <= (4 if dtype == torch.float32 else 0)


def test_wave_counts_that_are_not_compiled_are_refused():
    assert 3 not in WAVE_COUNTS
    with pytest.raises(ValueError, match="not 3"):
        synthetic.cloud(2, 3)


def test_a_forked_process_draws_too(device: torch.device):
    splats, camera = scene(30, 1, torch.float32, device)
    expected = render(splats, camera).color
    child = os.fork()
    if child == 0:  # none of the threads that drew above live here
        same = False
        try:
            same = torch.equal(render(splats, camera).color, expected)
        finally:
            os._exit(0 if same else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
