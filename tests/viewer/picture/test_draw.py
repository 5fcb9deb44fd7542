"""What is drawn for a browser: the choices of the panel, the modes, and another scene beside."""

from __future__ import annotations

import math
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import synthetic
import torch
from viewer_page import Painter

from gaborsplat.renderer.frame import Frame
from gaborsplat.renderer.raster.frequency import render_frequencies
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats
from gaborsplat.viewer.picture.draw import DIVIDER, PictureRenderer, Renderers, Scene
from gaborsplat.viewer.picture.paint import normal_colors, normals_of, occlusion_depth, paint
from gaborsplat.viewer.settings import MODES, CropBox, Mode, ViewSettings

CAMERA = synthetic.straight_camera()
WIDTH, HEIGHT = synthetic.SIZE
CLOUD = synthetic.cloud(60, waves=2, degree=3)
RIGHT_ANGLE = (math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0)  # about the y axis

Image = np.ndarray[Any, Any]


def drawn(splats: Splats, settings: ViewSettings, **options: Any) -> Image:
    """The picture as numbers that can be subtracted."""
    renderer = PictureRenderer(Renderers())
    return renderer.draw(Scene(splats), CAMERA, settings, **options).picture.astype(int)


def rendered(splats: Splats, settings: RenderSettings | None = None) -> Image:
    return paint(render(splats, CAMERA, settings or RenderSettings()), "rgb").astype(int)


def selected(splats: Splats, box: CropBox) -> Splats:
    """What of `splats` reaches the renderer."""
    painter = Painter()
    PictureRenderer(Renderers(painter)).draw(Scene(splats), CAMERA, ViewSettings(crop=box))
    return painter.calls[-1][0]


def dots(*means: tuple[float, float, float]) -> Splats:
    at = [replace(synthetic.dot(scale=0.1), means=synthetic.real(mean)) for mean in means]
    return synthetic.join(*at)


def same(one: Image, other: Image) -> bool:
    return np.abs(one - other).max() <= 1  # halves are rounded either way


def test_a_picture_without_depth_is_the_same_as_with_depth() -> None:
    settings = ViewSettings(background=(50, 100, 250))
    quick = PictureRenderer(Renderers()).draw(Scene(CLOUD), CAMERA, settings)
    slow = PictureRenderer(Renderers()).draw(Scene(CLOUD), CAMERA, settings, depth=True)
    assert quick.depth is None
    assert slow.depth is not None
    assert quick.picture.astype(int).std() > 20
    assert same(quick.picture.astype(int), slow.picture.astype(int))
    np.testing.assert_array_equal(slow.depth, occlusion_depth(render(CLOUD, CAMERA)))


def test_the_camera_takes_the_type_of_the_splats() -> None:
    picture = drawn(CLOUD.to(torch.float32), ViewSettings())
    assert np.abs(picture - drawn(CLOUD, ViewSettings())).mean() < 0.1


def test_a_scene_is_drawn_the_way_it_was_trained() -> None:
    trained = RenderSettings(antialiased=True, near_plane=3.0, sh_degree=1)
    renderer = PictureRenderer(Renderers())
    picture = renderer.draw(Scene(CLOUD, trained), CAMERA, ViewSettings()).picture
    assert same(picture.astype(int), rendered(CLOUD, trained))
    assert not same(picture.astype(int), rendered(CLOUD))


def test_waves_can_be_left_out() -> None:
    picture = drawn(CLOUD, ViewSettings(waves=False))
    assert same(picture, rendered(CLOUD.without_waves()))
    assert not same(picture, rendered(CLOUD))


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_harmonics_above_the_chosen_degree_are_not_drawn(degree: int) -> None:
    picture = drawn(CLOUD, ViewSettings(sh_degree=degree))
    assert same(picture, rendered(replace(CLOUD, sh=CLOUD.sh[:, : (degree + 1) ** 2])))
    assert not same(picture, rendered(CLOUD))


def test_a_splat_nearer_than_the_near_plane_is_not_drawn() -> None:
    behind = synthetic.wall(4.0)
    splats = synthetic.join(synthetic.dot(2.0, opacity=1.0), behind)
    assert same(drawn(splats, ViewSettings(near=3.0)), rendered(behind))
    assert not same(drawn(splats, ViewSettings(near=1.0)), rendered(behind))


def test_a_splat_outside_the_box_is_not_drawn() -> None:
    splats = dots((0.0, 0.0, 4.0), (1.0, 0.0, 4.0), (0.0, 0.0, 6.0))
    picture = drawn(splats, ViewSettings(crop=CropBox((0.5, 0.0, 4.0), (1.2, 1.0, 1.0))))
    assert same(picture, rendered(splats.select(torch.tensor([0, 1]))))
    assert picture.any()


