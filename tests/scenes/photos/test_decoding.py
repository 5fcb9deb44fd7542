"""Files of photos: every kind becomes [H, W, 3] of 8 bits, upright, or is refused with a reason."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from colmap_files import Model, photo, ring, write_binary, write_photos
from PIL import Image, ImageOps, features

from gaborsplat.scenes import InputError, load_capture
from gaborsplat.scenes.photos.decoding import Header, read_header, read_pixels
from gaborsplat.scenes.photos.images import Photo
from gaborsplat.scenes.photos.lenses import Lens

SIZE = (64, 48)


def written(path: Path, **options: object) -> Path:
    """The test photo, in the format of the file's ending."""
    Image.fromarray(photo(SIZE)).save(path, **options)
    return path


def decoded(path: Path, size: tuple[int, int] = SIZE, white: float = 255.0) -> torch.Tensor:
    """The photo in a file, at `size`."""
    lens = Lens("PINHOLE", size, (60.0, 60.0), (size[0] / 2, size[1] / 2))
    return Photo(path, read_header(path), lens, white=white).decode()


# Formats.


@pytest.mark.parametrize(
    "ending", ["png", "tif", "bmp", "ppm", "jpg", "webp", "gif", "jp2", "avif"]
)
def test_formats_give_the_photo(tmp_path: Path, ending: str):
    if ending == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    path = written(
        tmp_path / f"a.{ending}", **({"quality": 98} if ending in ("jpg", "webp") else {})
    )
    assert read_header(path) == Header(SIZE)
    error = (decoded(path).int() - torch.from_numpy(photo(SIZE)).int()).abs().float()
    assert error.mean() < (6 if ending in ("gif", "avif") else 2)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr"])
def test_modes_give_the_photo_in_rgb(tmp_path: Path, mode: str):
    ending = {"CMYK": "jpg", "YCbCr": "jpg", "PA": "tif"}.get(mode, "png")
    image = Image.fromarray(photo(SIZE)).convert("P" if mode == "PA" else mode)
    image.convert(mode).save(tmp_path / f"a.{ending}")
    pixels = decoded(tmp_path / f"a.{ending}")
    assert pixels.shape == (48, 64, 3)
    expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(pixels.numpy() - expected).mean() < 3


def sixteen(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)
    return path


