"""Chromium, headless, on a viewer whose pictures tell where they were taken from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from benchmarks.page.browsing import CHROMIUM, Image
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.frame import Frame
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats
from gaborsplat.viewer.picture.paint import paint

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
needed = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

VIEWPORT = {"width": 800, "height": 400}
CLEAR = (slice(170, 390), slice(10, 440))  # rows and columns that no panel or notice covers
PATIENCE = 30.0  # seconds; the page draws with a software rasteriser


@dataclass
class Sky:
    """Renders the direction of every pixel's ray as its colour, so that every pose shows."""

    error: str | None = None
    cameras: list[Camera] = field(default_factory=list)

    def __call__(self, splats: Splats, camera: Camera, settings: RenderSettings) -> Frame:
        if self.error is not None:
            raise RuntimeError(self.error)
        self.cameras.append(camera)
        return sky(camera)


def sky(camera: Camera) -> Frame:
    width, height = camera.size
    fx, fy, cx, cy = (camera.intrinsics[i, j] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    x = ((torch.arange(width) + 0.5 - cx) / fx).expand(height, width)
    y = ((torch.arange(height) + 0.5 - cy) / fy)[:, None].expand(height, width)
    rays = torch.stack([x, y, torch.ones_like(x)], dim=-1) @ camera.world_to_camera[:3, :3]
    color = 0.5 + 0.5 * rays / rays.norm(dim=-1, keepdim=True)
    return Frame(color, torch.ones(height, width), torch.full((height, width), 3.0))


def shot(page: Any) -> Image:
    """[H, W, 3] RGB of the part of the window that only the picture covers."""
    data = np.frombuffer(page.screenshot(), np.uint8)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)[CLEAR]


def psnr(a: Image, b: Image) -> float:
    error = float(np.mean((a.astype(float) - b.astype(float)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def shows(page: Any, renderer: Sky) -> bool:
    """Whether the page shows the last rendered picture."""
    if not renderer.cameras:
        return False
    camera = renderer.cameras[-1].resized((VIEWPORT["width"], VIEWPORT["height"]))
    return psnr(shot(page), paint(sky(camera), "rgb")[CLEAR]) > 32


def eventually(page: Any, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain"
        page.wait_for_timeout(50)


def drag(page: Any, dx: int, dy: int) -> None:
    page.mouse.move(200, 300)
    page.mouse.down()
    page.mouse.move(200 + dx, 300 + dy, steps=8)
    page.mouse.up()
