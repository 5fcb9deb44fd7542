"""What `rasterization` takes and refuses, and what `info` says of splats that are not seen."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import synthetic
import torch
from drawing import rasterized
from torch import Tensor

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.render import render, render_bytes
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.training import TrainConfig

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize(
    ("backgrounds", "message"),
    [
        (torch.zeros(3), r"backgrounds must have shape \(1, 3\), not \(3,\)"),
        (torch.zeros(2, 3), r"backgrounds must have shape \(1, 3\), not \(2, 3\)"),
        (torch.zeros(1, 4), r"backgrounds must have shape \(1, 3\), not \(1, 4\)"),
        (torch.zeros(1, 3).double(), r"backgrounds is torch.float64 .*, but means is"),
    ],
)
def test_backgrounds_that_do_not_fit_are_refused(backgrounds: Tensor, message: str):
    splats = synthetic.cloud(5, 0, dtype=torch.float32)
    with pytest.raises(ValueError, match=message):
        rasterized(splats, [synthetic.camera(dtype=torch.float32)], backgrounds=backgrounds)


@pytest.mark.parametrize("packed", [False, True])
def test_a_splat_without_a_colour_has_no_radius(packed: bool):
    splats = synthetic.cloud(5, 0, degree=1, dtype=torch.float32)
    splats.sh[2, 1] = math.inf
    _, _, info = rasterized(splats, [synthetic.camera(dtype=torch.float32)], packed=packed)
    seen = (info["radii"] > 0).all(dim=-1)
    ids = info["gaussian_ids"] if packed else torch.nonzero(seen[0]).squeeze(-1)
    assert seen.any()
    assert 2 not in ids.tolist()


def test_a_camera_may_lie_in_memory_as_an_inverse_does():
    splats = synthetic.cloud(20, 1, dtype=torch.float32)
    camera = synthetic.camera(dtype=torch.float32)
    turned = Camera(
        torch.linalg.inv(torch.linalg.inv(camera.world_to_camera).contiguous()),
        camera.intrinsics.T.contiguous().T,
        camera.size,
    )
    pose = turned.world_to_camera.contiguous()
    plain = replace(turned, world_to_camera=pose, intrinsics=camera.intrinsics)
    assert torch.equal(render(splats, turned).color, render(splats, plain).color)


@pytest.mark.parametrize("settings", [RenderSettings, TrainConfig])
def test_a_background_is_any_three_numbers(settings: type[RenderSettings | TrainConfig]):
    expected = settings(background=(1.0, 0.5, 0.0))
    for three in ([1, 0.5, 0], torch.tensor([1.0, 0.5, 0.0]), torch.tensor([1, 0.5, 0]).numpy()):
        assert settings(background=three) == expected  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="background must be 3 numbers, RGB, not 2"):
        settings(background=(1.0, 0.5))  # pyright: ignore[reportArgumentType]


def test_pictures_made_in_inference_mode_leave_nothing_behind_that_others_cannot_use():
    splats, camera = (
        synthetic.cloud(20, 1, dtype=torch.float32),
        synthetic.camera().to(torch.float32),
    )
    with torch.inference_mode():
        expected = render_bytes(splats, camera).clone()
    assert torch.equal(render_bytes(splats, camera), expected)
    live = splats.map(lambda tensor: tensor.detach().clone().requires_grad_())
    render(live, camera).color.sum().backward()
    with torch.inference_mode():
        assert torch.equal(render_bytes(splats, camera), expected)
