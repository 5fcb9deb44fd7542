"""Panoramas and fisheye pictures show what pinholes show, in all directions and without seams."""

from __future__ import annotations

import gc
import math
import weakref
from dataclasses import replace
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.frame import Frame
from gaborsplat.renderer.splats import Splats
from gaborsplat.scenes.colmap.camera_models import BY_NAME
from gaborsplat.viewer.picture.draw import PictureRenderer, Renderers, Scene
from gaborsplat.viewer.picture.projection import Part, Wide, WideLens, memory_of_parts, parts_of
from gaborsplat.viewer.settings import Mode, ViewSettings

PANORAMA = WideLens("equirectangular")
LENSES = [PANORAMA, WideLens("fisheye"), WideLens("fisheye", 2 * math.pi)]
DIRECTIONS = [
    *((0.0, 0.0, 1.0), (0.0, 0.0, -1.0), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 1.0, 0.0)),
    *((1.0, 0.0, 1.0), (1.0, 1.0, 1.0), (-0.3, 0.2, -1.0), (-1.0, -0.6, 0.2)),
]


def around(waves: int, n: int = 12_000) -> Splats:
    """Splats on all sides of zero, about a degree wide, in many colours."""
    g = torch.Generator().manual_seed(3)
    ways = torch.nn.functional.normalize(torch.randn(n, 3, generator=g), dim=1)
    far = 3 + 2 * torch.rand(n, 1, generator=g)
    return Splats(
        means=ways * far,
        quats=torch.randn(n, 4, generator=g),
        scales=0.02 * far * torch.exp(0.3 * torch.randn(n, 3, generator=g)),
        opacities=0.5 + 0.4 * torch.rand(n, generator=g),
        sh=torch.randn(n, 1, 3, generator=g),
        frequencies=0.3 * torch.randn(n, waves, 3, generator=g),
        coefficients=0.2 * torch.randn(n, waves, 2, generator=g),
    )


def looking(way: tuple[float, float, float], size: int, fov: float) -> Camera:
    """From zero along `way`, `fov` degrees wide."""
    ahead = np.array(way) / np.linalg.norm(way)
    right = np.cross(ahead, [0.3, -1.0, 0.1])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(ahead, right), ahead])
    focal = size / 2 / math.tan(math.radians(fov) / 2)
    k = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return Camera(torch.from_numpy(pose).float(), k.float(), (size, size))


def frame(
    splats: Splats, camera: Camera, mode: Mode = "rgb", lens: WideLens | None = None
) -> Frame:
    settings = ViewSettings()
    return PictureRenderer(Renderers()).frames(Scene(splats), camera, [mode], settings, lens=lens)[
        0
    ]