def test_a_box_can_be_turned() -> None:
    splats = dots((0.0, 0.0, 4.0), (1.0, 0.0, 4.0), (0.0, 0.0, 5.0), (0.7, 0.7, 4.0))
    long = CropBox((0.0, 0.0, 4.0), (3.0, 0.2, 0.2))
    assert selected(splats, long).means.tolist() == splats.means[:2].tolist()
    across = replace(long, wxyz=RIGHT_ANGLE)
    assert selected(splats, across).means.tolist() == splats.means[::2][:2].tolist()
    # An eighth of a turn about z, by a quaternion of any length.
    oblique = replace(long, wxyz=(2 * math.cos(math.pi / 8), 0.0, 0.0, 2 * math.sin(math.pi / 8)))
    assert selected(splats, oblique).means.tolist() == splats.means[::3].tolist()


@pytest.mark.parametrize("mode", MODES)
def test_a_box_around_nothing_shows_nothing(mode: Mode) -> None:
    box = CropBox((0.0, 0.0, -1e300), (1.0, 1.0, 1.0))
    assert not drawn(CLOUD, ViewSettings(mode=mode, crop=box)).any()


def test_the_selection_is_made_once_for_a_scene_and_a_box() -> None:
    painter = Painter()
    renderer = PictureRenderer(Renderers(painter))
    settings = ViewSettings(waves=False, crop=CropBox((0.0, 0.0, 0.0), (9.0, 9.0, 9.0)))

    def given(splats: Splats, settings: ViewSettings) -> Splats:
        renderer.draw(Scene(splats), CAMERA, settings)
        return painter.calls[-1][0]

    first = given(CLOUD, settings)
    assert given(CLOUD, replace(settings, mode="alpha", background=(9, 9, 9))) is first
    assert given(CLOUD, replace(settings, crop=CropBox((0, 0, 0), (1.0, 1.0, 1.0)))) is not first
    again = given(CLOUD, settings)
    assert given(synthetic.cloud(3), settings) is not again
    assert len(given(synthetic.cloud(3), settings)) < len(again)


def test_a_scene_that_is_shown_whole_is_not_held() -> None:
    renderer, splats = PictureRenderer(Renderers()), synthetic.cloud(3)
    held = weakref.ref(splats)
    for settings in (ViewSettings(mode="centres"), ViewSettings()):
        renderer.draw(Scene(splats), CAMERA, settings)
    del splats
    assert held() is None


