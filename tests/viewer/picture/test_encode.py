"""Picture files: what is composed over any background, and numbers that other programs read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import OpenEXR
import pytest
import synthetic
import torch

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.frame import Frame
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats
from gaborsplat.viewer.picture.draw import PictureRenderer, Renderers, Scene
from gaborsplat.viewer.picture.encode import Encoder, Format
from gaborsplat.viewer.picture.exr import exr_bytes
from gaborsplat.viewer.picture.projection import WideLens
from gaborsplat.viewer.settings import MODES, Mode, ViewSettings

CAMERA = synthetic.camera(dtype=torch.float32)
CLOUD = synthetic.cloud(14, waves=2, degree=1, dtype=torch.float32)
BACKGROUNDS = [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.2, 0.6, 0.9)]
FORMATS: tuple[Format, ...] = get_args(Format)


def frame(mode: Mode) -> Frame:
    return PictureRenderer(Renderers()).frames(Scene(CLOUD), CAMERA, [mode], ViewSettings())[0]


def read(content: bytes) -> np.ndarray:
    """[H, W, ...] RGB of a PNG or a WebP, by OpenCV."""
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    return picture if picture.ndim == 2 else picture[..., [2, 1, 0, 3][: picture.shape[2]]]


def read_exr(content: bytes, path: Path) -> dict[str, np.ndarray]:
    """The channels of an EXR, by its makers' own reader."""
    path.write_bytes(content)
    with OpenEXR.File(str(path), separate_channels=True) as file:
        return {name: np.array(channel.pixels) for name, channel in file.channels().items()}


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("mode", ["rgb", "centres"])
@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_transparent_picture_over_a_background_is_the_one_drawn_over_it(
    kind: Format, mode: Mode, background: tuple[float, float, float]
):
    picture = read(Encoder(mode, kind, None).encoded(frame(mode))).astype(float)
    color, alpha = picture[..., :3], picture[..., 3:] / 255
    levels = tuple(round(255 * each) for each in background)
    settings = ViewSettings(mode=mode, background=levels)
    expected = PictureRenderer(Renderers()).draw(Scene(CLOUD), CAMERA, settings).picture
    assert ((alpha > 0.02) & (alpha < 0.8)).mean() > 0.05
    assert (alpha == 0).any()
    composed = alpha * color + (1 - alpha) * np.array(levels)
    assert np.abs(composed - expected).max() <= 1.5


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_sixteen_bits_are_composed_alike(background: tuple[float, float, float]):
    shown = frame("rgb")
    clear = read(Encoder("rgb", "png16", None).encoded(shown)).astype(float)
    solid = read(Encoder("rgb", "png16", background).encoded(shown))
    assert solid.dtype == np.uint16
    alpha = clear[..., 3:] / 65535
    composed = alpha * clear[..., :3] + (1 - alpha) * 65535 * np.array(background)
    assert np.abs(composed - solid).max() <= 2


def test_colours_brighter_than_white_stay_as_bright_as_they_were_on_black():
    color = torch.tensor([[[0.9, 0.5, 0.1], [3.0, 0.0, 0.2]]])
    shown = Frame(color, torch.tensor([[0.5, 0.4]]), torch.ones(1, 2))
    picture = read(Encoder("rgb", "png", None).encoded(shown)).astype(float)
    composed = picture[..., :3] * picture[..., 3:] / 255
    np.testing.assert_allclose(composed, 255 * color.clamp(0, 1), atol=1)


