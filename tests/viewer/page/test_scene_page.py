"""An exported page in a real browser, from a file, without network."""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium_page import needed
from scene_page import (
    GRAY,
    NOTHING_KNOWN,
    SIZE,
    VIEW,
    ScenePage,
    assert_alike,
    camera_around,
    scene_page,
)
from synthetic import ball

from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.scenes import load_splat_file, save_splats
from gaborsplat.viewer.page.packing import packed
from gaborsplat.viewer.page.page import (
    PageView,
    embedded_page,
)

pytestmark = [needed, pytest.mark.slow]


@pytest.mark.parametrize("waves", [0, 1, 2, 4])
@pytest.mark.parametrize("antialiased", [False, True])
def test_a_ply_is_drawn_as_by_the_rasterizer(
    browser: Any, folder: Path, tmp_path: Path, waves: int, antialiased: bool
):
    splats = ball(400, waves, degree=waves % 4)
    save_splats(splats, tmp_path / "a.ply", antialiased=antialiased)
    with scene_page(browser) as page:
        page.open(folder / "viewer.html")
        page.give(tmp_path / "a.ply")
        page.until_ready()
        assert_alike(page, splats, RenderSettings(antialiased=antialiased), 40, 0.99)


@pytest.mark.parametrize("ending", [".spz", ".sog", ".splat", ".ply"])
@pytest.mark.parametrize("degree", [0, 1, 3])
def test_files_of_other_programs_are_drawn_as_we_read_them(
    browser: Any, folder: Path, tmp_path: Path, ending: str, degree: int
):
    path = tmp_path / f"a{ending}"
    save_splats(ball(400, 0, degree), path, antialiased=True)
    read = load_splat_file(path)
    with scene_page(browser) as page:
        page.open(folder / "viewer.html")
        page.give(path)
        page.until_ready()
        assert_alike(page, read.splats, read.settings, 40)


@pytest.mark.parametrize("waves", [0, 1, 2, 4])
def test_an_exported_scene_is_drawn_as_by_the_rasterizer(browser: Any, tmp_path: Path, waves: int):
    splats = ball(400, waves)
    page_file = tmp_path / "a.html"
    page_file.write_text(embedded_page(VIEW, packed(splats, GRAY, NOTHING_KNOWN)), encoding="utf-8")
    with scene_page(browser) as page:
        page.open(page_file)
        page.until_ready()
        assert_alike(page, splats)


def test_texts_are_texts(shown: ScenePage):
    assert shown.page.title() == VIEW.title
    assert shown.page.locator("h1").inner_text() == VIEW.title
    assert shown.page.locator("header p").inner_text() == VIEW.caption
    assert shown.page.locator("h1 a").get_attribute("href") == VIEW.link


def test_a_link_that_runs_something_is_refused():
    with pytest.raises(ValueError, match="link"):
        PageView("a", link="javascript:alert(1)")


def test_a_lost_context_comes_back_with_the_picture(shown: ScenePage):
    before = shown.picture(camera_around(0, SIZE))
    shown.page.evaluate(
        """() => {
            globalThis.loss = __gaborsplat.stage.renderer.gl.getExtension("WEBGL_lose_context");
            loss.loseContext();
        }"""
    )
    shown.until("__gaborsplat.stage.lost")
    shown.page.evaluate("() => loss.restoreContext()")
    shown.until("!__gaborsplat.stage.lost")
    shown.until_still()
    assert np.array_equal(shown.picture(camera_around(0, SIZE)), before)


@pytest.mark.parametrize("size", [(200, 300), (390, 700), (640, 200)])
def test_another_size_of_the_window_is_filled(shown: ScenePage, size: tuple[int, int]):
    shown.page.set_viewport_size({"width": size[0], "height": size[1]})
    shown.until(f"document.getElementById('canvas').width === {size[0]}")
    shown.until_still()
    assert shown.page.evaluate("() => __gaborsplat.stage.renderer.target.size") == [*size]
    bar = shown.page.locator("nav").bounding_box()
    assert bar["x"] >= 0 and bar["x"] + bar["width"] <= size[0]


