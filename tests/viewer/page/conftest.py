"""Pages that were exported, and one of them in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scene_page import GRAY, NOTHING_KNOWN, VIEW, ScenePage, scene_page
from synthetic import ball

from benchmarks.page.browsing import chromium
from gaborsplat.viewer.page.packing import packed
from gaborsplat.viewer.page.page import PageView, embedded_page, empty_page, page_beside


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
