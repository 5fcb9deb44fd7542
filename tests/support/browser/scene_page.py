"""Exported pages in Chromium: cut off from everything, and watched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from chromium_page import Image, psnr

from benchmarks.page.browsing import READY, picture_of, until
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.render import render_bytes
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats
from gaborsplat.scenes import SplatMetadata
from gaborsplat.viewer.camera import Outlook
from gaborsplat.viewer.page.page import Journey, PageView

_OF_READING = ("GPU stall due to ReadPixels", "willReadFrequently")
"""Of what the browser says about tests' own looking at pictures."""
WINDOW = {"width": 480, "height": 300}

SIZE = (160, 120)
NOTHING_KNOWN = SplatMetadata()
GRAY = RenderSettings(background=(0.2, 0.3, 0.4))


@dataclass
class ScenePage:
    """A page of ours.

    Attributes:
        page: Playwright's.
        said: lines that the browser's console got, and errors.
        asked: addresses that the page asked for.
    """

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, path: Path) -> None:
        """Go to a file."""
        self.page.goto(path.as_uri())

    def until(self, condition: str) -> None:
        """Wait for an expression."""
        try:
            until(self.page, condition)
        except TimeoutError as error:
            raise AssertionError(f"{error}; {self.said}") from error

    def until_ready(self) -> None:
        """Wait until the scene is shown, finely."""
        self.until(READY)
        self.until_still()

    def until_still(self) -> None:
        """Wait until nothing moves and all of it is drawn."""
        self.until("__gaborsplat.stage.sortedFor && !__gaborsplat.stage.sorting")
        self.until("!__gaborsplat.show.scheduled")

    def give(self, path: Path) -> None:
        """Open a file by the page's own button."""
        self.page.set_input_files("#file", path)

    @property
    def notice(self) -> str:
        """What the page tells people."""
        return self.page.evaluate("() => document.getElementById('notice').textContent")

    def picture(self, camera: Camera, *, waves: bool = True) -> Image:
        """[H, W, 3] that the page draws for a camera."""
        return picture_of(self.page, camera, waves=waves)

    def shot(self) -> Image:
        """[H, W, 3] of the window."""
        data = np.frombuffer(self.page.screenshot(), np.uint8)
        return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    def pose(self) -> list[float]:
        """Eye and target."""
        return self.page.evaluate(
            "() => [...__gaborsplat.show.camera.eye, ...__gaborsplat.show.camera.target]"
        )

    def pressed(self, name: str) -> bool:
        """Whether a switch is on."""
        button = self.page.locator(f"[data-does={name}]")
        return button.get_attribute("aria-pressed") == "true"


@contextmanager
def scene_page(browser: Any, **options: Any) -> Iterator[ScenePage]:
    """A page without network, that must have asked for nothing and said nothing in the end."""
    context = browser.new_context(viewport=WINDOW, offline=True, **options)
    found = ScenePage(context.new_page())
    found.page.on("console", lambda message: found.said.append(message.text))
    found.page.on("pageerror", lambda error: found.said.append(str(error)))
    found.page.on("request", lambda request: found.asked.append(request.url))
    yield found
    context.close()
    said = [line for line in found.said if not any(each in line for each in _OF_READING)]
    assert not said, said
    away = [url for url in found.asked if not url.startswith(("file:", "blob:"))]
    assert not away, away


def camera_around(seed: int, size: tuple[int, int]) -> Camera:
    """A camera somewhere around the origin, which it looks at."""
    generator = torch.Generator().manual_seed(seed)
    forward = torch.randn(3, generator=generator)
    forward /= forward.norm()
    eye = -4 * forward
    aside = torch.linalg.cross(forward, torch.rand(3, generator=generator))
    right = aside / aside.norm()
    axes = torch.stack([right, torch.linalg.cross(forward, right), forward])
    pose = torch.eye(4)
    pose[:3, :3], pose[:3, 3] = axes, -axes @ eye
    width, height = size
    intrinsics = torch.tensor([[width, 0, 0.5 * width], [0, width, 0.5 * height], [0, 0, 1.0]])
    return Camera(pose, intrinsics, size)


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


def outlook(x: float) -> Outlook:
    return Outlook(np.array([x, 0.0, -4.0]), np.zeros(3), np.array([0.0, -1.0, 0.0]), 0.9)


VIEW = PageView(
    "A <b>scene</b> & more",
    caption='"quoted" </script><script>bad()</script>',
    link="https://example.org/?a=1&b=2",
    start=outlook(0.5),
    journey=Journey([outlook(0.5), outlook(2.0), outlook(-2.0)], 3.0),
    cameras=[camera_around(seed, SIZE) for seed in range(5)],
)
