"""Exported pages in Chromium, cut off from everything, and their pictures; for the tests too."""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.viewer.chromium_flags import FLAGS
from gaborsplat.renderer.cameras import Camera

Image = np.ndarray[Any, np.dtype[np.uint8]]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 60.0
"""Seconds to wait for what should happen; the browser draws in software."""
READY = "document.body.classList.contains('ready')"
"""What is true of a page that shows its scene."""
_PICTURE = """async ([camera, waves]) => {
    const bytes = await __gaborsplat.stage.pictureOf(camera, waves);
    let letters = "";
    for (let i = 0; i < bytes.length; i += 4096)
        letters += String.fromCharCode(...bytes.subarray(i, i + 4096));
    return btoa(letters);
}"""


def picture_of(page: Any, camera: Camera, *, waves: bool = True) -> Image:
    """[H, W, 3] that a page of ours, by Playwright, draws for a camera."""
    k = camera.intrinsics.double()
    given = {
        "worldToCamera": camera.world_to_camera.double().flatten().tolist(),
        "focal": [float(k[0, 0]), float(k[1, 1])],
        "centre": [float(k[0, 2]), float(k[1, 2])],
        "size": [*camera.size],
    }
    data = base64.b64decode(page.evaluate(_PICTURE, [given, waves]))
    width, height = camera.size
    return np.frombuffer(data, np.uint8).reshape(height, width, 4)[..., :3]


@contextmanager
def chromium() -> Generator[Any]:
    """The browser, by Playwright."""
    from playwright.sync_api import sync_playwright  # not there where only names are wanted

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, file: Path, size: tuple[int, int], query: str = "") -> Generator[Any]:
    """A page without network, in a window of so many pixels; with a query behind its address.

    Raises:
        RuntimeError: in the end, if it asked for anything or had an error.
    """
    window = {"width": size[0], "height": size[1]}
    context = browser.new_context(viewport=window, offline=True)
    page = context.new_page()
    wrong: list[str] = []

    def failed(error: Any) -> None:
        wrong.append(str(error))

    def asked(request: Any) -> None:
        wrong.append(f"asked for {request.url}")

    page.on("pageerror", failed)
    page.on("requestfailed", asked)
    try:
        page.goto(file.as_uri() + query)
        yield page
    except TimeoutError as error:
        raise RuntimeError(f"{error}; {', '.join(wrong) or 'nothing failed'}") from error
    finally:
        context.close()
    if wrong:
        raise RuntimeError(f"{file}: {wrong[0]}")


def until(page: Any, condition: str) -> None:
    """Wait for an expression. Our pages forbid what Playwright's own waiting does.

    Raises:
        TimeoutError: in vain.
    """
    deadline = time.monotonic() + PATIENCE
    while not page.evaluate(f"() => Boolean({condition})"):
        if time.monotonic() > deadline:
            notice = page.evaluate("() => document.getElementById('notice')?.textContent ?? ''")
            waited = f"waited {PATIENCE:.0f} s for {condition}"
            raise TimeoutError(f"{page.url}: {waited}; it says {notice!r}")
        page.wait_for_timeout(50)
