"""Photos that are missing or cannot be used are left out and named, while enough are left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from colmap_files import photo, ring, write_capture
from PIL import Image

from gaborsplat.scenes import InputError, load_capture


def gone(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def cropped(path: Path) -> None:
    Image.fromarray(photo((64, 40))).save(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = {
    gone: "no such photo in",
    empty: "the file is empty",
    cut: "the file is damaged",
    cropped: "the photo is 64 x 40, but its camera is 64 x 48",
    a_folder: "no such photo in",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_photo_that_cannot_be_used_is_left_out_and_named(
    tmp_path: Path, damage: Callable[[Path], None]
):
    folder = write_capture(ring(), tmp_path)
    for name in ("0003.png", "0007.png"):
        damage(folder / "images" / name)
    capture = load_capture(folder)
    assert [view.name[3] for view in capture.views] == list("1245689")
    lines = [line for line in capture.repairs if line.startswith("left out ")]
    assert [line[9:18] for line in lines] == ["0003.png:", "0007.png:"]
    assert all(DAMAGES[damage] in line and "\n" not in line for line in lines)


def test_what_a_view_is_for_does_not_depend_on_photos_that_are_left_out(tmp_path: Path):
    folder = write_capture(ring(17), tmp_path)
    for name in ("0002.png", "0009.png"):  # one of each kind
        (folder / "images" / name).unlink()
    capture = load_capture(folder)
    assert [view.name for view in capture.test] == ["0001.png", "0017.png"]
    assert [int(view.name[:4]) for view in capture.train] == [*range(3, 9), *range(10, 17)]


@pytest.mark.parametrize(("total", "lost"), [(9, 4), (4, 1), (3, 0), (8, 4)])
def test_half_of_the_photos_are_enough(tmp_path: Path, total: int, lost: int):
    folder = write_capture(ring(total), tmp_path)
    files = sorted((folder / "images").iterdir())
    for path in files[:lost]:
        path.unlink()
    assert len(load_capture(folder).views) == total - lost
    files[lost].write_bytes(b"")
    needed = max(3, (total + 1) // 2)
    with pytest.raises(InputError) as refusal:
        load_capture(folder)
    line = str(refusal.value)
    assert f"{lost + 1} of {total} photos of the model are missing or cannot be used" in line
    assert f"{needed} are needed" in line
    assert "--images" in line
    assert "\n" not in line


def test_names_that_would_disturb_a_terminal_are_said_without_that(tmp_path: Path):
    scene = ring()
    folder = write_capture(scene, tmp_path)
    scene.views[0].name = "a\x1b[2J\nb.png"
    write_capture(scene, folder)
    (folder / "images" / scene.views[0].name).unlink()
    (line,) = load_capture(folder).repairs
    assert line.startswith("left out a?[2J b.png: ")
    assert line.isprintable()
