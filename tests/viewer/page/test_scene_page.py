"""An exported page in a real browser, from a file, without network."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium_page import chromium, needed, psnr
from scene_page import ScenePage, camera_around, scene_page
from synthetic import ball

from gaborsplat.renderer.raster.render import render_bytes
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats
from gaborsplat.scenes import SplatMetadata, load_splat_file, save_splats
from gaborsplat.viewer.camera import Outlook
from gaborsplat.viewer.page.packing import packed
from gaborsplat.viewer.page.page import (
    Journey,
    PageView,
    embedded_page,
    empty_page,
    page_beside,
)

pytestmark = [needed, pytest.mark.slow]

SIZE = (160, 120)
NOTHING_KNOWN = SplatMetadata()
GRAY = RenderSettings(background=(0.2, 0.3, 0.4))


def outlook(x: float) -> Outlook:
    return Outlook(np.array([x, 0.0, -4.0]), np.zeros(3), np.array([0.0, -1.0, 0.0]), 0.9)


VIEW = PageView(
    "A <b>scene</b> & more",
    caption='"quoted" </script><script>bad()</script>',
    link="https://example.org/?a=1&b=2",
    start=outlook(0.5),
    journey=Journey([outlook(0.5), outlook(2.0), outlook(-2.0)], 3.0, loop=False),
    cameras=[camera_around(seed, SIZE) for seed in range(5)],
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a page with two waves a splat, and of a viewer without a scene."""
    folder = tmp_path_factory.mktemp("pages")
    data = packed(ball(400, 2), GRAY, NOTHING_KNOWN)
    (folder / "scene.html").write_text(embedded_page(VIEW, data), encoding="utf-8")
    (folder / "viewer.html").write_text(empty_page(PageView("viewer")), encoding="utf-8")
    (folder / "beside.html").write_text(page_beside(VIEW, "the scene.gspl"), encoding="utf-8")
    (folder / "the scene.gspl").write_bytes(data)
    return folder


@pytest.fixture
def shown(browser: Any, folder: Path) -> Iterator[ScenePage]:
    """The page of the scene, ready."""
    with scene_page(browser) as page:
        page.open(folder / "scene.html")
        page.until_ready()
        yield page


def assert_alike(
    page: ScenePage,
    splats: Splats,
    settings: RenderSettings = GRAY,
    least: float = 34,
    correlates: float = 0.97,
) -> None:
    """The page's pictures are the rasterizer's, and so is what waves add to envelopes."""
    for seed in range(3):
        camera = camera_around(seed, SIZE)
        ours = page.picture(camera)
        wanted = render_bytes(splats, camera, settings).numpy()
        assert psnr(ours, wanted) > least
        if splats.waves:
            plain = render_bytes(splats.without_waves(), camera, settings).numpy()
            added = wanted.astype(float) - plain
            found = ours.astype(float) - page.picture(camera, waves=False)
            assert np.corrcoef(added.ravel(), found.ravel())[0, 1] > correlates


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


def test_it_begins_at_the_start_view_and_returns_there(shown: ScenePage):
    start = shown.pose()
    assert start == pytest.approx([0.5, 0, -4, 0, 0, 0])
    shown.page.mouse.move(100, 180)
    shown.page.mouse.down()
    shown.page.mouse.move(150, 190, steps=3)
    shown.page.mouse.up()
    assert shown.pose() != pytest.approx(start)
    shown.page.keyboard.press("h")
    assert shown.pose() == pytest.approx(start)


def distance(pose: list[float]) -> float:
    return float(np.linalg.norm(np.subtract(pose[:3], pose[3:])))


def test_dragging_orbits_wheels_zoom_and_shift_moves(shown: ScenePage):
    before = shown.pose()
    shown.page.mouse.move(100, 180)
    shown.page.mouse.down()
    shown.page.mouse.move(140, 180, steps=2)
    shown.page.mouse.up()
    orbited = shown.pose()
    assert orbited[3:] == pytest.approx(before[3:])
    assert distance(orbited) == pytest.approx(distance(before))
    assert orbited[:3] != pytest.approx(before[:3])
    shown.page.mouse.wheel(0, -200)
    shown.until("__gaborsplat.show.camera.distance() < 3.9")
    shown.page.keyboard.down("Shift")
    shown.page.mouse.down()
    shown.page.mouse.move(150, 200, steps=2)
    shown.page.mouse.up()
    shown.page.keyboard.up("Shift")
    assert shown.pose()[3:] != pytest.approx(before[3:])


