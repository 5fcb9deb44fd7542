"""The nearest training photo, as a camera sees it, alone and beside the scene."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import synthetic
import torch
from viser.transforms import SO3

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.render import render
from gaborsplat.viewer.camera import NamedCamera
from gaborsplat.viewer.picture.draw import DIVIDER, PictureRenderer, Renderers, Scene
from gaborsplat.viewer.picture.paint import paint
from gaborsplat.viewer.picture.photos import MAX_DECODED, NearestPhoto
from gaborsplat.viewer.settings import ViewSettings

CAMERA = synthetic.straight_camera()
WIDTH, HEIGHT = synthetic.SIZE


def turned(camera: Camera, about: int, angle: float, x: float = 0.0) -> Camera:
    """`camera`, turned about one of its own axes and then moved to `x`."""
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = torch.tensor(SO3.exp(angle * np.eye(3)[about]).as_matrix().tolist())
    pose = pose @ camera.world_to_camera.double()
    position = torch.tensor([x, 0.0, 0.0], dtype=torch.float64)
    pose[:3, 3] = -pose[:3, :3] @ position
    return replace(camera, world_to_camera=pose)


def sky(camera: Camera) -> torch.Tensor:
    """[H, W, 3] uint8: the direction of every pixel's ray as its colour."""
    fx, fy, cx, cy = (camera.intrinsics[i, j] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    width, height = camera.size
    x = ((torch.arange(width) + 0.5 - cx) / fx).expand(height, width)
    y = ((torch.arange(height) + 0.5 - cy) / fy)[:, None].expand(height, width)
    rays = torch.stack([x, y, torch.ones_like(x)], dim=-1).double() @ camera.world_to_camera[:3, :3]
    rays = rays / rays.norm(dim=-1, keepdim=True)
    return (127.5 + 100 * rays).round().to(torch.uint8)


def taken(camera: Camera, photo: Callable[[], torch.Tensor] | None = None) -> NamedCamera:
    return NamedCamera("photo.jpg", camera, photo or (lambda: sky(camera)))


def grey(level: int) -> Callable[[], torch.Tensor]:
    return lambda: torch.full((HEIGHT, WIDTH, 3), level, dtype=torch.uint8)


def test_from_its_own_camera_a_photo_is_shown_as_it_is() -> None:
    camera = synthetic.camera()
    photo = torch.randint(0, 256, (HEIGHT, WIDTH, 3), dtype=torch.uint8)
    picture = NearestPhoto([taken(camera, lambda: photo)]).show(camera)
    assert np.abs(picture.astype(int) - photo.numpy().astype(int)).max() <= 1


@pytest.mark.parametrize(("about", "angle"), [(0, 0.2), (1, -0.3), (2, 0.5)])
def test_a_photo_is_turned_with_the_view(about: int, angle: float) -> None:
    camera = turned(CAMERA, 1, 0.4)
    view = turned(camera, about, angle).resized((64, 50))
    picture = NearestPhoto([taken(camera)]).show(view).astype(int)
    seen = (picture > 10).all(axis=-1)
    assert seen.mean() > 0.4
    # Linear interpolation, and blending with black within a pixel of the photo's border.
    error = np.abs(picture - sky(view).numpy().astype(int))[seen]
    assert np.quantile(error, 0.9) <= 2


def test_a_photo_may_be_smaller_than_its_camera_says() -> None:
    small = CAMERA.resized((20, 14))
    picture = NearestPhoto([taken(CAMERA, lambda: sky(small))]).show(small)
    np.testing.assert_allclose(picture, sky(small).numpy(), atol=1)


def test_what_lies_behind_the_photos_camera_is_black() -> None:
    assert not NearestPhoto([taken(CAMERA)]).show(turned(CAMERA, 1, math.pi)).any()


def test_a_photo_much_finer_than_the_view_is_averaged() -> None:
    fine = CAMERA.resized((10 * WIDTH, 10 * HEIGHT))
    stripes = torch.zeros(10 * HEIGHT, 10 * WIDTH, 3, dtype=torch.uint8)
    stripes[:, ::2] = 200
    picture = NearestPhoto([taken(fine, lambda: stripes)]).show(CAMERA)
    np.testing.assert_allclose(picture, 100, atol=1)


def test_the_nearest_photo_is_near_and_looks_the_same_way() -> None:
    left, right = turned(CAMERA, 1, 0.3, x=-1.0), turned(CAMERA, 1, -0.3, x=1.0)
    photos = NearestPhoto([taken(left, grey(50)), taken(right, grey(200))])

    def shown(view: Camera) -> int:
        return int(photos.show(view).max())

    assert shown(turned(CAMERA, 1, 0.0, x=-0.3)) == 50
    assert shown(turned(CAMERA, 1, 0.0, x=0.3)) == 200
    assert shown(turned(CAMERA, 1, 0.3)) == 50
    assert shown(turned(CAMERA, 1, -0.3)) == 200


def test_in_a_panorama_the_nearest_photo_looks_the_same_way() -> None:
    place = 0.3  # the mean of three of these is another number
    cameras = [turned(CAMERA, 1, 0.2 * k, x=place) for k in range(3)]
    photos = NearestPhoto([taken(cameras[k], grey(50 * k + 50)) for k in range(3)])
    for k in range(3):
        assert photos.show(turned(cameras[k], 1, 0.05, x=place + 1e-7)).max() == 50 * k + 50


def test_a_photo_is_decoded_once_while_it_is_looked_at() -> None:
    decoded: list[int] = []

    def photo(index: int) -> torch.Tensor:
        decoded.append(index)
        return grey(9)()

    views = [turned(CAMERA, 1, 0.0, x=float(i)) for i in range(MAX_DECODED + 1)]
    photos = NearestPhoto([taken(view, lambda i=i: photo(i)) for i, view in enumerate(views)])
    for view in (views[0], views[0], *views, views[0]):
        photos.show(view)
    assert decoded == [*range(MAX_DECODED + 1), 0]


def test_cameras_without_photos_are_no_candidates() -> None:
    bare = NamedCamera("bare.jpg", CAMERA)
    assert NearestPhoto([bare, taken(turned(CAMERA, 1, 0.1, x=9.0))]).show(CAMERA).any()
    assert NearestPhoto([bare]).show(CAMERA).shape == (HEIGHT, WIDTH, 3)
    assert not NearestPhoto([bare]).show(CAMERA).any()


def test_a_photo_that_cannot_be_read_says_so() -> None:
    def broken() -> torch.Tensor:
        raise OSError("photo.jpg is gone")

    renderer = PictureRenderer(Renderers(), NearestPhoto([taken(CAMERA, broken)]))
    for _ in range(2):
        with pytest.raises(OSError, match="is gone"):
            renderer.draw(Scene(synthetic.dot()), CAMERA, ViewSettings(beside="photo"))


@pytest.mark.parametrize("depth", [False, True])
def test_the_nearest_photo_may_stand_on_the_right_and_hides_nothing(depth: bool) -> None:
    renderer = PictureRenderer(Renderers(), NearestPhoto([taken(CAMERA)]))
    settings = ViewSettings(beside="photo", split=0.3)
    result = renderer.draw(Scene(synthetic.wall(4.0)), CAMERA, settings, depth=depth)
    expected = paint(render(synthetic.wall(4.0), CAMERA), "rgb")
    np.testing.assert_allclose(result.picture[:, :11], expected[:, :11], rtol=0, atol=1)
    np.testing.assert_allclose(result.picture[:, 13:], sky(CAMERA)[:, 13:], rtol=0, atol=1)
    assert (result.picture[:, 11:13] == DIVIDER).all()
    assert (result.depth is None) == (not depth)
    if result.depth is not None:
        assert np.isfinite(result.depth[:, :12]).all()
        assert np.isposinf(result.depth[:, 12:]).all()
