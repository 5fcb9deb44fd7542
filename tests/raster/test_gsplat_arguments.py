"""What `rasterization` takes and refuses, and what `info` says of splats that are not seen."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import synthetic
import torch
from drawing import rasterized
from torch import Tensor

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.gsplat_api.rasterization import rasterization
from gaborsplat.renderer.raster.render import render, render_bytes
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.training import TrainConfig

pytestmark = pytest.mark.usefixtures("device")


REAL = (torch.float32, torch.float64)
WHOLE = [int, float, np.int64, np.uint16, np.float32, np.array, torch.tensor]
NUMBERS = [float, np.float32, np.float64, np.array, torch.tensor]


def drawn(waves: int = 0, dtype: torch.dtype = torch.float32, **options: Any) -> Tensor:
    splats = synthetic.cloud(5, waves, dtype=dtype)
    return rasterized(splats, [synthetic.camera(dtype=dtype)], **options)[0]


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("mode", ["RGB", "RGB+D", "RGB+ED", "D", "ED"])
@pytest.mark.parametrize(
    ("backgrounds", "message"),
    [
        (torch.zeros(3), r"backgrounds must have shape \(1, 3\), not \(3,\)"),
        (torch.zeros(2, 3), r"backgrounds must have shape \(1, 3\), not \(2, 3\)"),
        (torch.zeros(1, 4), r"backgrounds must have shape \(1, 3\), not \(1, 4\)"),
        (torch.zeros(1, 3).half(), r"backgrounds is torch.float16 .*, but means is"),
        (torch.zeros(1, 3, device="meta"), r"backgrounds is .* on meta, but means is"),
        ([0.0, 0.0, 0.0], r"backgrounds must be a torch.Tensor, not list"),
    ],
)
def test_backgrounds_that_do_not_fit_are_refused(
    backgrounds: Any, message: str, mode: str, dtype: torch.dtype
):
    if isinstance(backgrounds, Tensor) and backgrounds.dtype == torch.float32:
        backgrounds = backgrounds.to(dtype)
    with pytest.raises(ValueError, match=message):
        drawn(dtype=dtype, backgrounds=backgrounds, render_mode=mode)


@pytest.mark.parametrize("kind", WHOLE, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_whole_numbers_of_any_kind_are_taken(kind: Any, waves: int):
    width, height = synthetic.SIZE
    expected = drawn(waves)
    options = {"width": kind(width), "height": kind(height), "sh_degree": kind(0)}
    camera, splats = synthetic.camera(dtype=torch.float32), synthetic.cloud(5, waves)
    splats = splats.to(torch.float32)
    found = rasterization(
        *(splats.means, splats.quats, splats.scales, splats.opacities, splats.sh),
        camera.world_to_camera[None],
        camera.intrinsics[None],
        tile_size=kind(16),
        gabor=(splats.frequencies, splats.coefficients),
        **options,
    )[0]
    assert torch.equal(found, expected)


@pytest.mark.parametrize("kind", NUMBERS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_numbers_of_any_kind_are_taken(kind: Any):
    options = {"near_plane": 2.5, "far_plane": 5.0, "radius_clip": 1.0, "eps2d": 0.5}
    expected = drawn(**options)
    assert not torch.equal(expected, drawn())
    found = drawn(**{name: kind(value) for name, value in options.items()})
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", ["width", "height", "sh_degree"])
@pytest.mark.parametrize(
    "value",
    [40.5, -1, 2**31, math.nan, math.inf, "40", True, torch.ones(2), np.ones(1), torch.tensor(0.5)],
    ids=str,
)
def test_what_is_no_whole_number_is_refused_in_one_line(name: str, value: Any):
    splats, camera = synthetic.cloud(5, 0), synthetic.camera()
    options: dict[str, Any] = {"width": 40, "height": 28, "sh_degree": 0} | {name: value}
    geometry = (splats.means, splats.quats, splats.scales, splats.opacities, splats.sh)
    views = (camera.world_to_camera[None], camera.intrinsics[None])
    with pytest.raises(ValueError, match=f"^rasterization: {name} must be a whole number.*$"):
        rasterization(*geometry, *views, **options)


@pytest.mark.parametrize("name", ["near_plane", "far_plane", "radius_clip", "eps2d"])
@pytest.mark.parametrize("value", [math.nan, "1", None, torch.ones(2), True, 1j], ids=str)
def test_what_is_no_number_is_refused_in_one_line(name: str, value: Any):
    with pytest.raises(ValueError, match=f"^rasterization: {name} must be a number, not .*$"):
        drawn(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "only"),
    [
        ("tile_size", 8, "16"),
        ("tile_size", torch.ones(2), "16"),
        ("tile_size", np.full(2, 16), "16"),
        ("tile_size", torch.ones((), device="meta"), "16"),
        ("with_ut", np.zeros(3, bool), "False"),
        ("camera_model", np.array(["pinhole", "pinhole"]), "'pinhole'"),
        ("camera_model", torch.tensor(1), "'pinhole'"),
        ("ftheta_coeffs", np.zeros(4), "None"),
        ("rolling_shutter", np.array([1, 2]), "'GLOBAL'"),
        ("rolling_shutter", False, "'GLOBAL'"),
        ("sparse_grad", True, "False"),
        ("distributed", True, "False"),
        ("camera_model", "fisheye", "'pinhole'"),
        ("covars", torch.zeros(5, 3, 3), "None"),
        ("with_ut", True, "False"),
        ("with_eval3d", True, "False"),
        ("radial_coeffs", torch.zeros(1, 6), "None"),
        ("rolling_shutter", "ROLLING_TOP_TO_BOTTOM", "'GLOBAL'"),
        ("viewmats_rs", torch.zeros(1, 4, 4), "None"),
    ],
)
def test_options_that_we_do_not_have_are_named_with_rule_and_value(
    name: str, value: Any, only: str
):
    shape = getattr(value, "shape", ())
    shown = f"{type(value).__name__} of shape.*{shape[-1]}" if shape else re.escape(repr(value))
    rule = f"^rasterization: {name} is not supported: it must be {only}, not {shown}.*$"
    with pytest.raises(ValueError, match=rule):
        drawn(**{name: value})


@pytest.mark.parametrize("name", ["render_mode", "rasterize_mode"])
@pytest.mark.parametrize("value", ["RGBD", None, torch.ones(2)], ids=str)
def test_choices_are_named_where_there_is_no_such_one(name: str, value: Any):
    with pytest.raises(ValueError, match=f"^rasterization: {name} is .*; known are .*$"):
        drawn(**{name: value})


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("means", lambda it: it[None], r"quats must have shape \(1, 5, 4\), not \(5, 4\)"),
        ("viewmats", lambda it: it[None], r"viewmats must have shape \(1, 4, 4\), not \(1, 1, 4"),
        ("means", lambda it: it[0, 0], r"means must have shape"),
        ("viewmats", lambda it: it[0], r"viewmats must have shape"),
        ("colors", lambda it: it.to("meta"), r"colors is .* on meta, but means is .* on cpu"),
        ("colors", lambda it: it.half(), r"colors is torch.float16"),
        ("colors", lambda it: it.tolist(), r"colors must be a torch.Tensor, not list"),
        ("scales", lambda it: it.numpy(), r"scales must be a torch.Tensor, not ndarray"),
        ("quats", lambda it: None, r"quats must be a torch.Tensor, not NoneType"),
        ("gabor", lambda it: it[0], r"gabor must be a pair"),
        ("gabor", lambda it: (it[0], None), r"gabor coefficients must be a torch.Tensor"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_in_one_line(
    name: str, change: Any, message: str, dtype: torch.dtype
):
    splats, camera = synthetic.cloud(5, 1, dtype=dtype), synthetic.camera(dtype=dtype)
    given: dict[str, Any] = {
        **{each: splats.tensors()[each] for each in ("means", "quats", "scales", "opacities")},
        "colors": torch.rand(5, 7, dtype=dtype),
        "viewmats": camera.world_to_camera[None],
        "Ks": camera.intrinsics[None],
        "gabor": (splats.frequencies, splats.coefficients),
    }
    assert rasterization(**given, width=40, height=28)[0].shape == (1, 28, 40, 7)
    prefix = "" if " is " in message else "rasterization: "  # what every renderer checks
    with pytest.raises(ValueError, match=f"^{prefix}[^\n]*{message}[^\n]*$"):
        rasterization(**(given | {name: change(given[name])}), width=40, height=28)


@pytest.mark.parametrize("value", [3, 0, "classic", {}])
def test_settings_of_another_type_are_refused_in_one_line(value: Any):
    rule = f"^rasterization: settings must be a RenderSettings, not {type(value).__name__}$"
    with pytest.raises(ValueError, match=rule):
        drawn(settings=value)


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
