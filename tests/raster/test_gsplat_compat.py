"""`rasterization` stands in for gsplat's: same signature, same `info`, same strategies."""

from __future__ import annotations

import ast
import copy
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import synthetic
import torch
from drawing import rasterized
from torch import Tensor

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.gsplat_api import info as compat_info
from gaborsplat.renderer.gsplat_api.rasterization import rasterization
from gaborsplat.renderer.reference import project_reference, render_reference
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats

pytestmark = pytest.mark.usefixtures("device")

WIDTH, HEIGHT = synthetic.SIZE
INFO_KEYS = {
    *("batch_ids", "camera_ids", "gaussian_ids", "radii", "means2d", "depths", "conics"),
    *("opacities", "tile_width", "tile_height", "tiles_per_gauss", "isect_ids", "flatten_ids"),
    *("isect_offsets", "width", "height", "tile_size", "n_batches", "n_cameras"),
}
CAMERAS = [synthetic.camera(), synthetic.camera(centre=(0.7, 0.2))]
CAMERAS = [camera.to(torch.float32) for camera in CAMERAS]


def gsplat_source() -> ast.Module:
    """gsplat's rendering.py, read and not run: importing it may look for CUDA."""
    spec = importlib.util.find_spec("gsplat")
    assert spec is not None
    assert spec.origin is not None
    return ast.parse((Path(spec.origin).parent / "rendering.py").read_text(encoding="utf-8"))


def draw(
    splats: Splats, cameras: list[Camera] = CAMERAS, **options: Any
) -> tuple[Tensor, Tensor, MutableMapping[str, Any]]:
    """In all cameras."""
    return rasterized(splats, cameras, **options)


def test_the_signature_begins_with_gsplats():
    functions = [node for node in gsplat_source().body if isinstance(node, ast.FunctionDef)]
    theirs = next(node for node in functions if node.name == "rasterization").args
    names = [argument.arg for argument in theirs.args]
    defaults = dict(zip(reversed(names), reversed(theirs.defaults), strict=False))
    ours = inspect.signature(rasterization).parameters
    assert list(ours)[: len(names)] == names
    for name in names:
        if name not in defaults:
            assert ours[name].default is inspect.Parameter.empty, name
        elif isinstance(defaults[name], ast.Constant):
            assert ours[name].default == ast.literal_eval(defaults[name]), name
            assert type(ours[name].default) is type(ast.literal_eval(defaults[name])), name
    for name in list(ours)[len(names) :]:
        assert ours[name].default is not inspect.Parameter.empty, name


def test_info_has_the_keys_that_gsplat_gives():
    updates = [
        {ast.literal_eval(key) for key in node.args[0].keys if key is not None}
        for function in gsplat_source().body
        if isinstance(function, ast.FunctionDef) and function.name == "rasterization"
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "meta.update"
        and isinstance(node.args[0], ast.Dict)
    ]
    assert set().union(*updates) == INFO_KEYS
    for packed in (True, False):
        assert set(draw(synthetic.cloud(9, 1).to(torch.float32), packed=packed)[2]) == INFO_KEYS


def test_what_info_finds_when_it_is_asked_is_there_however_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
):
    splats = synthetic.cloud(9, 0).to(torch.float32)
    expected = draw(splats, packed=False)[2]["isect_ids"]

    def found(look: Callable[[MutableMapping[str, Any]], Any]) -> Any:
        return look(draw(splats, packed=False)[2])

    assert torch.equal(found(lambda info: info.get("isect_ids")), expected)
    assert torch.equal(found(lambda info: dict(info)["isect_ids"]), expected)
    assert torch.equal(found(lambda info: {**info}["isect_ids"]), expected)
    assert torch.equal(found(lambda info: dict(info.items())["isect_ids"]), expected)
    assert torch.equal(found(lambda info: info.pop("isect_ids")), expected)
    assert torch.equal((found(lambda info: info | {"isect_offsets": 1}))["isect_ids"], expected)
    assert torch.equal(found(copy.copy)["isect_ids"], expected)
    assert found(lambda info: [id(v) for v in info.values()] == [id(info[k]) for k in info])
    assert found(lambda info: info.get("nothing", 3)) == 3
    assert found(lambda info: [info.update(isect_ids=7), info["isect_ids"]][1]) == 7
    assert not found(lambda info: [info.pop("isect_ids"), "isect_ids" in info][1])

    def refuse(*_: object) -> None:
        raise AssertionError("nobody asked for it")

    monkeypatch.setattr(compat_info, "_sort_keys", refuse)
    colors, _, info = draw(splats, packed=False)
    assert colors.any()
    assert info["radii"].any()