def test_keys_fly_and_turn(shown: ScenePage):
    shown.page.locator("#canvas").focus()
    for key in ("w", "a", "s", "d", "q", "e", "ArrowLeft", "ArrowUp"):
        before = shown.pose()
        shown.page.keyboard.down(key)
        shown.page.wait_for_timeout(150)
        shown.page.keyboard.up(key)
        assert shown.pose() != pytest.approx(before), key


def test_flying_turns_the_head(shown: ScenePage):
    shown.page.locator("[data-does=fly]").click()
    assert shown.pressed("fly")
    before = shown.pose()
    shown.page.mouse.move(100, 200)
    shown.page.mouse.down()
    shown.page.mouse.move(130, 200, steps=2)
    shown.page.mouse.up()
    after = shown.pose()
    assert after[:3] == pytest.approx(before[:3])
    assert after[3:] != pytest.approx(before[3:])


def test_waves_are_switched_and_compared_at_a_divider(shown: ScenePage):
    whole = shown.shot()
    shown.page.locator("[data-does=waves]").click()
    shown.until_still()
    assert not shown.pressed("waves")
    plain = shown.shot()
    shown.page.locator("[data-does=waves]").click()
    shown.page.locator("[data-does=split]").click()
    shown.until_still()
    split = shown.shot()
    rows = slice(180, 200)  # between the header, the divider's labels and the bar
    assert np.array_equal(split[rows, :60], whole[rows, :60])
    assert np.array_equal(split[rows, -60:], plain[rows, -60:])
    assert not np.array_equal(whole[rows], plain[rows])
    shown.page.mouse.move(240, 200)
    shown.page.mouse.down()
    shown.page.mouse.move(120, 200, steps=3)
    shown.page.mouse.up()
    assert shown.page.locator("#divider").get_attribute("aria-valuenow") == "25"
    shown.page.keyboard.press("ArrowRight")
    assert shown.page.locator("#divider").get_attribute("aria-valuenow") == "27"


def test_the_path_is_played_to_its_end_or_until_somebody_moves(shown: ScenePage):
    shown.page.locator("[data-does=path]").click()
    shown.until("__gaborsplat.show.camera.eye[0] > 1")
    shown.page.mouse.move(100, 200)
    shown.page.mouse.wheel(0, 20)
    shown.until("__gaborsplat.travelled === null")
    assert not shown.pressed("path")
    shown.page.keyboard.press("Space")
    assert shown.pressed("path")
    shown.until("__gaborsplat.travelled === null")
    assert shown.pose()[0] == pytest.approx(-2, abs=0.3)


def test_places_of_photos_are_marked(shown: ScenePage):
    marked = """() => document.getElementById("marks").getContext("2d")
        .getImageData(0, 0, 480, 300).data.some(Boolean)"""
    assert not shown.page.evaluate(marked)
    shown.page.keyboard.press("p")
    shown.until_still()
    assert shown.page.evaluate(marked)


def test_help_is_shown_and_hidden(shown: ScenePage):
    for visible in (True, False):
        shown.page.keyboard.press("k")
        assert shown.page.locator("#keys").is_visible() == visible


def test_full_screen_is_entered_and_left(shown: ScenePage):
    for wanted in ("document.fullscreenElement", "!document.fullscreenElement"):
        shown.page.locator("[data-does=full]").click()
        shown.until(wanted)


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


def test_fingers_turn_and_pinch(browser: Any, folder: Path):
    with scene_page(browser, has_touch=True) as page:
        page.open(folder / "scene.html")
        page.until_ready()
        before = page.pose()
        touch = """([kind, id, x, y]) => document.getElementById("canvas").dispatchEvent(
            new PointerEvent(kind, { pointerId: id, pointerType: "touch", clientX: x, clientY: y,
                                     isPrimary: id === 1, buttons: 1, bubbles: true }))"""
        # Of pointers that are made up, none can be captured.
        page.page.evaluate("() => { Element.prototype.setPointerCapture = () => {}; }")
        for event in (["pointerdown", 1, 100, 100], ["pointermove", 1, 120, 100]):
            page.page.evaluate(touch, event)
        assert distance(page.pose()) == pytest.approx(distance(before))
        assert page.pose()[:3] != pytest.approx(before[:3])
        for event in (["pointerdown", 2, 140, 100], ["pointermove", 2, 160, 100]):
            page.page.evaluate(touch, event)
        assert distance(page.pose()) == pytest.approx(distance(before) / 2)


def test_without_webgl2_a_line_says_so(browser: Any, folder: Path):
    with scene_page(browser) as page:
        page.page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
        page.open(folder / "scene.html")
        page.until("document.getElementById('notice').textContent")
        assert "WebGL2" in page.notice


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
