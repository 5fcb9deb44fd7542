"""Photos: found by name, measured at once, decoded as COLMAP saw them, kept within a budget."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from colmap_files import photo, ring, write_binary, write_capture, write_photos
from PIL import Image

from gaborsplat.scenes import InputError, load_capture
from gaborsplat.scenes.photos.images import Photo, PhotoCache, fit_within

# Sizes.


def test_photos_shrink_to_a_longest_side_and_each_axis_of_k_by_its_own_ratio(tmp_path: Path):
    capture = load_capture(write_capture(ring(), tmp_path), max_size=30)
    view = capture.views[0]
    assert view.camera.size == (30, 22)  # 48 * 30 / 64 = 22.5
    assert view.image().shape == (22, 30, 3)
    k = view.camera.intrinsics
    np.testing.assert_allclose([k[0, 0], k[0, 2]], [60 * 30 / 64, 15], rtol=1e-6)
    np.testing.assert_allclose([k[1, 1], k[1, 2]], [62 * 22 / 48, 25 * 22 / 48], rtol=1e-6)


def test_photos_are_never_enlarged():
    assert fit_within((64, 48), 100) == fit_within((64, 48), None) == (64, 48)
    assert fit_within((48, 64), 32) == (24, 32)
    assert fit_within((1000, 1), 10) == (10, 1)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_photos_of_another_size_but_the_same_shape_are_taken_with_their_own_k(
    tmp_path: Path, scale: float
):
    scene = ring()
    write_photos(scene, tmp_path / "images", scale)
    write_binary(scene, tmp_path / "sparse" / "0")
    view = load_capture(tmp_path).views[0]
    assert view.camera.size == (64 * scale, 48 * scale)
    assert view.camera.intrinsics[0, 0] == 60 * scale


def test_a_photo_of_another_shape_is_left_out_with_both_sizes(tmp_path: Path):
    capture = write_capture(ring(), tmp_path)
    path = capture / "images" / "0004.png"
    cv2.imwrite(str(path), photo((64, 60)))
    loaded = load_capture(capture)
    assert "0004.png" not in [view.name for view in loaded.views]
    assert (
        f"{path}: the photo is 64 x 60, but its camera is 64 x 48; use COLMAP's own photos"
        in (loaded.repairs[-1])
    )
    cv2.imwrite(str(path), photo((48, 64)))
    assert "it is turned, and its EXIF does not say how" in load_capture(capture).repairs[-1]


def test_one_pixel_more_or_less_is_rounding(tmp_path: Path):
    capture = write_capture(ring(), tmp_path)
    cv2.imwrite(str(capture / "images" / "0004.png"), photo((65, 48)))
    assert load_capture(capture).views[3].camera.size == (65, 48)


def test_exif_orientation_is_ignored_as_colmap_ignores_it(tmp_path: Path):
    scene = ring()
    for view in scene.views:
        view.name = view.name.replace(".png", ".jpg")
    write_binary(scene, tmp_path / "sparse" / "0")
    (tmp_path / "images").mkdir()
    exif = Image.Exif()
    exif[274] = 6  # turn by a quarter before showing
    for view in scene.views:
        stored = Image.fromarray(photo((64, 48)))
        stored.save(tmp_path / "images" / view.name, exif=exif, quality=98, subsampling=0)
    image = load_capture(tmp_path).views[0].image()
    assert np.abs(image.numpy().astype(int) - photo((64, 48))).max() < 12


def test_a_photo_knows_its_file_size_and_its_lens(tmp_path: Path):
    stored: Photo = load_capture(write_capture(ring(), tmp_path), max_size=32).views[0].photo
    assert stored.size == (64, 48)
    assert stored.lens.size == (32, 24)


# A capture.


def test_the_folder_of_the_model_is_taken_for_the_capture(tmp_path: Path):
    write_capture(ring(), tmp_path / "door")
    capture = load_capture(tmp_path / "door" / "sparse" / "0")
    assert (capture.name, len(capture.views)) == ("door", 9)


def test_a_photo_that_cannot_be_decoded_is_named_when_it_is_used(tmp_path: Path):
    capture = load_capture(write_capture(ring(), tmp_path))
    path = capture.views[0].photo.path
    path.write_bytes(b"gone")
    with pytest.raises(InputError, match=r"0001\.png: cannot be decoded: the file is damaged"):
        capture.views[0].image()
    cv2.imwrite(str(path), photo((32, 32)))
    with pytest.raises(InputError, match="it has changed since it was loaded"):
        capture.views[0].image()
    path.unlink()
    with pytest.raises(InputError, match=r"0001\.png: cannot be decoded"):
        capture.views[0].image()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        load_capture(tmp_path / "nowhere")


def test_two_photos_are_not_a_capture(tmp_path: Path):
    with pytest.raises(InputError, match=r"images\.bin: 2 usable images; at least 3 are needed"):
        load_capture(write_capture(ring(2), tmp_path))


def test_three_photos_leave_two_to_learn_from(tmp_path: Path):
    capture = load_capture(write_capture(ring(3), tmp_path))
    assert (len(capture.train), len(capture.test)) == (2, 1)


# Memory.


def test_a_photo_is_decoded_once_while_it_fits(tmp_path: Path):
    view = load_capture(write_capture(ring(), tmp_path)).views[0]
    assert view.image() is view.image()


def test_what_does_not_fit_is_decoded_again(tmp_path: Path):
    capture = load_capture(write_capture(ring(), tmp_path), cache_bytes=100)
    first, again = capture.views[0].image(), capture.views[0].image()
    assert first is not again
    assert torch.equal(first, again)


def test_the_cache_keeps_the_most_recent_within_its_budget():
    cache = PhotoCache(250)
    made: list[str] = []

    def get(key: str) -> None:
        def make() -> torch.Tensor:
            made.append(key)
            return torch.zeros(100, dtype=torch.uint8)

        cache.get(key, make)
        assert cache.nbytes <= 250

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    assert made == ["a", "b", "c", "b"]  # c drove out b, not a


def test_the_cache_serves_several_threads(tmp_path: Path):
    capture = load_capture(write_capture(ring(), tmp_path), cache_bytes=3 * 64 * 48 * 3)
    expected = torch.from_numpy(photo((64, 48)))
    wrong: list[str] = []

    def read() -> None:
        for _ in range(20):
            wrong.extend(v.name for v in capture.views if not torch.equal(v.image(), expected))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