@pytest.mark.parametrize("ending", ["png", "tif", "ppm"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, ending: str):
    path = sixteen(tmp_path / f"a.{ending}", photo(SIZE).astype(np.uint16) * 257)
    assert read_header(path) == Header(SIZE, bits=16)
    assert torch.equal(decoded(path, white=65535.0), torch.from_numpy(photo(SIZE)))
    grey = sixteen(
        tmp_path / f"g.{'pgm' if ending == 'ppm' else ending}", np.full((48, 64), 4112, "u2")
    )
    assert (decoded(grey, white=65535.0) == 16).all()


def of_photos(scene: Model, folder: Path, image: np.ndarray, ending: str) -> Path:
    """A capture, each photo of which is `image`."""
    (folder / "images").mkdir(parents=True)
    for view in scene.views:
        view.name = view.name.replace("png", ending)
        sixteen(folder / "images" / view.name, image)
    write_binary(scene, folder / "sparse" / "0")
    return folder


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_fewer_bits_in_sixteen_are_scaled_by_what_they_are(tmp_path: Path, bits: int):
    white = 2**bits - 1
    image = np.round(photo(SIZE) / 255.0 * white).astype(np.uint16)
    image[0, 0] = round(0.9 * white)
    capture = load_capture(of_photos(ring(), tmp_path, image, "png"))
    error = capture.views[0].image().int() - torch.from_numpy(image / white * 255).round().int()
    assert error.abs().max() <= 1
    said = [line for line in capture.repairs if f"took {white} for white" in line]
    assert len(said) == (bits < 16)


@pytest.mark.parametrize("most", [1.0, 255.0, 1000.0])
def test_floating_point_is_scaled_by_what_is_brightest(tmp_path: Path, most: float):
    image = (photo(SIZE) / 255.0 * most).astype(np.float32)
    image[0, 0] = most
    image[1, 1] = np.nan
    capture = load_capture(of_photos(ring(), tmp_path, image, "tif"))
    pixels = capture.views[0].image().int()
    error = (pixels - torch.from_numpy(photo(SIZE)).int()).abs()
    error[0, 0] = error[1, 1] = 0
    assert error.max() <= (3 if most == 1000.0 else 1)  # white is 1023


# EXIF.


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_exif_means_it(tmp_path: Path, orientation: int):
    path = written(tmp_path / "a.png", exif=with_orientation(orientation))
    header = read_header(path)
    assert header.orientation == orientation
    size = (48, 64) if orientation > 4 else (64, 48)
    lens = Lens("PINHOLE", size, (60.0, 60.0), (size[0] / 2, size[1] / 2))
    turned = Photo(path, header, lens, orientation).decode()
    with Image.open(path) as stored:
        np.testing.assert_array_equal(turned, np.asarray(ImageOps.exif_transpose(stored)))


def with_exif(folder: Path, size: tuple[int, int], orientations: list[int]) -> Path:
    """A capture of cameras of `size` with photos of 64 x 48 that EXIF turns."""
    scene = ring(len(orientations), size)
    write_binary(scene, folder / "sparse" / "0")
    (folder / "images").mkdir()
    for view, orientation in zip(scene.views, orientations, strict=True):
        written(folder / "images" / view.name, exif=with_orientation(orientation))
    return folder


def test_exif_is_obeyed_where_the_cameras_have_the_shape_that_it_gives(tmp_path: Path):
    capture = load_capture(with_exif(tmp_path, (48, 64), [6, 8, 6, 8]))
    assert [view.photo.orientation for view in capture.views] == [8, 6, 8, 6]
    assert capture.views[0].image().shape == (64, 48, 3)
    assert "turned 4 photos as their EXIF says" in capture.repairs[0]


def test_exif_is_ignored_where_the_cameras_have_the_shape_of_the_file(tmp_path: Path):
    capture = load_capture(with_exif(tmp_path, (64, 48), [6, 3, 1, 8]))
    assert [view.photo.orientation for view in capture.views] == [1, 1, 1, 1]
    assert not capture.repairs


def test_a_photo_upside_down_is_turned_where_the_others_show_that_exif_was_obeyed(tmp_path: Path):
    folder = with_exif(tmp_path, (64, 48), [3, 3, 1, 1])
    assert not load_capture(folder).repairs  # nothing tells
    portrait = Image.fromarray(photo((48, 64)))  # stored upright, and turned by EXIF
    portrait.save(folder / "images" / "0001.png", exif=with_orientation(6))
    capture = load_capture(folder)
    assert [view.photo.orientation for view in capture.views] == [6, 1, 3, 3]


# Size.


def test_a_large_photo_is_shrunk_while_it_is_decoded(tmp_path: Path):
    large = Image.fromarray(photo(SIZE)).resize((3200, 2400), Image.Resampling.BICUBIC)
    large.save(tmp_path / "a.jpg", quality=95)
    header = read_header(tmp_path / "a.jpg")
    assert read_pixels(tmp_path / "a.jpg", header, at_least=(128, 96))[0].shape == (300, 400, 3)
    assert read_pixels(tmp_path / "a.jpg", header)[0].shape == (2400, 3200, 3)
    small = decoded(tmp_path / "a.jpg")
    assert (small.int() - torch.from_numpy(photo(SIZE)).int()).abs().float().mean() < 3


def test_no_photo_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # refuses what has more than 200
    assert decoded(written(tmp_path / "a.png")).shape == (48, 64, 3)
    assert Image.MAX_IMAGE_PIXELS == 100  # as it was, for everybody else


def test_a_strip_stays_a_strip(tmp_path: Path):
    Image.fromarray(photo((956, 6))).save(tmp_path / "a.jpg")
    assert decoded(tmp_path / "a.jpg", (160, 1)).shape == (1, 160, 3)


# What cannot be read.


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp", "bmp", "gif", "ppm"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.3, 0.6, 0.9])
def test_a_file_that_is_cut_short_is_refused_in_one_line(
    tmp_path: Path, ending: str, kept: float, capfd: pytest.CaptureFixture[str]
):
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    path = tmp_path / f"a.{ending}"
    Image.fromarray(noise).save(path)
    whole = read_header(path)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(InputError, match=r"a\.\w+: cannot be decoded: ") as refusal:
        read_pixels(path, whole)
    assert "\n" not in str(refusal.value)
    assert not any(capfd.readouterr())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"no photo", "the file is damaged, or of a kind that is not known"),
        (b"\xff\xd8\xff\xe0 cut off", "the file is damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 40, "the file is damaged"),
        (b"II*\0" + b"\xff" * 40, "the file is damaged"),
    ],
)
def test_what_is_no_photo_is_refused_with_a_reason(tmp_path: Path, content: bytes, reason: str):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(InputError) as refusal:
        read_header(path)
    assert str(refusal.value).startswith(f"{path}: cannot be read as a photo: {reason}")


def test_a_raw_file_is_refused_rather_than_its_thumbnail_taken(tmp_path: Path):
    written(tmp_path / "a.tif").rename(tmp_path / "a.NEF")
    with pytest.raises(InputError, match=r"a\.NEF: is a camera's raw file; convert it"):
        read_header(tmp_path / "a.NEF")


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def test_heic_without_its_plugin_is_refused_with_the_plugins_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.HEIC").write_bytes(HEIC)
    with pytest.raises(InputError, match=r"it is HEIC, for which pillow-heif is needed \(pip"):
        read_header(tmp_path / "a.HEIC")


def test_heic_is_read_through_its_plugin_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The plugin that people install is not needed for this: one that knows a single photo."""

    class Heic(Image.Image):
        def __init__(self, _file: object, _name: object) -> None:
            super().__init__()
            self.__dict__.update(Image.fromarray(photo(SIZE)).__dict__)

    def register() -> None:
        Image.register_open("TEST-HEIC", Heic, lambda start: start[8:12] == b"heic")

    plugin = types.ModuleType("pillow_heif")
    plugin.register_heif_opener = register  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    (tmp_path / "a.heic").write_bytes(HEIC)
    assert torch.equal(decoded(tmp_path / "a.heic"), torch.from_numpy(photo(SIZE)))


def test_all_photos_of_a_kind_that_cannot_be_read_refuse_the_capture_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    write_photos(ring(), tmp_path / "images")
    for path in (tmp_path / "images").iterdir():
        path.write_bytes(HEIC)
    write_binary(ring(), tmp_path / "sparse" / "0")
    with pytest.raises(InputError, match=r"9 of 9 photos .*first 0001\.png: .*pillow-heif"):
        load_capture(tmp_path)
