"""Camera models: what their formulas make of rays, and the pinhole that is chosen for each."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from lens_examples import LENSES, SIZE, lens

from gaborsplat.scenes import InputError
from gaborsplat.scenes.colmap.camera_models import BY_NAME, CAMERA_MODELS
from gaborsplat.scenes.photos.lenses import Lens
from gaborsplat.scenes.photos.undistort import sampling_maps

IDENTITY = np.eye(3)


@pytest.fixture(scope="module")
def rays() -> np.ndarray:
    """[3, N] rays up to 60 degrees from the axis, of different lengths; the axis is the first."""
    random = np.random.default_rng(3)
    angle, around = np.radians(60) * np.sqrt(random.random(200)), math.tau * random.random(200)
    angle[0] = 0
    r = np.sin(angle)
    directions = np.stack([r * np.cos(around), r * np.sin(around), np.cos(angle)])
    return directions * random.uniform(0.5, 3, 200)


def bend(model: str, rays: np.ndarray, *coefficients: float) -> np.ndarray:
    """[2, N] the picture at focal length one."""
    return np.stack(BY_NAME[model].project(*rays, *coefficients))


def coefficients(model: str) -> tuple[float, ...]:
    return lens(model).coefficients


def opencv(flat: np.ndarray, *k: float) -> np.ndarray:
    """[2, N] OpenCV's distortion of a pinhole's picture."""
    points = np.stack([*flat, np.ones(flat.shape[1])], 1)
    zero = np.zeros(3)
    return cv2.projectPoints(points, zero, zero, IDENTITY, np.array(k))[0][:, 0].T


def test_every_camera_model_is_tested():
    assert tuple(LENSES) == tuple(model.name for model in CAMERA_MODELS)


# Formulas.


@pytest.mark.parametrize("model", ["OPENCV", "FULL_OPENCV"])
def test_opencvs_lenses_bend_as_opencv_does(model: str, rays: np.ndarray):
    k = coefficients(model)
    expected = opencv(rays[:2] / rays[2], *k)
    np.testing.assert_allclose(bend(model, rays, *k), expected, atol=1e-12)


def test_opencvs_fisheye_bends_as_opencv_does(rays: np.ndarray):
    k = coefficients("OPENCV_FISHEYE")
    zero = np.zeros(3)
    points = rays.T[:, None]
    expected = cv2.fisheye.projectPoints(points, zero, zero, IDENTITY, np.array(k))[0][:, 0].T
    np.testing.assert_allclose(bend("OPENCV_FISHEYE", rays, *k), expected, atol=1e-12)


def test_a_thin_prism_is_opencvs_on_the_picture_of_a_fisheye(rays: np.ndarray):
    k1, k2, p1, p2, k3, _, sx, sy = coefficients("THIN_PRISM_FISHEYE")
    ours = bend("THIN_PRISM_FISHEYE", rays, k1, k2, p1, p2, k3, 0, sx, sy)
    expected = opencv(bend("FISHEYE", rays), k1, k2, p1, p2, k3, 0, 0, 0, sx, 0, sy, 0)
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_arias_fisheye_is_opencvs_prism_on_the_picture_after_radial_distortion(rays: np.ndarray):
    *k, p0, p1, s0, s1, s2, s3 = coefficients("RAD_TAN_THIN_PRISM_FISHEYE")
    ours = bend("RAD_TAN_THIN_PRISM_FISHEYE", rays, *k, p0, p1, s0, s1, s2, s3)
    after = bend("OPENCV_FISHEYE", rays, *k)
    expected = opencv(after, 0, 0, p1, p0, 0, 0, 0, 0, s0, s1, s2, s3)
    np.testing.assert_allclose(ours, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("model", "zeros", "simpler"),
    [
        ("SIMPLE_RADIAL", (0,), "PINHOLE"),
        ("RADIAL", (0, 0), "PINHOLE"),
        ("OPENCV", (0,) * 4, "PINHOLE"),
        ("FULL_OPENCV", (0,) * 8, "PINHOLE"),
        ("FOV", (0,), "PINHOLE"),
        ("FOV", (1e-9,), "PINHOLE"),
        ("DIVISION", (0,), "PINHOLE"),
        ("EUCM", (0, 1), "PINHOLE"),
        ("SIMPLE_RADIAL_FISHEYE", (0,), "FISHEYE"),
        ("OPENCV_FISHEYE", (0,) * 4, "FISHEYE"),
        ("THIN_PRISM_FISHEYE", (0,) * 8, "FISHEYE"),
        ("RAD_TAN_THIN_PRISM_FISHEYE", (0,) * 12, "FISHEYE"),
    ],
)
def test_a_lens_without_distortion_is_the_simpler_one(
    model: str, zeros: tuple[float, ...], simpler: str, rays: np.ndarray
):
    np.testing.assert_allclose(bend(model, rays, *zeros), bend(simpler, rays), atol=1e-9)


@pytest.mark.parametrize(
    ("model", "k", "radius"),
    [
        ("FISHEYE", (), lambda a: a),
        ("RADIAL_FISHEYE", (0.1, 0.02), lambda a: a + 0.1 * a**3 + 0.02 * a**5),
        ("EUCM", (0.5, 1.0), lambda a: 2 * np.tan(a / 2)),  # stereographic
        ("EUCM", (1.0, 1.0), np.sin),  # orthographic
        ("EUCM", (1.0, 0.25), lambda a: np.tan(a) / np.sqrt(0.25 * np.tan(a) ** 2 + 1)),
        ("FOV", (math.pi / 2,), lambda a: np.arctan(2 * np.tan(a)) / (math.pi / 2)),
    ],
)
def test_the_radius_is_the_function_of_the_angle_that_defines_the_lens(model: str, k, radius):
    angle = np.radians([0, 10, 30, 45, 70, 85])
    u, v = bend(model, np.stack([0 * angle, np.sin(angle), np.cos(angle)]), *k)
    np.testing.assert_allclose(v, radius(angle), atol=1e-12)
    assert not u.any()


@pytest.mark.parametrize("k", [-0.4, 0.2])
def test_dividing_by_the_bent_radius_straightens_a_division_lens(k: float):
    u = np.linspace(0, 1.0, 50)
    r, _ = bend("DIVISION", np.stack([u, 0 * u, 1 + 0 * u]), k)
    np.testing.assert_allclose(r / (1 + k * r * r), u, atol=1e-12)


def test_a_division_lens_has_no_picture_of_rays_beyond_its_last():
    u, v = bend("DIVISION", np.array([[1.24, 1.26], [0, 0], [1, 1]]), 0.16)  # 1 - 4 k u^2
    np.testing.assert_array_equal(np.isfinite(u), [True, False])
    np.testing.assert_array_equal(np.isfinite(v), [True, False])


def test_fisheyes_and_panoramas_see_behind_the_camera_and_pinholes_do_not():
    behind = np.array([[1.0], [0.0], [-1.0]])
    assert bend("FISHEYE", behind)[0, 0] == pytest.approx(math.radians(135))
    assert bend("EQUIRECTANGULAR", behind)[0, 0] == pytest.approx(math.radians(135))
    for model in ("PINHOLE", "OPENCV", "DIVISION", "FOV"):
        assert np.isnan(bend(model, behind, *coefficients(model))).all()


def test_a_panorama_has_longitude_across_and_latitude_down():
    panorama = lens("EQUIRECTANGULAR", (640, 320))
    rays = np.array([[0, 0, 1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 1, 1.0]]).T
    pixels = np.stack(panorama.project(*rays), 1)
    expected = [[320, 160], [480, 160], [160, 160], [320, 320], [320, 0], [320, 240]]
    np.testing.assert_allclose(pixels, expected, atol=1e-9)


# The pinhole.


def edges(straight: Lens) -> tuple[float, float]:
    """Of the photo's width and height, what the middle row and column of the picture span."""
    maps = sampling_maps(straight)
    row, column = (round(c) for c in reversed(straight.pinhole.centre))
    spans: list[float] = []
    for line, valid in ((maps.x[row], maps.valid[row]), (maps.y[:, column], maps.valid[:, column])):
        spans.append(float(np.ptp(line[valid])) + 1)
    return spans[0] / straight.size[0], spans[1] / straight.size[1]


