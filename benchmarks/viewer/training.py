"""What browsers cost a training: its steps per second with them, and without a viewer."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser

from benchmarks.viewer.clients import connected, drag, orbit
from benchmarks.viewer.process import ServerProcess, dragging, opened, serving

SIZE = (480, 270)
SETTLE = 1.0
"""Seconds from the clients' coming until steps are counted."""


@dataclass(frozen=True)
class Phase:
    """Who looks at the training."""

    name: str
    clients: int = 0
    drags: bool = False
    chromium: bool = False  # a real page; else clients that only speak the protocol


PHASES = (
    Phase("nobody"),
    Phase("1 idle", 1),
    Phase("1 dragging", 1, drags=True),
    Phase("1 idle, Chromium", 1, chromium=True),
    Phase("1 dragging, Chromium", 1, drags=True, chromium=True),
    Phase("4 idle", 4),
    Phase("4 dragging", 4, drags=True),
)


async def measure_training(
    browser: Browser, run: Path, rounds: int, seconds: float
) -> dict[str, dict[str, Any]]:
    """Steps per second in every phase, and their share of those without a viewer, which is measured
    before and after each round's phases. One process trains all the time."""
    rates: dict[str, list[float]] = {"no viewer": []} | {phase.name: [] for phase in PHASES}
    shares: dict[str, list[float]] = {phase.name: [] for phase in PHASES}
    async with serving(run, "training") as (server, _):
        await rate(server, seconds)  # the first steps are slower
        for _ in range(rounds):
            before = await rate(server, seconds)
            scene = await server.ask("open")
            found: dict[str, float] = {}
            for phase in PHASES:
                async with looking(browser, scene, phase):
                    await asyncio.sleep(SETTLE)
                    found[phase.name] = await rate(server, seconds)
            await server.ask("close")
            alone = [before, await rate(server, seconds)]
            rates["no viewer"] += alone
            for name, steps in found.items():
                rates[name].append(steps)
                shares[name].append(steps / statistics.mean(alone))
        if "Traceback" in server.log():
            raise RuntimeError(f"the training's viewer failed:\n{server.log()[-2000:]}")
    return {
        name: {
            "steps_per_second": statistics.median(found),
            "share": statistics.median(shares[name]) if name in shares else 1.0,
            "rounds": found,
            "shares": shares.get(name, []),
        }
        for name, found in rates.items()
    }


async def rate(server: ServerProcess, seconds: float) -> float:
    """Steps per second from now on."""
    begin = await server.ask()
    await asyncio.sleep(seconds)
    end = await server.ask()
    return (end["steps"] - begin["steps"]) / (end["at"] - begin["at"])


@contextlib.asynccontextmanager
async def looking(
    browser: Browser, scene: dict[str, Any], phase: Phase
) -> AsyncGenerator[None, None]:
    """The clients of a phase."""
    async with contextlib.AsyncExitStack() as stack:
        if phase.chromium:
            # Unwatched, for the watch would keep an idle page awake.
            visit = opened(browser, scene["page"], SIZE, watched=False)
            page = await stack.enter_async_context(visit)
            if phase.drags:
                await stack.enter_async_context(dragging(page, SIZE))
        else:
            poses = orbit(scene, SIZE)
            tasks: list[asyncio.Task[None]] = []
            stack.callback(lambda: [task.cancel() for task in tasks])
            for _ in range(phase.clients):
                client = await stack.enter_async_context(connected(scene["url"], poses[0]))
                if phase.drags:
                    tasks.append(asyncio.create_task(drag(client, poses, float("inf"))))
        yield
