"""Batch dimensions of `rasterization`: the bits of each scene alone, and gsplat's `info`."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, NamedTuple

import pytest
import synthetic
import torch
from torch import Tensor

from gaborsplat.renderer.gsplat_api.rasterization import rasterization
from gaborsplat.renderer.splats import GaborWaves

pytestmark = pytest.mark.usefixtures("device")

N, C = 14, 2
WIDTH, HEIGHT = synthetic.SIZE
DIMS = [(1,), (3,), (2, 2)]
LEAVES = (
    *("means", "quats", "scales", "opacities", "colors", "viewmats", "backgrounds"),
    *("frequencies", "coefficients"),
)
ROWS = ("radii", "means2d", "depths", "conics", "opacities", "tiles_per_gauss")


class Drawn(NamedTuple):
    """What came of a call, and the gradients of what it was given."""

    colors: Tensor
    alphas: Tensor
    info: MutableMapping[str, Any]
    gradients: dict[str, Tensor]


def scene(seed: int, waves: int, kind: str) -> dict[str, Tensor]:
    """Arguments for one scene and cameras of its own."""
    splats = synthetic.cloud(N, waves, degree=1, seed=seed)
    cameras = [synthetic.camera(centre=(0.3 + 0.1 * seed + 0.2 * c, 0.5)) for c in range(C)]
    colors = {
        "harmonics": splats.sh,
        "harmonics of each camera": torch.rand(C, N, 4, 3, dtype=torch.float64),
        "values": torch.rand(N, 5, dtype=torch.float64),
        "values of each camera": torch.rand(C, N, 5, dtype=torch.float64),
    }[kind]
    return {
        **{name: tensor for name, tensor in splats.tensors().items() if name != "sh"},
        "colors": colors,
        "viewmats": torch.stack([camera.world_to_camera for camera in cameras]),
        "Ks": torch.stack([camera.intrinsics for camera in cameras]),
        "backgrounds": torch.rand(C, colors.shape[-1], dtype=torch.float64),
    }


def batch_of(scenes: Sequence[dict[str, Tensor]], dims: tuple[int, ...]) -> dict[str, Tensor]:
    """Their arguments with batch dimensions."""
    return {
        name: torch.stack([one[name] for one in scenes]).unflatten(0, dims) for name in scenes[0]
    }


def draw(given: dict[str, Tensor], weights: Sequence[Tensor], **options: Any) -> Drawn:
    """Both images weighted and differentiated."""
    leaves = {name: given[name].clone().requires_grad_() for name in LEAVES}
    arguments: dict[str, Any] = given | leaves
    waves = GaborWaves(arguments.pop("frequencies"), arguments.pop("coefficients"))
    colors, alphas, info = rasterization(
        **arguments,
        width=WIDTH,
        height=HEIGHT,
        gabor=waves if waves.frequencies.shape[-2] else None,
        absgrad=True,
        **options,
    )
    info["means2d"].retain_grad()
    ((colors * weights[0]).sum() + (alphas * weights[1]).sum()).backward()
    gradients = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    return Drawn(colors.detach(), alphas.detach(), info, gradients)


@pytest.mark.parametrize("waves", [0, 2])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dims", DIMS, ids=str)
@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("harmonics", "RGB"),
        ("harmonics", "RGB+ED"),
        ("harmonics of each camera", "RGB"),
        ("values", "RGB+D"),
        ("values of each camera", "RGB"),
        ("values", "ED"),
    ],
)
def test_a_batch_is_drawn_as_its_scenes_are_one_by_one(
    kind: str, mode: str, dims: tuple[int, ...], packed: bool, waves: int
):
    scenes = [scene(seed, waves, kind) for seed in range(torch.Size(dims).numel())]
    options: dict[str, Any] = {
        "render_mode": mode,
        "packed": packed,
        "sh_degree": 1 if "harmonics" in kind else None,
    }
    channels = {"ED": 1, "RGB": 0, "RGB+D": 1, "RGB+ED": 1}[mode]
    channels += scenes[0]["colors"].shape[-1] if "RGB" in mode else 0
    weights = [torch.randn(len(scenes), C, HEIGHT, WIDTH, d).double() for d in (channels, 1)]
    each = [
        draw(one, [weight[index] for weight in weights], **options)
        for index, one in enumerate(scenes)
    ]
    whole = draw(batch_of(scenes, dims), [w.unflatten(0, dims) for w in weights], **options)
    for name in ("colors", "alphas"):
        expected = torch.stack([getattr(one, name) for one in each]).unflatten(0, dims)
        assert expected.any(), name
        assert torch.equal(getattr(whole, name), expected), name
    assert set(whole.gradients) == set(each[0].gradients) >= {"means", "quats", "scales"}
    assert waves == 0 or "frequencies" in whole.gradients
    for name, gradient in whole.gradients.items():
        expected = torch.stack([one.gradients[name] for one in each]).unflatten(0, dims)
        assert torch.equal(gradient, expected), name
    assert whole.gradients["viewmats"].any()
    check_info(whole.info, [one.info for one in each], dims, packed=packed)


def check_info(
    whole: MutableMapping[str, Any],
    each: Sequence[MutableMapping[str, Any]],
    dims: tuple[int, ...],
    *,
    packed: bool,
) -> None:
    """That of a batch is that of its scenes: rows behind each other if packed, else stacked."""

    def together(of_each: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(of_each)) if packed else torch.stack(list(of_each)).unflatten(0, dims)

    assert {*whole} == {*each[0]}
    assert whole["n_batches"] == len(each)
    for name in ROWS:
        assert torch.equal(whole[name], together([one[name] for one in each])), name
    for name in ("grad", "absgrad"):
        found, expected = (getattr(info["means2d"], name) for info in (whole, each[0]))
        expected = together([getattr(one["means2d"], name) for one in each])
        assert expected.any(), name
        assert torch.equal(found, expected), name
    counts = [len(one["means2d"]) if packed else C * N for one in each]
    rows = torch.tensor([0, *counts]).cumsum(0)
    flat = [one["flatten_ids"] + int(first) for one, first in zip(each, rows, strict=False)]
    assert torch.equal(whole["flatten_ids"], torch.cat(flat).int())
    if packed:
        numbers = [torch.full((count,), scene) for scene, count in enumerate(counts)]
        assert torch.equal(whole["batch_ids"], torch.cat(numbers))
        for name in ("camera_ids", "gaussian_ids"):
            assert torch.equal(whole[name], torch.cat([one[name] for one in each])), name
            assert whole[name].dtype == torch.int64
    else:
        assert whole["batch_ids"] is whole["camera_ids"] is whole["gaussian_ids"] is None
    same = ("width", "height", "tile_width", "tile_height", "tile_size", "n_cameras")
    assert [whole[name] for name in same] == [each[0][name] for name in same]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dims", [(), *DIMS], ids=str)
def test_info_of_a_batch_is_what_gsplat_makes_of_it(dims: tuple[int, ...]):
    from gsplat.cuda._torch_impl import (
        _fully_fused_projection,
        _isect_offset_encode,
        _isect_tiles,
        _quat_scale_to_covar_preci,
    )

    assert "gsplat.cuda._backend" not in sys.modules, "importing gsplat must not build CUDA code"
    count = torch.Size(dims).numel()
    given = batch_of([scene(seed, 0, "values") for seed in range(count)], (*dims, 1))
    given = {name: tensor.squeeze(len(dims)) for name, tensor in given.items()}
    waves = {given.pop("frequencies").shape[-2], given.pop("coefficients").shape[-2]}
    assert waves == {0}
    info = rasterization(**given, width=WIDTH, height=HEIGHT, packed=False)[2]

    covariances, _ = _quat_scale_to_covar_preci(given["quats"], given["scales"], True, False)
    radii, *theirs = _fully_fused_projection(
        given["means"], covariances, given["viewmats"], given["Ks"], WIDTH, HEIGHT
    )
    seen = (info["radii"] > 0).all(dim=-1)
    assert seen.sum() > count * C * N // 2
    for name, tensor in zip(("means2d", "depths", "conics"), theirs[:3], strict=True):
        assert info[name].shape == tensor.shape, name
        torch.testing.assert_close(info[name][seen], tensor[seen])
    assert info["radii"].shape == radii.shape

    sizes = info["tile_width"], info["tile_height"]
    listed = _isect_tiles(theirs[0], radii, theirs[1], 16, *sizes)
    names = ("tiles_per_gauss", "isect_ids", "flatten_ids")
    for name, tensor in zip(names, listed, strict=True):
        assert (info[name].dtype, info[name].ndim) == (tensor.dtype, tensor.ndim), name
    assert info["tiles_per_gauss"].shape == listed[0].shape
    offsets = _isect_offset_encode(info["isect_ids"], count * C, *sizes)
    assert offsets.any()
    assert torch.equal(info["isect_offsets"].flatten(0, len(dims)), offsets)
    assert info["isect_offsets"].shape == (*dims, C, sizes[1], sizes[0])


def test_scenes_may_share_expanded_cameras():
    scenes = [scene(0, 2, "values"), scene(1, 2, "values")]
    for one in scenes:
        one |= {name: scenes[0][name] for name in ("viewmats", "Ks")}
    weights = [torch.randn(2, C, HEIGHT, WIDTH, d).double() for d in (5, 1)]
    batch = batch_of(scenes, (2,))
    expected = draw(batch, weights)
    shared = {
        name: scenes[0][name].expand(2, C, *scenes[0][name].shape[1:])
        for name in ("viewmats", "Ks")
    }
    assert torch.equal(draw(batch | shared, weights).colors, expected.colors)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("n", "c"), [(0, 2), (5, 0), (0, 0)])
@pytest.mark.parametrize("kind", ["harmonics", "harmonics of each camera", "values"])
def test_scenes_without_splats_or_cameras_are_a_batch_too(kind: str, n: int, c: int, packed: bool):
    given = batch_of([scene(seed, 2, kind) for seed in range(3)], (3,))
    of_each_camera = "camera" in kind
    for name in ("means", "quats", "scales", "opacities", "frequencies", "coefficients"):
        given[name] = given[name][:, :n]
    for name in ("viewmats", "Ks", "backgrounds"):
        given[name] = given[name][:, :c]
    given["colors"] = given["colors"][:, :c, :n] if of_each_camera else given["colors"][:, :n]
    channels = given["colors"].shape[-1]
    weights = [torch.ones(3, c, HEIGHT, WIDTH, d).double() for d in (channels, 1)]
    degree = None if kind == "values" else 1
    drawn = draw(given, weights, packed=packed, sh_degree=degree)
    assert drawn.colors.shape == weights[0].shape
    assert drawn.alphas.shape == weights[1].shape
    background = given["backgrounds"][:, :, None, None].expand_as(drawn.colors)
    assert n or torch.equal(drawn.colors, background)
    assert drawn.info["isect_offsets"].shape == (3, c, 2, 3)
    assert drawn.info["n_cameras"] == c


WRONG = {
    "means": (lambda it: it[0], r"quats must have shape \(14, 4\), not \(2, 14, 4\)"),
    "quats": (lambda it: it[:1], r"quats must have shape \(2, 14, 4\), not \(1, 14, 4\)"),
    "scales": (lambda it: it[0], r"scales must have shape \(2, 14, 3\), not \(14, 3\)"),
    "opacities": (lambda it: it[None], r"opacities must have shape \(2, 14\), not \(1, 2, 14\)"),
    "colors": (
        lambda it: it[0],
        r"colors must have shape \[2, 14, D\] or \[2, 2, 14, D\], not \(14, 5\)",
    ),
    "viewmats": (lambda it: it[0], r"viewmats must have shape \(2, 2, 4, 4\), not \(2, 4, 4\)"),
    "Ks": (lambda it: it[:, :1], r"Ks must have shape \(2, 2, 3, 3\), not \(2, 1, 3, 3\)"),
    "backgrounds": (lambda it: it[0], r"backgrounds must have shape \(2, 2, 5\), not \(2, 5\)"),
    "frequencies": (lambda it: it[0], r"gabor frequencies must have shape \(2, 14, 2, 3\), not"),
    "coefficients": (lambda it: it[0], r"gabor coefficients must have shape \(2, 14, 2, 2\), not"),
}


@pytest.mark.parametrize("name", WRONG)
def test_batch_dimensions_that_do_not_fit_are_refused_in_one_line(name: str):
    change, message = WRONG[name]
    given = batch_of([scene(seed, 2, "values") for seed in range(2)], (2,))
    given[name] = change(given[name])
    with pytest.raises(ValueError, match=f"^rasterization: {message}[^\n]*$"):
        draw(given, ())


@pytest.mark.parametrize("dims", [(0,), (3, 0), (0, 2)], ids=str)
def test_a_batch_of_no_scene_is_refused_in_one_line(dims: tuple[int, ...]):
    given = {
        name: tensor.new_zeros(*dims, *tensor.shape)
        for name, tensor in scene(0, 0, "values").items()
    }
    rule = "means must have one scene or more, not batch dimensions"
    with pytest.raises(ValueError, match=rf"^rasterization: {rule} \({dims[0]},[^\n]*$"):
        draw(given, ())
