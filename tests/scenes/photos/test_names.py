"""Names of views: whatever a model calls its photos, files can be named after them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import hypothesis
import hypothesis.strategies as st
import pytest
from colmap_files import ring, write_binary, write_photos

from gaborsplat.scenes import load_capture
from gaborsplat.scenes.photos.names import ENDING, safe_names, same_key

HOSTILE = {
    "absolute": ["/etc/passwd", "/etc/shadow", "/other/place.jpg"],
    "climbing": ["../../a.jpg", "a/../../b.jpg", "..", "../..", "./c.jpg"],
    "backslashes": ["..\\..\\a.jpg", "\\windows\\b.jpg", "\\\\server\\share\\c.jpg"],
    "drives": ["C:\\photos\\a.jpg", "c:b.jpg", "D:/c.jpg", "C:", "C:\\"],
    "control characters": ["a\0b.jpg", "a\x1b[2Jb.jpg", "a\nb.jpg", "\x7f", "\u2028.jpg"],
    "what Windows forbids": ["a<b>.jpg", 'a"b.jpg', "a|b?.jpg", "a*.jpg", "a:stream", "file:///a"],
    "devices": ["NUL", "con.jpg", "aux/a.jpg", "COM1.png", "lpt9", "PRN .txt", "COM¹"],
    "ends that Windows drops": ["a.", "a ", "a", "b/. /c", "..."],
    "very long": ["x" * 5000 + ".jpg", "x" * 5001 + ".jpg", "/".join(["d" * 90] * 50), "é" * 300],
    "Unicode": ["写真 é 1.jpg", "\ud800.jpg", "\ud801.jpg", "👩‍👩‍👧.jpg"],
    "equal after cleaning": ["a?.jpg", "a*.jpg", "a_.jpg", "A_.JPG", "é.jpg", "e\u0301.jpg"],
    "a file and a folder": ["a", "a.png/b", "A.PNG/c", "a.png", "a.png.png/d"],
    "nothing": ["", "/", ".", "//", "\\"],
}


def assert_safe(names: list[str]) -> None:
    """Files and folders of these names lie below a folder, on every system, and none is another."""
    files = [same_key(f"{name}{ENDING}") for name in names]
    folders = {str(parent) for file in files for parent in PurePosixPath(file).parents}
    assert len(set(files)) == len(files)
    assert not folders & set(files)
    for name in names:
        assert len(f"{name}{ENDING}".encode()) < 450
        assert not PureWindowsPath(name).drive
        assert not PureWindowsPath(name).root
        assert not set(name) & set('\0\n\x1b\x7f<>:"|?*\\')
        for part in name.split("/"):
            assert part not in ("", ".", "..")
            assert not part.endswith((".", " "))
            assert len(part.encode()) <= 200
            device = part.split(".")[0].strip().lower()
            assert device not in ("con", "prn", "aux", "nul", "com1", "lpt9", "com¹")


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_names_become_safe_ones(kind: str):
    assert_safe(safe_names(HOSTILE[kind]))


def test_all_hostile_names_together_are_safe_and_do_not_depend_on_their_order():
    names = sorted({name for kind in HOSTILE.values() for name in kind})
    safe = safe_names(names)
    assert_safe(safe)
    assert dict(zip(names, safe, strict=True)) == dict(
        zip(names[::-1], safe_names(names[::-1]), strict=True)
    )


@hypothesis.given(st.lists(st.text(st.sampled_from("aA./\\:C? é\0"), max_size=8), unique=True))
def test_any_names_become_safe_ones(names: list[str]):
    assert_safe(safe_names(names))


def test_harmless_names_stay_as_they_are():
    names = [
        "DSC_0001.JPG",
        "left cam/0001.jpg",
        "写真 é (1).png",
        ".hidden/a-b+c.jpg",
        "no ending",
    ]
    assert safe_names([*names, "/hostile", "left cam\\0001.jpg"])[: len(names)] == names


def test_absolute_names_lose_the_folders_that_they_share():
    assert safe_names(["/home/me/images/a/1.jpg", "/home/me/images/b/1.jpg", "c/2.jpg"]) == [
        "a/1.jpg",
        "b/1.jpg",
        "c/2.jpg",
    ]


def test_a_captures_views_have_safe_names_and_the_photos_of_their_names(tmp_path: Path):
    scene = ring()
    write_photos(scene, tmp_path / "images")
    for view in scene.views:
        view.name = str(tmp_path / "images" / view.name)
    scene.views[0].name = "../images/0009.png"
    write_binary(scene, tmp_path / "sparse" / "0")
    capture = load_capture(tmp_path)
    assert [view.name for view in capture.views] == [
        "images/0009.png",
        *(f"{i:04d}.png" for i in range(1, 9)),
    ]
    assert {view.photo.path.resolve() for view in capture.views} == {
        (tmp_path / "images" / f"{i:04d}.png").resolve() for i in range(1, 10)
    }
