"""What a page does with files that have something in them that cannot be shown."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import plyfile
import pytest
from chromium_page import needed
from scene_page import SIZE, assert_alike, camera_around, scene_page
from synthetic import ball

from gaborsplat.scenes import SplatMetadata, axis_vector, load_splat_file, save_splats
from gaborsplat.scenes.splats.metadata import Axis

pytestmark = [needed, pytest.mark.slow]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["f_dc_1", "f_rest_4", "gabor_frequency_1_y", "x", "rot_2"])
def test_splats_with_a_value_that_is_no_number_are_left_out(
    browser: Any, folder: Path, tmp_path: Path, name: str, value: float
):
    path = tmp_path / "a.ply"
    save_splats(ball(400, 2), path, antialiased=False)
    file = plyfile.PlyData.read(path, mmap=False)
    file["vertex"].data[name][::7] = value
    file.write(path)
    read = load_splat_file(path)
    assert len(read.splats) < 350
    with scene_page(browser) as page:
        page.open(folder / "viewer.html")
        page.give(path)
        page.until_ready()
        assert_alike(page, read.splats, read.settings, 40)


@pytest.mark.parametrize(
    "stated",
    [
        {"background": "x", "up": {"x": 1}, "nearPlane": "near", "antialiased": 7},
        {"background": [1, 2], "up": [0, 1e999, 0], "nearPlane": -1.0},
        {"background": [0.5, None, 3], "up": None, "nearPlane": None, "name": 5},
    ],
)
def test_what_a_file_says_of_the_whole_scene_is_taken_if_it_is_of_its_kind(
    browser: Any, folder: Path, tmp_path: Path, stated: dict[str, Any]
):
    sound = (folder / "the scene.gspl").read_bytes()
    magic, version, length = struct.unpack("<4sII", sound[:12])
    header = json.dumps(json.loads(sound[12 : 12 + length]) | stated)
    header = header.replace("Infinity", "1e999").encode()
    start = struct.pack("<4sII", magic, version, len(header))
    path = tmp_path / "a.gspl"
    path.write_bytes(start + header + sound[12 + length :])
    with scene_page(browser) as page:
        page.open(folder / "viewer.html")
        page.give(path)
        page.until_ready()
        assert page.shot().std() > 5
        assert np.isfinite(page.pose()).all()


def test_a_scene_that_a_gpu_has_no_room_for_is_refused_and_the_next_one_shown(
    browser: Any, folder: Path, tmp_path: Path
):
    save_splats(ball(400, 2), tmp_path / "sound.ply", antialiased=False)
    save_splats(ball(5000, 2), tmp_path / "large.ply", antialiased=False)
    with scene_page(browser) as page:
        page.open(folder / "viewer.html")
        page.until("globalThis.__gaborsplat")
        page.page.evaluate(
            """() => {
                const { gl } = __gaborsplat.stage.renderer;
                const ask = gl.getParameter.bind(gl);
                gl.getParameter = (name) => name === gl.MAX_TEXTURE_SIZE ? 64 : ask(name);
            }"""
        )
        for _ in range(2):  # first, and after another one
            page.give(tmp_path / "large.ply")
            page.until("document.getElementById('notice').textContent.startsWith('large.ply')")
            assert "texels" in page.notice
            assert len(page.notice.splitlines()) == 1
            assert page.page.evaluate("() => __gaborsplat.stage.scene === null")
            page.give(tmp_path / "sound.ply")
            page.until("__gaborsplat.stage.scene")
            page.until_ready()
            assert page.picture(camera_around(0, SIZE)).std() > 5


@pytest.mark.parametrize("ending", [".ply", ".sog"])
@pytest.mark.parametrize("axis", ["z", "-y"])
def test_what_is_up_in_a_file_is_up_on_the_page(
    browser: Any, folder: Path, tmp_path: Path, ending: str, axis: Axis
):
    path = tmp_path / f"a{ending}"
    save_splats(ball(100, 0), path, metadata=SplatMetadata(up=axis))
    with scene_page(browser) as page:
        page.open(folder / "viewer.html")
        page.give(path)
        page.until_ready()
        up = page.page.evaluate("() => __gaborsplat.show.camera.up")
    assert tuple(up) == axis_vector(axis)


@pytest.mark.parametrize(
    ("comments", "up"),
    [
        (["Vertical Axis: z"], [0, 0, 1]),
        (["Vertical Axis: 0 0 2"], [0, 0, 1]),
        (["Exported from Brush", "Vertical axis: y"], [0, -1, 0]),  # which means nothing there
    ],
)
def test_what_is_up_as_other_programs_say_it(
    browser: Any, folder: Path, tmp_path: Path, comments: list[str], up: list[float]
):
    path = tmp_path / "a.ply"
    save_splats(ball(100, 0), path, comments=comments)
    with scene_page(browser) as page:
        page.open(folder / "viewer.html")
        page.give(path)
        page.until_ready()
        assert page.page.evaluate("() => __gaborsplat.show.camera.up") == up