@pytest.mark.parametrize("mode", MODES)
def test_on_a_background_the_file_is_what_the_viewer_draws(mode: Mode):
    settings = ViewSettings(mode=mode, background=(51, 153, 204))
    expected = PictureRenderer(Renderers()).draw(Scene(CLOUD), CAMERA, settings).picture
    for kind in ("png", "webp"):
        shown = read(Encoder(mode, kind, (0.2, 0.6, 0.8)).encoded(frame(mode)))
        assert np.abs(shown.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("background", [None, (0.0, 0.0, 0.0)])
def test_every_mode_has_a_file_of_every_format(
    mode: Mode, kind: Format, background: tuple[float, float, float] | None, tmp_path: Path
):
    content = Encoder(mode, kind, background).encoded(frame(mode))
    width, height = CAMERA.size
    if kind == "exr":
        channels = read_exr(content, tmp_path / "a.exr")
        assert {each.shape for each in channels.values()} == {(height, width)}
        assert all(np.isfinite(each).all() and each.any() for each in channels.values())
        clear = background is None and mode in ("rgb", "centres", "frequency")
        names = {"depth": ["Z"], "alpha": ["Y"]}.get(mode, ["A", "B", "G", "R"][not clear :])
        assert sorted(channels) == names
    else:
        picture = read(content)
        assert picture.shape[:2] == (height, width)
        assert picture.dtype == (np.uint16 if kind == "png16" else np.uint8)


def test_depth_and_normals_are_there_as_numbers(tmp_path: Path):
    depth, normals = frame("depth"), frame("normals")
    exact = read_exr(Encoder("depth", "exr").encoded(depth), tmp_path / "depth.exr")["Z"]
    np.testing.assert_array_equal(exact, depth.depth)
    assert (exact == 0).any()
    encoder = Encoder("depth", "png16", depth_unit=1e-3)
    steps = read(encoder.encoded(depth)).astype(float)
    np.testing.assert_allclose(steps * 1e-3, depth.depth, atol=0.501e-3)
    assert ((steps == 0) == (depth.depth.numpy() == 0)).all()
    assert encoder.beyond == 0
    near = Encoder("depth", "png16", depth_unit=float(depth.depth.max()) / 70_000)
    assert read(near.encoded(depth)).max() == 65535
    assert near.beyond > 0

    planes = read_exr(Encoder("normals", "exr").encoded(normals), tmp_path / "normals.exr")
    vectors = np.stack([planes[name] for name in "RGB"], axis=-1)
    lengths = np.linalg.norm(vectors, axis=-1)
    there = lengths > 0
    np.testing.assert_allclose(lengths[there], 1, atol=1e-5)
    assert (there == normals.color.any(dim=-1).numpy()).all()
    coded = read(Encoder("normals", "png16").encoded(normals)) / 65535
    np.testing.assert_allclose(2 * coded[there] - 1, vectors[there], atol=2e-5)
    assert not coded[~there].any()


def test_exr_colours_are_linear_light_that_comes_back_by_srgb(tmp_path: Path):
    shown = frame("rgb")
    planes = read_exr(Encoder("rgb", "exr", None).encoded(shown), tmp_path / "a.exr")
    alpha = planes["A"][..., None]
    linear = np.stack([planes[name] for name in "RGB"], axis=-1) / np.maximum(alpha, 1e-9)
    coded = np.where(
        linear > 0.0031308, 1.055 * linear.clip(1e-9) ** (1 / 2.4) - 0.055, 12.92 * linear
    )
    np.testing.assert_allclose(coded * alpha, shown.color, atol=1e-5)


def test_png_and_exr_say_what_their_numbers_are(tmp_path: Path):
    said = {"depth_unit_scale_factor": 0.001, "depth_measured": "z"}
    content = Encoder("depth", "png16", depth_unit=1e-3, said=said).encoded(frame("depth"))
    texts: dict[str, str] = {}
    place = 8
    while place < len(content):
        (length,), kind = struct.unpack(">I", content[place : place + 4]), content[place + 4 :][:4]
        chunk = content[place + 4 : place + 8 + length]
        assert struct.pack(">I", zlib.crc32(chunk)) == content[place + 8 + length :][:4]
        if kind == b"tEXt":
            name, text = chunk[4:].decode("latin-1").split("\0")
            texts[name] = text
        place += 12 + length
    assert texts == {"depth_unit_scale_factor": "0.001", "depth_measured": "z"}
    path = tmp_path / "depth.exr"
    path.write_bytes(Encoder("depth", "exr", said=said).encoded(frame("depth")))
    with OpenEXR.File(str(path)) as file:
        assert file.header()["depth_measured"] == "z"
        assert file.header()["depth_unit_scale_factor"] == "0.001"


@pytest.mark.parametrize("size", [(1, 1), (3, 16), (5, 17), (64, 33)])
@pytest.mark.parametrize("noise", [True, False])
def test_exr_files_are_read_back_by_openexr(size: tuple[int, int], noise: bool, tmp_path: Path):
    """Noise does not get shorter, and is stored as it is."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 31, (2, size[1], size[0]), np.uint32).view(np.float32)
    planes = bits if noise else np.zeros_like(bits)
    planes = np.nan_to_num(planes, posinf=1.0)
    channels = {"Z": planes[0], "B": planes[1]}
    found = read_exr(exr_bytes(channels, {}), tmp_path / "a.exr")
    for name, plane in channels.items():
        np.testing.assert_array_equal(found[name], plane)


@pytest.mark.parametrize("lens", [None, WideLens("fisheye")], ids=["pinhole", "fisheye"])
def test_modes_that_share_a_rendered_picture_are_drawn_together(lens: WideLens | None):
    rendered: list[Splats] = []

    def counted(splats: Splats, camera: Camera, settings: RenderSettings) -> Frame:
        rendered.append(splats)
        return render(splats, camera, settings)

    renderer, settings = PictureRenderer(Renderers(counted, counted)), ViewSettings()

    def frames(modes: Sequence[Mode]) -> list[Frame]:
        return renderer.frames(Scene(CLOUD), CAMERA, modes, settings, lens=lens)

    frames(["rgb"])
    once = len(rendered)
    modes: list[Mode] = ["depth", "centres", "rgb", "frequency", "normals", "alpha"]
    together = frames(modes)
    assert len(rendered) == 4 * once  # centres and frequencies are pictures of their own
    selections = {id(splats) for splats in rendered}
    frames(modes)
    assert {id(splats) for splats in rendered} == selections  # made once for all pictures
    for mode, shown in zip(modes, together, strict=True):
        (alone,) = frames([mode])
        for plane in ("color", "alpha", "depth"):
            assert torch.equal(getattr(shown, plane), getattr(alone, plane))


@pytest.mark.parametrize("background", [None, (0.2, 0.6, 0.8)])
def test_webp_keeps_every_bit_also_where_nothing_is(
    background: tuple[float, float, float] | None,
):
    encoder = Encoder("rgb", "webp", background)
    picture = encoder.eight(frame("rgb"))
    np.testing.assert_array_equal(read(encoder.packed(picture)), picture)
    if background is None:
        assert not picture[picture[..., 3] == 0].any()
        noise = np.random.default_rng(0).integers(0, 256, (33, 40, 4)).astype(np.uint8)
        noise[::2, :, 3] = 0
        np.testing.assert_array_equal(read(encoder.packed(noise)), noise)