@pytest.mark.parametrize("model", sorted(set(LENSES) - {"EQUIRECTANGULAR"}))
def test_the_pinhole_has_the_photos_size_and_centre_and_square_pixels(model: str):
    straight = lens(model)
    assert straight.pinhole.size == SIZE
    assert straight.pinhole.centre == straight.centre == (310, 250)
    ratios = np.divide(straight.pinhole.focal, straight.focal)
    assert ratios[0] == pytest.approx(ratios[1])
    assert ratios[0] <= 1 or model == "FOV"


@pytest.mark.parametrize("model", ["PINHOLE", "OPENCV", "FULL_OPENCV", "RADIAL"])
def test_the_focal_length_is_kept_where_a_pinhole_sees_as_much_as_the_lens(model: str):
    straight = lens(model)
    assert straight.pinhole.focal == straight.focal


@pytest.mark.parametrize(
    "model", ["SIMPLE_RADIAL", "SIMPLE_FISHEYE", "FOV", "THIN_PRISM_FISHEYE", "EUCM", "DIVISION"]
)
def test_a_lens_that_sees_more_gets_a_shorter_focal_length_and_no_empty_border(model: str):
    straight = lens(model)
    across, down = edges(straight)
    assert max(across, down) > 0.99
    assert min(across, down) > 0.8
    assert sampling_maps(straight).valid.mean() > 0.95
    assert straight.pinhole.focal[0] < straight.focal[0]


