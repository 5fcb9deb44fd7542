"""Photos are found by their names, by what is left of these, and never where they are not meant."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from colmap_files import Camera, Model, ring, write_binary, write_capture, write_photos

from gaborsplat.scenes import InputError, load_capture


def renamed(rename: Callable[[str], str]) -> Model:
    """The ring with other names in its model."""
    scene = ring()
    for view in scene.views:
        view.name = rename(view.name)
    return scene


def files_of(folder: Path, **options: object) -> list[str]:
    """The files of a capture's views, relative to its folder."""
    views = load_capture(folder, **options).views  # pyright: ignore[reportArgumentType]
    return [str(view.photo.path.resolve().relative_to(folder.resolve())) for view in views]


def in_images(ending: str = ".png") -> list[str]:
    return [f"images/{i:04d}{ending}" for i in range(1, 10)]


def test_photos_in_another_folder_are_named_by_the_caller(tmp_path: Path):
    capture = write_capture(ring(), tmp_path / "capture")
    (capture / "images").rename(capture / "half")
    assert len(load_capture(capture, images="half").views) == 9
    (capture / "half").rename(tmp_path / "elsewhere")
    assert len(load_capture(capture, images=tmp_path / "elsewhere").views) == 9
    with pytest.raises(InputError, match="half: no such folder of photos"):
        load_capture(capture, images="half")


def test_photos_in_sub_folders_match_by_their_whole_name(tmp_path: Path):
    scene = ring()
    for i, view in enumerate(scene.views):
        view.name = f"camera {i % 3}/same {i // 3}.png"  # each file name three times
    capture = load_capture(write_capture(scene, tmp_path))
    assert len({view.photo.path for view in capture.views}) == 9
    assert not capture.repairs


def test_backslashes_in_names_are_folders(tmp_path: Path):
    scene = ring()
    write_photos(scene, tmp_path / "images" / "left")
    for view in scene.views:
        view.name = f"left\\{view.name}"
    write_binary(scene, tmp_path / "sparse" / "0")
    assert load_capture(tmp_path).views[0].name == "left/0001.png"


def test_photos_that_were_moved_are_found_by_their_file_name_and_reported(tmp_path: Path):
    capture = write_capture(ring(), tmp_path)
    (capture / "images" / "deep").mkdir()
    (capture / "images" / "0002.png").rename(capture / "images" / "deep" / "0002.PNG")
    loaded = load_capture(capture)
    assert loaded.views[1].photo.path == capture / "images" / "deep" / "0002.PNG"
    assert "found 1 photos by their file name alone (first 0002.png as" in loaded.repairs[0]


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace(".png", ".JPEG"),  # another ending
        lambda name: name.replace(".png", ".PNG"),  # another letter case
        lambda name: "images/" + name,
        lambda name: "C:\\Users\\me\\Photos\\" + name,
        lambda name: "/somewhere/else/" + name,
        lambda name: "../images/" + name,
    ],
)
def test_a_name_is_found_by_what_is_left_of_it(tmp_path: Path, rename: Callable[[str], str]):
    write_photos(ring(), tmp_path / "images")
    write_binary(renamed(rename), tmp_path / "sparse" / "0")
    assert files_of(tmp_path) == in_images()


