"""The measured server from outside: its process, and the browser that looks at it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from benchmarks.viewer.chromium_flags import FLAGS
from benchmarks.viewer.marks import layout

HERE = Path(__file__).resolve().parent

ONLY_CANVAS = "body * { visibility: hidden } canvas { visibility: visible }"
"""Panels and notices would lie over the canvas, and catch the pointer."""

SPEED = 60.0
"""Of the drag: degrees that the camera turns in a second, on average..."""
WAVER = 0.5
"""...from which it differs by this share, up and down..."""
PERIOD = 2.0
"""...within so many seconds: a hand is not a motor, whose way is easy to predict."""
MOVES = 100
"""Of the pointer in a second, which is more than the page looks at."""
WAITING = 32
"""Moves that the page may not have answered; beyond them some are left out."""
REST = (800.0, 20)
"""Milliseconds and frames without a new picture or pose after which a page rests."""
PATIENCE = 30.0
"""Seconds to wait for what should happen."""


async def others(seconds: float = 0.5) -> float:
    """Per cent of the machine's processors that are busy now, when nothing is measured."""

    def times() -> tuple[int, int]:
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(word) for word in file.readline().split()[1:9]]
        return sum(ticks), ticks[3] + ticks[4]  # idle, and waiting for a disk

    total, idle = times()
    await asyncio.sleep(seconds)
    later, idle_later = times()
    return 100 * (1 - (idle_later - idle) / max(1, later - total))


class ServerProcess:
    """benchmarks/viewer/server.py; `close` ends it, whatever state it is in."""

    def __init__(self, run: Path, kind: str, longest: int = 480) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        command = [sys.executable, "-m", "benchmarks.viewer.server", str(run), kind, str(longest)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,  # Ctrl-C is for us to handle
        )

    async def start(self) -> dict[str, Any]:
        """What it says first: where a page finds it."""
        return await asyncio.to_thread(self._answer)

    async def ask(self, command: str = "usage") -> Any:
        """Its answer."""
        return await asyncio.to_thread(self._ask, command)

    def log(self) -> str:
        """What it has written to stderr so far."""
        self._log.seek(0)
        return self._log.read()

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.wait(5)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _ask(self, command: str) -> Any:
        assert self._process.stdin is not None
        print(command, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server has ended:\n{self.log()[-2000:]}")
        return json.loads(line)


@contextlib.asynccontextmanager
async def serving(
    run: Path, kind: str, longest: int = 480
) -> AsyncGenerator[tuple[ServerProcess, dict[str, Any]], None]:
    """A server process and what it said first."""
    server = ServerProcess(run, kind, longest)
    try:
        yield server, await server.start()
    finally:
        server.close()


@contextlib.asynccontextmanager
async def chromium() -> AsyncGenerator[Browser, None]:
    """A browser without a window."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=path, args=FLAGS, handle_sigint=False
        )
        try:
            yield browser
        finally:
            with contextlib.suppress(Exception):  # it may be gone already
                await browser.close()


@contextlib.asynccontextmanager
async def opened(
    browser: Browser, address: str, size: tuple[int, int], *, watched: bool = True
) -> AsyncGenerator[Page, None]:
    """A fresh page whose canvas has this size [px], with viewer_probe.js in it if `watched`."""
    page = await browser.new_page(viewport={"width": size[0], "height": size[1]})
    try:
        if watched:
            probe = (HERE / "probe.js").read_text(encoding="utf-8")
            await page.add_init_script(f"{{ const LAYOUT = {json.dumps(layout())};\n{probe} }}")
        await page.goto(address)
        await page.add_style_tag(content=ONLY_CANVAS)
        await page.wait_for_function("window.__viserMutable?.camera")
        await page.wait_for_timeout(1000)  # the layout settles, the page's own textures load
        canvas = "[__viserMutable.canvas.width, __viserMutable.canvas.height]"
        found = await page.evaluate(canvas)
        if found != list(size):
            raise RuntimeError(f"the page's canvas is {found}, not {size}")
        yield page
    finally:
        with contextlib.suppress(Exception):
            await page.close()


async def rest(page: Page, after: int = 0) -> int:
    """Wait until more than `after` pictures were drawn and the page rests; how many it were."""
    deadline = time.monotonic() + PATIENCE
    while True:
        drawn, idle, frames = await page.evaluate("__probe.rest()")
        if drawn > after and idle > REST[0] and frames > REST[1]:
            return drawn
        if time.monotonic() > deadline:
            raise RuntimeError(f"the page never came to rest: {drawn} pictures, idle {idle:.0f} ms")
        await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def dragging(page: Page, size: tuple[int, int]) -> AsyncGenerator[None, None]:
    """The mouse drags the scene to the right, and on beyond the window, which holds the pointer
    captured: the camera orbits in one direction without a pause."""
    session = await page.context.new_cdp_session(page)
    waiting: set[asyncio.Task[Any]] = set()
    start, y = size[0] / 4, size[1] / 2
    at = start

    def event(kind: str, x: float, buttons: int) -> asyncio.Task[Any]:
        values = {"type": kind, "x": x, "y": y, "button": "left", "buttons": buttons}
        task = asyncio.create_task(
            session.send("Input.dispatchMouseEvent", values | {"clickCount": 1})
        )
        waiting.add(task)
        task.add_done_callback(waiting.discard)
        return task

    async def move() -> None:
        nonlocal at
        # camera-controls turns the camera by 360 degrees for a drag as long as the canvas is high.
        pixels = SPEED / 360 * size[1]
        started = time.perf_counter()
        for number in range(1, 1 << 40):
            await asyncio.sleep(max(0.0, started + number / MOVES - time.perf_counter()))
            if len(waiting) < WAITING:
                # Not awaited: the page answers once a frame only.
                seconds = time.perf_counter() - started
                wave = 2 * math.pi / PERIOD
                at = start + pixels * (seconds + WAVER * (1 - math.cos(wave * seconds)) / wave)
                event("mouseMoved", at, 1)

    await event("mousePressed", start, 1)
    moving = asyncio.create_task(move())
    try:
        yield
    finally:
        moving.cancel()
        with contextlib.suppress(Exception):
            await asyncio.gather(*waiting)
            await event("mouseReleased", at, 0)
            await session.detach()
