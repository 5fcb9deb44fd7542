"""Threads: any of them may be the first, and all may come at once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rich
import torch
import websockets.asyncio.server
from public import QUICK, USES, World, expected, facts

import gaborsplat as gs

SUPPORT = Path(__file__).resolve().parents[1] / "support"
FIRST = """
import sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[1])
start = threading.Barrier({threads})
failed = []

def first(name):
    start.wait()
    try:
        from public import USES, World, facts
        world = World(Path(sys.argv[2]) / name / str(threading.get_ident()))
        facts(USES[name](world))
    except BaseException as error:
        failed.append(repr(error))

threads = [threading.Thread(target=first, args=(name,)) for name in {names!r}]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sys.exit("; ".join(failed) or 0)
"""


def at_once(work: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each gives, all of them started at the same moment in threads of their own."""
    start = threading.Barrier(len(work))

    def one(each: Callable[[], Any]) -> Any:
        start.wait()
        return each()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(one, work))


@pytest.mark.parametrize("name", USES)
def test_threads_that_do_the_same_at_once_get_what_one_gets(name: str, world: World):
    wanted = expected(name, world)
    found = at_once([lambda: facts(USES[name](world))] * 3)
    assert all(each == wanted for each in found)


def test_threads_that_do_everything_at_once_get_what_one_gets(world: World):
    wanted = [expected(name, world) for name in USES]
    found = at_once([lambda name=name: facts(USES[name](world)) for name in USES])
    assert [
        name for name, *pair in zip(USES, wanted, found, strict=True) if pair[0] != pair[1]
    ] == []


@pytest.mark.parametrize("strategy", ["mcmc", "default"])
def test_a_run_is_looked_at_and_saved_while_it_goes_on(strategy: str, world: World):
    config = replace(QUICK, strategy=strategy)
    alone = gs.train(world.capture, config, device="cpu").splats
    trainer = gs.Trainer(world.capture, config)
    stopped = threading.Event()

    def look() -> int:
        looks = 0
        while not stopped.is_set():
            picture = gs.render_bytes(trainer.splats(), world.camera, trainer.settings)
            state = trainer.state_dict()
            assert picture.any() and len(state["raw"]["means"]) > 0
            looks += 1
        return looks

    def fit() -> None:
        try:
            while not trainer.done:
                trainer.step()
        finally:
            stopped.set()

    looks, *_ = at_once([look, fit])
    assert looks > 0
    assert facts(trainer.splats()) == facts(alone)


def test_the_random_numbers_of_others_are_left_alone(world: World):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    for strategy in ("mcmc", "default"):
        gs.train(world.capture, replace(QUICK, strategy=strategy), device="cpu")
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [["train"] * 4, ["render_bytes"] * 4, ["rasterization", "Viewer", "load_capture", "Trainer"]],
)
def test_the_first_call_may_come_from_several_threads_none_of_which_is_the_main_one(
    names: list[str], tmp_path: Path
):
    code = FIRST.format(threads=len(names), names=names)
    command = [sys.executable, "-c", code, str(SUPPORT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_threads_that_read_photos_leave_the_filters_of_warnings_as_others_make_them(world: World):
    views = gs.load_capture(world.path, cache_bytes=0).views
    start = list(warnings.filters)

    def read() -> None:
        for view in (*views, *views):
            view.image()

    def meddle() -> None:
        warnings.filterwarnings("error", "of the user")
        time.sleep(0.02)
        warnings.filterwarnings("ignore", "of the user too")

    with warnings.catch_warnings():
        at_once([read] * 4 + [meddle])
        added = [each for each in warnings.filters if each not in start]
        assert [(each[0], each[1].pattern) for each in added if each[1]] == [
            ("ignore", "of the user too"),
            ("error", "of the user"),
        ]


def test_viewers_that_start_and_end_at_once_leave_terminal_and_libraries_to_others(world: World):
    def serve() -> None:
        gs.Viewer(world.splats, port=0).close()

    before = websockets.asyncio.server.serve
    for _ in range(3):
        at_once([serve] * 4)
        assert not rich.get_console().quiet
        assert websockets.asyncio.server.serve is before