@pytest.mark.parametrize(("stored", "named"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_both_forms_of_a_name_in_unicode_are_one(tmp_path: Path, stored: str, named: str):
    for form, write in ((stored, write_photos), (named, write_binary)):
        scene = renamed(lambda name, form=form: unicodedata.normalize(form, f"Grün é {name}"))
        write(scene, tmp_path / {write_photos: "images"}.get(write, "sparse/0"))
    assert len(files_of(tmp_path)) == 9


def test_a_name_as_it_stands_goes_before_what_is_like_it(tmp_path: Path):
    capture = write_capture(ring(), tmp_path)
    for like in ("0001.PNG", "0001.jpg", "deep/0001.png"):
        (capture / "images" / like).parent.mkdir(exist_ok=True)
        shutil.copy(capture / "images" / "0002.png", capture / "images" / like)
    loaded = load_capture(capture)
    assert loaded.views[0].photo.path == capture / "images" / "0001.png"
    assert not loaded.repairs


def test_a_photo_whose_folders_are_those_of_the_name_goes_before_others(tmp_path: Path):
    scene = renamed(lambda name: f"day/left/{name}")
    write_photos(ring(), tmp_path / "images" / "trip" / "left")
    write_photos(ring(), tmp_path / "images" / "trip" / "right")
    write_binary(scene, tmp_path / "sparse" / "0")
    assert files_of(tmp_path) == [f"images/trip/left/{i:04d}.png" for i in range(1, 10)]


def test_a_file_name_that_is_there_twice_is_said_with_what_to_do(tmp_path: Path):
    capture = write_capture(ring(), tmp_path)
    source = (capture / "images" / "0002.png").read_bytes()
    (capture / "images" / "0002.png").unlink()
    for folder in ("a", "b"):
        (capture / "images" / folder).mkdir()
        (capture / "images" / folder / "0002.png").write_bytes(source)
    loaded = load_capture(capture)
    assert len(loaded.views) == 8
    images = capture.resolve() / "images"
    assert loaded.repairs == (
        f"left out 0002.png: found twice, as {images}/a/0002.png and {images}/b/0002.png; "
        "say with --images which folder is meant",
    )


def test_one_file_is_not_the_photo_of_two_names(tmp_path: Path):
    scene = ring()
    write_photos(scene, tmp_path / "images")
    scene.views[0].name, scene.views[1].name = "left/0009.jpg", "right/0009.jpg"
    write_binary(scene, tmp_path / "sparse" / "0")
    loaded = load_capture(tmp_path)
    assert [view.name for view in loaded.views] == [f"{i:04d}.png" for i in range(1, 8)]
    assert "0009.png would be the photo of 2 names" in loaded.repairs[0]


def test_what_is_no_photo_is_not_found_by_its_stem(tmp_path: Path):
    write_photos(ring(), tmp_path / "images")
    for i in range(1, 10):
        for ending in (".json", ".txt", ".CR2", ".png.xmp"):
            (tmp_path / "images" / f"{i:04d}{ending}").write_text("beside it")
    write_binary(renamed(lambda name: name.replace("png", "jpg")), tmp_path / "sparse" / "0")
    assert files_of(tmp_path) == in_images()


# Links.


def test_linked_folders_are_followed_once(tmp_path: Path):
    write_photos(ring(), tmp_path / "elsewhere" / "deep")
    write_binary(ring(), tmp_path / "scene" / "sparse" / "0")
    images = tmp_path / "scene" / "images"
    images.mkdir()
    os.symlink(tmp_path / "elsewhere", images / "day1")
    os.symlink(tmp_path / "elsewhere", images / "day1 again")
    os.symlink(images, tmp_path / "elsewhere" / "circle")
    os.symlink(tmp_path / "elsewhere", tmp_path / "elsewhere" / "deep" / "up")
    views = load_capture(tmp_path / "scene").views
    assert {view.photo.path.resolve().parent for view in views} == {
        (tmp_path / "elsewhere" / "deep").resolve()
    }


def test_links_to_one_file_are_one_photo(tmp_path: Path):
    write_photos(ring(), tmp_path / "images" / "a")
    (tmp_path / "images" / "b").mkdir()
    for path in (tmp_path / "images" / "a").iterdir():
        os.symlink(path, tmp_path / "images" / "b" / path.name)
    write_binary(ring(), tmp_path / "sparse" / "0")
    assert len(load_capture(tmp_path).views) == 9


# Which folder.


@pytest.mark.parametrize("place", ["input", "photos", "deep/down", "."])
def test_photos_need_not_be_in_a_folder_called_images(tmp_path: Path, place: str):
    write_photos(ring(), tmp_path / place)
    write_binary(ring(), tmp_path / "sparse" / "0")
    assert len(load_capture(tmp_path).views) == 9


def test_photos_of_a_model_in_a_sub_folder_are_beside_it_or_above(tmp_path: Path):
    for name, home in (("beside", "colmap"), ("above", ".")):
        write_binary(ring(), tmp_path / name / "colmap" / "sparse" / "0")
        write_photos(ring(), tmp_path / name / home / "images")
        assert files_of(tmp_path / name)[0] == os.path.normpath(f"{home}/images/0001.png")


def test_smaller_copies_beside_the_photos_are_not_taken(tmp_path: Path):
    capture = write_capture(ring(), tmp_path)
    write_photos(ring(), capture / "images_2", 0.5)
    assert files_of(capture) == in_images()
    (capture / "images" / "0002.png").unlink()  # by whoever made the capture: it stays out
    assert files_of(capture) == [each for each in in_images() if "0002" not in each]


@pytest.mark.parametrize(
    ("max_size", "scale"), [(None, 2), (60, 2), (32, 2), (31, 2), (16, 4), (9, 4), (8, 8), (2, 8)]
)
def test_of_smaller_copies_alone_those_that_are_large_enough_are_taken(
    tmp_path: Path, max_size: int | None, scale: int
):
    for each in (2, 4, 8):
        write_photos(ring(), tmp_path / f"images_{each}", 1 / each)
    write_binary(ring(), tmp_path / "sparse" / "0")
    capture = load_capture(tmp_path, max_size=max_size)
    assert capture.views[0].photo.path.parent.name == f"images_{scale}"
    assert f"images_{scale}: took these smaller photos" in capture.repairs[0]


@pytest.mark.parametrize(
    "folder", ["masks", "Mask", "images_mask", "sam-masks", "depth", "masks/a"]
)
def test_masks_are_never_photos(tmp_path: Path, folder: str):
    write_photos(ring(), tmp_path / folder)
    write_binary(ring(), tmp_path / "sparse" / "0")
    with pytest.raises(InputError, match="9 of 9 photos") as refusal:
        load_capture(tmp_path)
    assert f"{folder.split('/')[0]} was not looked into: masks are no photos" in str(refusal.value)
    write_photos(ring(), tmp_path / "photos")
    assert files_of(tmp_path)[0] == "photos/0001.png"


@pytest.mark.parametrize(
    "beside", [".ipynb_checkpoints", "@eaDir", "__MACOSX", "thumbnails", "out"]
)
def test_what_programs_leave_beside_photos_is_not_taken_for_them(tmp_path: Path, beside: str):
    write_photos(ring(), tmp_path / "pictures")
    write_photos(ring(), tmp_path / beside / "test", 0.25)
    (tmp_path / "out").mkdir(exist_ok=True)
    for name in ("config.json", "log.jsonl"):  # a run
        (tmp_path / "out" / name).write_text("{}")
    write_binary(ring(), tmp_path / "sparse" / "0")
    assert files_of(tmp_path)[0] == "pictures/0001.png"


# Workspaces of COLMAP.


def bent() -> Model:
    """The ring, as its photos were before they were undistorted."""
    scene = ring()
    scene.cameras[0] = Camera(3, "SIMPLE_RADIAL", (64, 48), (60.0, 32.0, 24.0, -0.2))
    return scene


@pytest.mark.parametrize("dense", ["dense/0", "dense"])
def test_undistorted_photos_have_their_own_model(tmp_path: Path, dense: str):
    write_binary(bent(), tmp_path / "sparse" / "0")
    write_capture(ring(), tmp_path / dense)
    shutil.move(tmp_path / dense / "sparse" / "0", tmp_path / "flat")
    shutil.rmtree(tmp_path / dense / "sparse")
    shutil.move(tmp_path / "flat", tmp_path / dense / "sparse")
    capture = load_capture(tmp_path)
    assert capture.model.folder == tmp_path / dense / "sparse"
    assert all(view.photo.lens.is_pinhole for view in capture.views)
    assert "took this model and its photos; 0 of the 9 photos of" in capture.repairs[0]


def test_photos_as_they_were_taken_go_with_the_model_of_these(tmp_path: Path):
    write_capture(bent(), tmp_path)
    write_capture(ring(), tmp_path / "dense" / "0")
    capture = load_capture(tmp_path)
    assert capture.model.folder == tmp_path / "sparse" / "0"
    assert files_of(tmp_path) == in_images()
    assert not capture.views[0].photo.lens.is_pinhole
    other = tmp_path / "dense" / "0"
    assert any(
        line.startswith(f"{other}/sparse") and "not used" in line for line in capture.repairs
    )


def test_an_undistorted_model_never_takes_the_photos_as_they_were_taken(tmp_path: Path):
    write_photos(ring(), tmp_path / "images")
    write_binary(ring(), tmp_path / "dense" / "0" / "sparse")
    with pytest.raises(InputError, match=r"9 of 9 photos.*no such photo in .*dense/0"):
        load_capture(tmp_path)


def test_a_whole_workspace_without_a_sparse_model_is_found(tmp_path: Path):
    write_capture(ring(), tmp_path / "dense" / "0")
    assert files_of(tmp_path)[0] == "dense/0/images/0001.png"