def test_of_half_a_sphere_the_picture_shows_120_degrees():
    circle = Lens("FISHEYE", (480, 480), (480 / math.pi, 480 / math.pi), (240, 240))
    fx, fy = circle.pinhole.focal
    assert fx == fy == pytest.approx(240 / math.tan(math.radians(60)), rel=1e-5)
    assert sampling_maps(circle).valid.all()


def test_where_a_lens_enlarges_the_middle_the_pinhole_does_too():
    """At omega 2.5 the focal length that FOV states is 2.4 times shorter than that of the axis."""
    narrow = lens("FOV", (2000, 2000, 320, 240, 2.5))
    # Half the width is 0.16: tan(0.16 * 2.5) / (2 tan 1.25) of the axis; half the height is 0.12.
    expected = 240 / (math.tan(0.12 * 2.5) / (2 * math.tan(1.25)))
    assert narrow.pinhole.focal[0] == pytest.approx(expected, rel=1e-4)
    assert narrow.pinhole.focal[0] > 2000


def test_the_pinhole_of_a_smaller_photo_is_smaller_alike():
    for model in LENSES:
        large = lens(model)
        small = large.resized((320, 240))
        np.testing.assert_allclose(np.multiply(small.pinhole.focal, 2), large.pinhole.focal)
        assert np.multiply(small.pinhole.size, 2).tolist() == list(large.pinhole.size)


@pytest.mark.parametrize("model", ["SIMPLE_PINHOLE", "PINHOLE"])
def test_a_pinhole_photo_is_left_alone(model: str):
    assert lens(model).is_pinhole
    assert lens("SIMPLE_RADIAL", (500, 310, 250, 0)).is_pinhole
    assert lens("EUCM", (500, 500, 310, 250, 0, 1)).is_pinhole
    assert not lens("SIMPLE_RADIAL", (500, 310, 250, 1e-4)).is_pinhole
    assert not lens("SIMPLE_FISHEYE").is_pinhole
    assert not lens("EQUIRECTANGULAR").is_pinhole


@pytest.mark.parametrize("focal", [0.0, -500.0, 1e-9, 1e12])
def test_an_impossible_focal_length_is_refused(focal: float):
    with pytest.raises(InputError, match=r"camera 1 has focal lengths 500 and .* between 1 and 1e"):
        lens("PINHOLE", (500, focal, 310, 250))


@pytest.mark.parametrize("value", [-1e29, -30.0, 500.0, 1e29])
@pytest.mark.parametrize("model", sorted(set(LENSES) - {"EQUIRECTANGULAR"}))
def test_coefficients_that_no_lens_has_still_give_a_pinhole_with_numbers(model: str, value: float):
    focal = LENSES[model][: -len(coefficients(model)) or None]
    broken = lens(model, (*focal, *(value for _ in coefficients(model))))
    maps = sampling_maps(broken)
    assert 1 < broken.pinhole.focal[0] < 1e5
    assert np.isfinite(maps.x[maps.valid]).all()
    assert np.isfinite(maps.y[maps.valid]).all()