def rays_of(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """[H, W, 3] directions in the world of the pixels of a pinhole; [H, W] distance at depth 1."""
    k, (width, height) = camera.intrinsics.double().numpy(), camera.size
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([(x - k[0, 2]) / k[0, 0], (y - k[1, 2]) / k[1, 1], np.ones_like(x)], axis=-1)
    lengths = np.linalg.norm(rays, axis=-1)
    turn = camera.world_to_camera[:3, :3].double().numpy()
    return rays / lengths[..., None] @ turn, lengths


def resampled(picture: np.ndarray, lens: WideLens, rays: np.ndarray) -> np.ndarray:
    """`picture` in the directions `rays`, by the formulas with which captures are read."""
    height, width = picture.shape[:2]
    name = {"equirectangular": "EQUIRECTANGULAR", "fisheye": "OPENCV_FISHEYE"}[lens.kind]
    coefficients = [] if lens.kind == "equirectangular" else [0.0] * 4
    u, v = BY_NAME[name].project(*np.moveaxis(rays, -1, 0), *coefficients)
    x, y = u * lens.focal((width, height))[0], v * lens.focal((width, height))[1]
    padded = np.pad(picture, ((0, 0), (8, 8), *[(0, 0)] * (picture.ndim - 2)), mode="wrap")
    at = (x + width / 2 + 7.5).astype(np.float32), (y + height / 2 - 0.5).astype(np.float32)
    return cv2.remap(padded, *at, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def decibels(one: np.ndarray, other: np.ndarray) -> float:
    return -10 * math.log10(float(np.mean((one.clip(0, 1) - other.clip(0, 1)) ** 2)))


def size_for(lens: WideLens) -> tuple[int, int]:
    """About the same detail of each."""
    return (
        (900, 450) if lens.kind == "equirectangular" else (round(2.5 * math.degrees(lens.fov)),) * 2
    )


@pytest.mark.parametrize("lens", LENSES, ids=["panorama", "fisheye", "whole-fisheye"])
def test_every_direction_looks_as_a_pinhole_shows_it(lens: WideLens):
    splats = around(waves=1)
    size = size_for(lens)
    picture = frame(splats, Camera(torch.eye(4), torch.eye(3), size), lens=lens).color.numpy()
    for way in DIRECTIONS:
        angle = math.degrees(math.acos(way[2] / math.hypot(*way)))
        if lens.kind == "fisheye" and angle + 18 > min(math.degrees(lens.fov) / 2, 150):
            continue  # outside, or stretched beyond its own pixels
        camera = looking(way, 62, 24)
        expected = frame(splats, camera).color.numpy()
        assert expected.std() > 0.1
        assert decibels(resampled(picture, lens, rays_of(camera)[0]), expected) > 34, way


def test_depth_is_the_distance_and_normals_are_those_of_the_whole_picture():
    """Of a wall at z = 4, by a camera that looks at it at an angle."""
    g = torch.Generator().manual_seed(0)
    across = 14 * torch.rand(60_000, 2, generator=g) - 7
    ahead = torch.cat([across, torch.full((60_000, 1), 4.0)], dim=1)
    n = len(ahead)
    walls = Splats(
        means=ahead,
        quats=torch.tensor([1.0, 0, 0, 0]).expand(n, 4),
        scales=torch.tensor([0.1, 0.1, 1e-3]).expand(n, 3),
        opacities=torch.full((n,), 0.9),
        sh=torch.zeros(n, 1, 3),
        frequencies=torch.zeros(n, 0, 3),
        coefficients=torch.zeros(n, 0, 2),
    )
    camera = looking((0.4, 0.1, 1.0), 64, 60)
    for lens in (PANORAMA, WideLens("fisheye")):
        whole = Camera(camera.world_to_camera, torch.eye(3), (400, 200))
        seen = frame(walls, whole, "normals", lens)
        world = lens.rays((400, 200), (0.5, 0.5)).reshape(200, 400, 3)
        world = world.float() @ camera.world_to_camera[:3, :3]
        near = world[..., 2] > 0.6
        distance = seen.depth[near] * world[near][:, 2]
        torch.testing.assert_close(distance, torch.full_like(distance, 4.0), rtol=0.05, atol=0)
        to_us = torch.tensor([0.0, 0.0, -1.0]) @ camera.world_to_camera[:3, :3].T
        expected = to_us * torch.tensor([1.0, -1.0, -1.0])
        error = (torch.nn.functional.normalize(seen.color, dim=-1)[near] - expected).norm(dim=-1)
        assert error.median() < 0.1
        assert (seen.depth[world[..., 2] < -0.3] == 0).all()


def test_nothing_is_outside_the_fisheyes_circle_or_where_nothing_is_drawn():
    splats = around(waves=0, n=3000)
    camera = Camera(torch.eye(4), torch.eye(3), (61, 41))
    seen = frame(splats, camera, lens=WideLens("fisheye", math.radians(120)))
    y, x = np.mgrid[:41, :61] + 0.5
    radius = np.hypot(x - 30.5, y - 20.5)
    for field in (seen.color.amax(dim=-1), seen.alpha, seen.depth):
        assert not field.numpy()[radius > 21.5].any()
    assert (seen.alpha.numpy()[radius < 19] > 0).mean() > 0.9


@pytest.mark.parametrize("lens", LENSES, ids=["panorama", "fisheye", "whole-fisheye"])
@pytest.mark.parametrize("oversampling", [1, 2])
def test_the_parts_of_a_picture_are_found_once_and_take_no_more_memory_than_is_said(
    lens: WideLens, oversampling: int
):
    size = (300, 150)
    parts = parts_of(lens, size, oversampling, torch.device("cpu"))
    samples = [each for part in parts for each in part.samples]
    tensors = [tensor for each in samples for tensor in (each.pixels, each.shares, each.places)]
    taken = sum(tensor.nbytes for tensor in tensors)
    assert taken <= memory_of_parts(size, oversampling)
    if lens is PANORAMA:
        assert taken > 0.5 * memory_of_parts(size, oversampling)
    # Each direction is taken once, wherever parts meet.
    shares = torch.zeros(size[0] * size[1]).double()
    for each in samples:
        shares.index_add_(0, each.pixels, each.shares.double())
        assert each.places.abs().max() <= 1
    seen = shares > 0
    assert seen.all() == (lens is PANORAMA)
    inside = shares.reshape(150, 300)[75, 110:190]
    torch.testing.assert_close(inside, torch.ones_like(inside), rtol=0, atol=1e-6)


def test_the_parts_are_kept_for_the_pictures_of_a_film_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
):
    made: list[Any] = []

    def counted(*arguments: Any) -> list[Part]:
        made.append(weakref.ref((parts := parts_of(*arguments))[0]))
        return parts

    monkeypatch.setattr("gaborsplat.viewer.picture.draw.parts_of", counted)
    renderer, scene, settings = PictureRenderer(Renderers()), Scene(around(0, 50)), ViewSettings()
    camera = Camera(torch.eye(4), torch.eye(3), (20, 10))
    for _ in range(2):
        renderer.frames(scene, camera, ["rgb", "depth"], settings, lens=PANORAMA)
    assert len(made) == 1
    renderer.frames(scene, replace(camera, size=(10, 10)), ["rgb"], settings, lens=PANORAMA)
    assert made[0]() is None
    del renderer
    gc.collect()
    assert made[1]() is None


@pytest.mark.parametrize("kind", get_args(Wide))
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (3, 90)])
def test_pictures_of_any_size_are_drawn(kind: Wide, size: tuple[int, int]):
    camera = Camera(torch.eye(4), torch.eye(3), size)
    seen = frame(around(waves=0, n=500), camera, lens=WideLens(kind))
    assert seen.color.shape == (size[1], size[0], 3)
    assert torch.isfinite(seen.color).all()
    assert torch.isfinite(seen.depth).all()


@pytest.mark.parametrize("lens", LENSES[:2], ids=["panorama", "fisheye"])
def test_a_finer_panorama_is_as_bright_in_every_mode(lens: WideLens):
    """Parts are drawn finer than the picture: nothing of that may show."""
    splats, settings = around(waves=1, n=6000), ViewSettings()
    camera = Camera(torch.eye(4), torch.eye(3), (200, 100))
    modes: tuple[Mode, ...] = ("rgb", "frequency", "centres")
    for mode in modes:
        wide = frame(splats, camera, mode, lens).color
        focal = lens.focal(camera.size)[0]
        plain = Camera(torch.eye(4), torch.diag(torch.tensor([focal, focal, 1.0])), (21, 21))
        plain.intrinsics[:2, 2] = 10.5
        expected = PictureRenderer(Renderers()).frames(Scene(splats), plain, [mode], settings)[0]
        middle = wide[40:61, 90:111]
        assert middle.mean() == pytest.approx(float(expected.color.mean()), rel=0.12), mode