def test_at_rest_nothing_is_drawn(shown: ScenePage):
    frames = shown.page.evaluate("() => __gaborsplat.show.frames")
    shown.page.wait_for_timeout(400)
    assert shown.page.evaluate("() => __gaborsplat.show.frames") == frames


def test_two_pages_at_once_show_their_own(browser: Any, folder: Path, tmp_path: Path):
    other = tmp_path / "other.html"
    splats = ball(100, 0)
    other.write_text(embedded_page(PageView("b"), packed(splats, GRAY, NOTHING_KNOWN)))
    with scene_page(browser) as first, scene_page(browser) as second:
        first.open(folder / "scene.html")
        second.open(other)
        first.until_ready()
        second.until_ready()
        assert_alike(second, splats)
        assert_alike(first, ball(400, 2))


def test_without_webgl2_a_line_says_so(browser: Any, folder: Path):
    with scene_page(browser) as page:
        page.page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
        page.open(folder / "scene.html")
        page.until("document.getElementById('notice').textContent")
        assert "WebGL2" in page.notice


def test_a_browser_that_is_too_old_is_said_to_be(browser: Any, folder: Path):
    page = ScenePage(browser.new_page())  # the browser itself says something, too
    page.page.add_init_script("delete globalThis.DecompressionStream;")
    page.open(folder / "scene.html")
    page.until("document.getElementById('notice').textContent")
    assert "A current browser" in page.notice
    page.page.close()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.ply", b""),
        ("text.ply", b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n0\n"),
        (
            "huge.ply",
            b"ply\nformat binary_little_endian 1.0\nelement vertex 999999999999\n"
            + b"".join(
                b"property float %s\n" % each
                for each in b"x y z opacity scale_0 scale_1 rot_0 f_dc_0".split()
            )
            + b"end_header\n",
        ),
        ("other.txt", b"hello"),
        ("short.gspl", b"GSPL\1\0\0\0\xff\xff\xff\xff"),
        ("future.gspl", b"GSPL\2\0\0\0\0\0\0\0"),
    ],
)
def test_files_that_are_no_splats_are_refused_in_a_line(
    browser: Any, folder: Path, tmp_path: Path, name: str, content: bytes
):
    (tmp_path / name).write_bytes(content)
    with scene_page(browser) as page:
        page.open(folder / "viewer.html")
        page.give(tmp_path / name)
        page.until(f"document.getElementById('notice').textContent.startsWith({name!r})")
        assert len(page.notice.splitlines()) == 1


def test_a_damaged_scene_is_refused_in_a_line_wherever_it_is_damaged(
    browser: Any, folder: Path, tmp_path: Path
):
    sound = (folder / "the scene.gspl").read_bytes()
    with scene_page(browser) as page:
        page.open(folder / "viewer.html")
        for place in (5, 30, 200, len(sound) // 2, len(sound) - 2):
            damaged = bytearray(sound)
            damaged[place] ^= 0xFF
            path = tmp_path / f"at {place}.gspl"
            path.write_bytes(damaged)
            page.give(path)
            page.until(f"document.getElementById('notice').textContent.startsWith('at {place}')")
        page.give(folder / "the scene.gspl")
        page.until_ready()


def test_a_page_beside_its_scene_loads_it_from_its_server(browser: Any, folder: Path):
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = ScenePage(browser.new_page())
        page.page.goto(f"http://127.0.0.1:{server.server_port}/beside.html")
        page.until_ready()
        assert_alike(page, ball(400, 2))
        page.page.close()
        server.shutdown()


def test_a_page_beside_its_scene_says_that_it_needs_a_server(browser: Any, folder: Path):
    page = ScenePage(browser.new_page())  # the browser itself says something, too
    page.open(folder / "beside.html")
    page.until("document.getElementById('notice').textContent")
    assert "web server" in page.notice
    page.page.close()


def test_the_viewer_is_small(folder: Path):
    assert (folder / "viewer.html").stat().st_size < 60_000


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""