def test_centres_are_dots_whatever_the_size_of_the_splats() -> None:
    large, faint = synthetic.dot(3.0, 5.0, 0.5), synthetic.dot(2.0, 5.0, 0.003)
    waving = synthetic.with_waves(
        synthetic.join(large, faint), torch.ones(2, 1, 3), torch.ones(2, 1, 2)
    )
    trained = RenderSettings(antialiased=True)
    renderer = PictureRenderer(Renderers())
    picture = renderer.draw(Scene(waving, trained), CAMERA, ViewSettings(mode="centres")).picture
    middle = picture[HEIGHT // 2, WIDTH // 2]
    np.testing.assert_allclose(middle, np.array([0.9, 0.5, 0.2]) * 255, atol=4)
    assert 4 <= (picture > 20).any(axis=-1).sum() <= 25


def test_a_wall_that_faces_the_camera_has_normals_towards_it() -> None:
    picture = drawn(synthetic.wall(4.0), ViewSettings(mode="normals"))
    np.testing.assert_allclose(picture, np.broadcast_to([128, 128, 255], picture.shape), atol=3)


def test_a_slanted_wall_has_slanted_normals() -> None:
    x, y = torch.meshgrid(torch.linspace(-3, 3, 61), torch.linspace(-3, 3, 61), indexing="ij")
    n = x.numel()
    splats = Splats(
        means=torch.stack([x, y, 4 + 0.5 * x], dim=-1).reshape(n, 3),
        quats=torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(n, 4),
        scales=torch.tensor([0.15, 0.15, 0.15]).expand(n, 3),
        opacities=torch.full((n,), 0.9),
        sh=torch.zeros(n, 1, 3),
        frequencies=torch.zeros(n, 0, 3),
        coefficients=torch.zeros(n, 0, 2),
    )
    picture = drawn(splats, ViewSettings(mode="normals"))
    expected = 127.5 + 127.5 * np.array([0.5, 0.0, 1.0]) / math.sqrt(1.25)
    np.testing.assert_allclose(picture.mean(axis=(0, 1)), expected, atol=6)


def plane(normal: tuple[float, float, float]) -> torch.Tensor:
    """Depth of the plane through (0, 0, 4) with this normal."""
    x = (torch.arange(WIDTH).double() + 0.5 - CAMERA.intrinsics[0, 2]) / 32
    y = (torch.arange(HEIGHT).double()[:, None] + 0.5 - CAMERA.intrinsics[1, 2]) / 32
    a, b, c = normal
    return 4 * c / (a * x + b * y + c)


@pytest.mark.parametrize("normal", [(0.0, 0.0, -1.0), (0.5, 0.2, -1.0), (-0.4, 0.6, -1.0)])
def test_the_normals_of_a_plane_are_exact_up_to_its_edges(
    normal: tuple[float, float, float],
) -> None:
    depth = plane(normal)
    alpha = torch.ones_like(depth)
    depth[:, 25:], alpha[:, 25:] = 0.0, 0.0
    depth[7, 9], alpha[7, 9] = 0.0, 0.0
    depth[:, 27], alpha[:, 27] = 4.0, 1.0  # a line, too thin to have a slope
    shown = normals_of(Frame(torch.zeros(HEIGHT, WIDTH, 3), alpha, depth), CAMERA.intrinsics)
    a, b, c = torch.nn.functional.normalize(synthetic.real(normal), dim=1)[0].tolist()
    expected = 0.5 + 0.5 * torch.tensor([a, -b, -c], dtype=torch.float64)
    expected = expected * alpha[..., None]
    expected[:, 27] = 0
    torch.testing.assert_close(normal_colors(shown), expected, atol=1e-9, rtol=0)
    lengths = shown.color.norm(dim=-1)
    torch.testing.assert_close(lengths, expected.any(dim=-1).double(), atol=1e-9, rtol=0)
    assert torch.equal(shown.alpha, lengths.round())


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "depth"])
def test_another_scene_may_stand_on_the_right(mode: Mode) -> None:
    other = synthetic.cloud(30, waves=1, degree=1, seed=4)
    settings = ViewSettings(mode=mode, background=(50, 0, 0))
    left, right = drawn(CLOUD, settings), drawn(other, settings)
    both = drawn(CLOUD, replace(settings, beside="other", split=0.3), other=Scene(other))
    np.testing.assert_array_equal(both[:, :11], left[:, :11])
    np.testing.assert_array_equal(both[:, 13:], right[:, 13:])
    assert (both[:, 11:13] == DIVIDER).all()
    assert not same(left[:, 13:], right[:, 13:])


def test_the_other_scene_has_its_own_settings_and_always_its_waves() -> None:
    other = Scene(synthetic.cloud(30, waves=1), RenderSettings(antialiased=True))
    settings = ViewSettings(waves=False, beside="other", split=0.0)
    assert same(drawn(CLOUD, settings, other=other), rendered(other.splats, other.settings))
    at_the_end = replace(settings, split=1.0)
    assert same(drawn(CLOUD, at_the_end, other=other), rendered(CLOUD.without_waves()))


def test_false_colours_mean_the_same_on_both_sides() -> None:
    settings = ViewSettings(mode="depth", beside="other")
    picture = drawn(synthetic.wall(3.0), settings, other=Scene(synthetic.wall(6.0)))
    assert picture[0, 0, 0] > picture[0, 0, 2] + 50  # near is red
    assert picture[0, -1, 2] > picture[0, -1, 0]


def test_the_depth_is_that_of_what_is_seen() -> None:
    settings = ViewSettings(beside="other")
    near, far = Scene(synthetic.wall(3.0)), Scene(synthetic.wall(6.0))
    depth = PictureRenderer(Renderers()).draw(near, CAMERA, settings, other=far, depth=True).depth
    assert depth is not None
    np.testing.assert_allclose(depth[:, :20], 3.0, atol=0.2)
    np.testing.assert_allclose(depth[:, 20:], 6.0, atol=0.2)


def test_the_line_between_the_parts_can_be_left_out() -> None:
    scene, other = Scene(CLOUD), Scene(synthetic.cloud(30))
    renderer, settings = PictureRenderer(Renderers(), divider=False), ViewSettings(beside="other")
    picture = renderer.draw(scene, CAMERA, settings, other=other).picture.astype(int)
    assert same(picture[:, :20], rendered(scene.splats)[:, :20])
    assert same(picture[:, 20:], rendered(other.splats)[:, 20:])


@pytest.mark.parametrize("beside", ["other", "photo"])
def test_what_is_not_there_does_not_stand_beside(beside: Any) -> None:
    assert same(drawn(CLOUD, ViewSettings(beside=beside)), rendered(CLOUD))


def test_the_mode_frequency_shows_the_waves() -> None:
    expected = paint(render_frequencies(CLOUD, CAMERA, RenderSettings()), "frequency")
    np.testing.assert_array_equal(drawn(CLOUD, ViewSettings(mode="frequency")), expected)
