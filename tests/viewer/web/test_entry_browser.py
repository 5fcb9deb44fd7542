"""A password and a certificate in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import synthetic
import torch
from certificates import certify
from chromium_page import PATIENCE, VIEWPORT, Sky, eventually, needed, shows

from benchmarks.page.browsing import chromium
from gaborsplat.viewer import Viewer, ViewerOptions
from gaborsplat.viewer.web import entry

pytestmark = [needed, pytest.mark.slow]

PASSWORD = "pässword"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page with cookies of its own."""
    context = browser.new_context(viewport=VIEWPORT, ignore_https_errors=True)
    yield context.new_page()
    context.close()


@pytest.fixture(params=[False, True], ids=["http", "https"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> ViewerOptions:
    cert, key = certify(tmp_path, "own") if request.param else (None, None)
    return ViewerOptions(password=PASSWORD, tls_cert=cert, tls_key=key)


def served(renderer: Sky, options: ViewerOptions) -> Viewer:
    splats = synthetic.cloud(20, dtype=torch.float32)
    return Viewer(splats, port=0, render=renderer, options=options)


def test_the_link_opens_the_page(page: Any, options: ViewerOptions) -> None:
    renderer = Sky()
    with served(renderer, options) as viewer:
        page.goto(viewer.url + "&initialCameraFov=1.0")
        eventually(page, lambda: shows(page, renderer))
        assert page.url.endswith("/?initialCameraFov=1.0")
        assert page.evaluate("document.cookie") == ""
        page.reload()
        rendered = len(renderer.cameras)
        eventually(page, lambda: len(renderer.cameras) > rendered and shows(page, renderer))


def test_a_link_in_another_site_opens_the_page(page: Any, options: ViewerOptions) -> None:
    renderer = Sky()
    with served(renderer, options) as viewer:
        page.route(
            "http://elsewhere.example/",
            lambda route: route.fulfill(
                content_type="text/html", body=f'<a href="{viewer.url}">look</a>'
            ),
        )
        page.goto("http://elsewhere.example/")
        page.get_by_text("look").click()
        eventually(page, lambda: shows(page, renderer))
        assert "token" not in page.url


def test_the_password_opens_the_page(
    page: Any, options: ViewerOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry, "DELAY", 0.1)
    renderer = Sky()
    with served(renderer, options) as viewer:
        page.goto(viewer.url.partition("?")[0])
        page.get_by_label("Password").fill("guess")
        page.get_by_role("button").click()
        page.get_by_text("That is not the password.").wait_for(timeout=1000 * PATIENCE)
        assert not renderer.cameras
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        eventually(page, lambda: shows(page, renderer))
        assert PASSWORD not in page.url