def test_info_has_gsplats_shapes_and_types():
    splats = synthetic.cloud(15, 2).to(torch.float32)
    tall, wide = -(-HEIGHT // 16), -(-WIDTH // 16)
    colors, alphas, info = draw(splats, packed=False)
    assert colors.shape == (2, HEIGHT, WIDTH, 3)
    assert alphas.shape == (2, HEIGHT, WIDTH, 1)
    shapes = {"radii": (2,), "means2d": (2,), "depths": (), "conics": (3,), "opacities": ()}
    for name, shape in shapes.items():
        assert info[name].shape == (2, 15, *shape), name
    assert info["tiles_per_gauss"].shape == (2, 15)
    assert info["batch_ids"] is info["camera_ids"] is info["gaussian_ids"] is None
    seen = int((info["radii"] > 0).all(dim=-1).sum())

    packed = draw(splats, packed=True)[2]
    for name, shape in shapes.items():
        assert packed[name].shape == (seen, *shape), name
    for name in ("batch_ids", "camera_ids", "gaussian_ids"):
        assert packed[name].shape == (seen,), name
        assert packed[name].dtype == torch.int64, name
    assert packed["tiles_per_gauss"].shape == (seen,)
    for one in (info, packed):
        assert one["isect_offsets"].shape == (2, tall, wide)
        assert (one["tile_width"], one["tile_height"], one["tile_size"]) == (wide, tall, 16)
        assert (one["width"], one["height"]) == synthetic.SIZE
        assert (one["n_batches"], one["n_cameras"]) == (1, 2)
        for name in ("radii", "tiles_per_gauss", "flatten_ids", "isect_offsets"):
            assert one[name].dtype == torch.int32, name
        assert one["isect_ids"].dtype == torch.int64


@pytest.mark.parametrize("packed", [True, False])
def test_intersections_are_sorted_by_camera_tile_and_depth(packed: bool):
    info = draw(synthetic.cloud(30, 1).to(torch.float32), packed=packed)[2]
    ids, flat = info["isect_ids"], info["flatten_ids"].long()
    assert len(ids) == len(flat) == int(info["tiles_per_gauss"].sum()) > 30
    assert (ids[1:] >= ids[:-1]).all()
    tiles = info["tile_width"] * info["tile_height"]
    bits = tiles.bit_length()
    camera, tile = ids >> (32 + bits), (ids >> 32) & ((1 << bits) - 1)
    depths = info["depths"].flatten()[flat]
    assert torch.equal(ids & 0xFFFFFFFF, depths.view(torch.int32).long())
    owner = info["camera_ids"][flat] if packed else flat // 30
    assert torch.equal(camera, owner)
    counts = torch.bincount(camera * tiles + tile, minlength=2 * tiles)
    assert torch.equal(info["isect_offsets"].flatten().long(), counts.cumsum(0) - counts)


@pytest.mark.parametrize("antialiased", [False, True])
def test_info_holds_the_projection(antialiased: bool):
    splats = synthetic.cloud(20)
    mode = "antialiased" if antialiased else "classic"
    info = draw(splats, [camera.to(torch.float64) for camera in CAMERAS], rasterize_mode=mode)[2]
    settings = RenderSettings(antialiased=antialiased)
    for index, camera in enumerate(CAMERAS):
        expected = project_reference(splats, camera.to(torch.float64), settings)
        rows = {int(id_): row for row, id_ in enumerate(expected.ids)}
        mine = info["camera_ids"] == index
        order = torch.tensor([rows[int(id_)] for id_ in info["gaussian_ids"][mine]])
        conics = torch.linalg.inv(expected.covariances[order])
        triangle = torch.stack([conics[:, 0, 0], conics[:, 0, 1], conics[:, 1, 1]], dim=1)
        torch.testing.assert_close(info["means2d"][mine], expected.means[order])
        torch.testing.assert_close(info["depths"][mine], expected.depths[order])
        torch.testing.assert_close(info["conics"][mine], triangle)
        torch.testing.assert_close(info["opacities"][mine], expected.opacities[order])


@pytest.mark.filterwarnings("ignore")
def test_the_projection_is_gsplats():
    from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci

    assert "gsplat.cuda._backend" not in sys.modules, "importing gsplat must not build CUDA code"
    splats, cameras = synthetic.cloud(25), [camera.to(torch.float64) for camera in CAMERAS]
    covariances, _ = _quat_scale_to_covar_preci(splats.quats, splats.scales, True, False)
    poses = torch.stack([camera.world_to_camera for camera in cameras])
    intrinsics = torch.stack([camera.intrinsics for camera in cameras])
    _, means2d, depths, conics, compensations = _fully_fused_projection(
        splats.means, covariances, poses, intrinsics, WIDTH, HEIGHT, calc_compensations=True
    )
    info = draw(splats, cameras, packed=False, rasterize_mode="antialiased")[2]
    seen = (info["radii"] > 0).all(dim=-1)
    assert int(seen.sum()) > 30
    torch.testing.assert_close(info["means2d"][seen], means2d[seen])
    torch.testing.assert_close(info["depths"][seen], depths[seen])
    torch.testing.assert_close(info["conics"][seen], conics[seen])
    opacities = compensations * splats.opacities
    torch.testing.assert_close(info["opacities"][seen], opacities[seen])


@pytest.mark.parametrize("mode", ["RGB", "D", "ED", "RGB+D", "RGB+ED"])
def test_render_modes_append_depth(mode: str):
    splats, view = synthetic.cloud(15, 1), synthetic.camera()
    background = synthetic.real([0.2, 0.4, 0.6])
    planes, alphas, _ = draw(splats, [view], render_mode=mode, backgrounds=background)
    settings = RenderSettings(background=(0.2, 0.4, 0.6))
    frame = render_reference(splats, view, settings)
    total = frame.depth * frame.alpha
    depth = [total] if mode in ("D", "RGB+D") else [frame.depth] if "ED" in mode else []
    color = [*frame.color.unbind(dim=-1)] if "RGB" in mode else []
    expected = torch.stack([*color, *depth], dim=-1)
    assert (planes[0] - expected).abs().max() < 1e-9
    assert (alphas[0, ..., 0] - frame.alpha).abs().max() < 1e-9


def test_many_channels_are_drawn_in_chunks():
    splats = synthetic.cloud(10)
    features = torch.rand(10, 40, dtype=torch.float64)
    view = [synthetic.camera()]
    planes, alphas, _ = draw(splats, view, colors=features, sh_degree=None)
    for start in (0, 13, 37):
        part = features[:, start : start + 3]
        some, same, _ = draw(splats, view, colors=part, sh_degree=None)
        assert torch.equal(planes[..., start : start + 3], some)
        assert torch.equal(alphas, same)


def test_small_splats_can_be_skipped():
    splats = synthetic.cloud(30).to(torch.float32)
    everything = draw(splats)[2]
    clipped = draw(splats, radius_clip=9.0)[2]
    assert 0 < len(clipped["gaussian_ids"]) < len(everything["gaussian_ids"])
    again = draw(splats)[2]
    assert torch.equal(again["gaussian_ids"], everything["gaussian_ids"])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("distributed", True),
        ("camera_model", "fisheye"),
        ("camera_model", "ortho"),
        ("camera_model", "ftheta"),
        ("covars", torch.eye(3).expand(5, 3, 3)),
        ("with_ut", True),
        ("with_eval3d", True),
        ("radial_coeffs", torch.zeros(2, 6)),
        ("tangential_coeffs", torch.zeros(2, 2)),
        ("thin_prism_coeffs", torch.zeros(2, 4)),
        ("ftheta_coeffs", object()),
        ("viewmats_rs", torch.eye(4).expand(2, 4, 4)),
        ("render_mode", "normals"),
        ("rasterize_mode", "blurred"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(option: str, value: object):
    with pytest.raises(ValueError, match=option):
        draw(synthetic.cloud(5).to(torch.float32), **{option: value})


def test_options_that_change_nothing_are_accepted():
    from gsplat import RollingShutterType

    splats = synthetic.cloud(9, 1).to(torch.float32)
    options = {"segmented": True, "channel_chunk": 2, "rolling_shutter": RollingShutterType.GLOBAL}
    assert torch.equal(draw(splats, **options)[0], draw(splats)[0])


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("n", [0, 5])
def test_a_view_without_splats_is_the_background(n: int, packed: bool):
    splats = synthetic.cloud(n, 1).to(torch.float32)
    away = replace(splats, means=splats.means - 100 * CAMERAS[0].world_to_camera[2, :3])
    background = torch.tensor([[0.25, 0.5, 0.75]])
    leaves = away.map(lambda tensor: tensor.requires_grad_())
    colors, alphas, info = draw(leaves, CAMERAS[:1], backgrounds=background, packed=packed)
    assert torch.equal(colors, background.expand_as(colors))
    assert not alphas.any()
    assert len(info["isect_ids"]) == 0
    info["means2d"].retain_grad()
    colors.sum().backward()
    assert not info["means2d"].grad.any()


@pytest.mark.parametrize("packed", [True, False])
def test_density_control_sees_the_gradient_of_the_envelope_only(packed: bool):
    """The phase stays where it is while the envelope moves: docs/mathematics.md, section 4."""
    splats, view = synthetic.cloud(12, 2, seed=3), synthetic.camera()
    settings = RenderSettings()
    weights = torch.randn(HEIGHT, WIDTH, 3, dtype=torch.float64)

    colors, _, info = draw(splats.map(lambda t: t.requires_grad_()), [view], packed=packed)
    info["means2d"].retain_grad()
    (colors[0] * weights).sum().backward()
    expected = envelope_gradient(splats.detach(), view, settings, weights)
    if packed:
        actual = torch.zeros_like(expected).index_copy(
            0, info["gaussian_ids"], info["means2d"].grad
        )
    else:
        actual = info["means2d"].grad[0]
    assert expected.abs().max() > 0
    assert (actual - expected).abs().max() < 1e-9 * expected.abs().max()


def envelope_gradient(
    splats: Splats, view: Camera, settings: RenderSettings, weights: Tensor
) -> Tensor:
    """[N, 2] gradient in the projected centres of the envelopes, with every wave held still."""
    from gaborsplat.renderer import reference

    projected = project_reference(splats, view, settings)
    still = projected.means.clone()
    moving = projected.means.clone().requires_grad_()
    original = reference.weight_gabor

    def held(parts: reference.ProjectedSplats, offsets: Tensor) -> Tensor:
        shifted = offsets + (parts.means - still)
        bank = original(parts, shifted) / reference.weight_gaussian(parts, shifted)
        return reference.weight_gaussian(parts, offsets) * bank.detach()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "weight_gabor", held)
        shares, _ = reference.blending_weights(
            replace(projected, means=moving), view.size, settings
        )
    ((shares @ projected.colors) * weights).sum().backward()
    assert moving.grad is not None
    return torch.zeros(len(splats), 2, dtype=torch.float64).index_copy(
        0, projected.ids, moving.grad
    )


def test_absolute_gradients_bound_the_signed_ones():
    splats = synthetic.cloud(12, 1).map(lambda t: t.requires_grad_())
    colors, _, info = draw(splats, [synthetic.camera()], absgrad=True, packed=False)
    info["means2d"].retain_grad()
    (colors * torch.randn_like(colors)).sum().backward()
    signed, absolute = info["means2d"].grad, info["means2d"].absgrad
    assert absolute.shape == signed.shape
    assert (absolute >= signed.abs() - 1e-12).all()
    assert (absolute > 2 * signed.abs()).any()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("absgrad", [True, False])
def test_gsplats_own_strategy_fits_a_picture(packed: bool, absgrad: bool):
    from gsplat.strategy import DefaultStrategy

    assert "gsplat.cuda._backend" not in sys.modules, "importing gsplat must not build CUDA code"
    with torch.no_grad():
        target, _, _ = draw(synthetic.cloud(40, 0, seed=1).to(torch.float32))
    start = synthetic.cloud(20, 2, seed=2).to(torch.float32)
    params = raw_parameters(start)
    optimizers = {name: torch.optim.Adam([param], lr=0.01) for name, param in params.items()}
    strategy = DefaultStrategy(
        grow_grad2d=2e-4,
        refine_start_iter=10,
        refine_every=10,
        reset_every=10**6,
        absgrad=absgrad,
    )
    strategy.check_sanity(params, optimizers)
    state = strategy.initialize_state(scene_scale=10.0)
    losses = []
    for step in range(60):
        colors, _, info = draw(activated(params), packed=packed, absgrad=absgrad)
        loss = (colors - target).abs().mean()
        strategy.step_pre_backward(params, optimizers, state, step, info)
        loss.backward()
        for optimizer in optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        strategy.step_post_backward(params, optimizers, state, step, info, packed=packed)
        losses.append(loss.item())
    assert len(params["means"]) > 20
    assert losses[-1] < 0.8 * losses[0]


def raw_parameters(splats: Splats) -> dict[str, torch.nn.Parameter]:
    """What is optimised, by gsplat's names."""
    raw = splats.tensors() | {
        "scales": splats.scales.log(),
        "opacities": splats.opacities.logit(),
    }
    return {name: torch.nn.Parameter(tensor) for name, tensor in raw.items()}


def activated(params: Mapping[str, Tensor]) -> Splats:
    """The cloud that the parameters stand for."""
    return Splats(
        **dict(params)
        | {"scales": params["scales"].exp(), "opacities": params["opacities"].sigmoid()}
    )
