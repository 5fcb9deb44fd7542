"""Processes that were forked from one that has computed, also while it goes on."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
import torch
from public import USES, World, expected, facts
from torch import Tensor

import gaborsplat as gs
from gaborsplat.scenes.photos.decoding import _no_warnings

PATIENCE = 60.0
"""Seconds after which a child hangs."""


def forked(work: Callable[[], object]) -> str:
    """What a forked process says of `work`: nothing if all went well."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os.write(write, traceback.format_exc()[-4000:].encode())
        finally:
            os._exit(1)
    os.close(write)
    deadline = time.monotonic() + PATIENCE
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "it hangs"
        time.sleep(0.01)
    with os.fdopen(read) as said:
        return said.read()


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """`work` is done again and again in two other threads."""
    stopped = threading.Event()

    def again() -> None:
        while not stopped.is_set():
            work()

    threads = [threading.Thread(target=again) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


class Pictures(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """A photo, and what splats look like there."""

    def __init__(self, splats: gs.Splats, views: Sequence[gs.CaptureView]) -> None:
        self._splats, self._views = splats, views

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        view = self._views[index]
        return view.image(), gs.render_bytes(self._splats, view.camera)


@pytest.mark.parametrize("name", USES)
def test_a_forked_process_does_all_that_its_parent_did(name: str, world: World):
    wanted = expected(name, world)

    def work() -> None:
        assert facts(USES[name](world)) == wanted

    assert forked(work) == ""


def test_a_forked_process_gives_torch_work_that_its_parent_gave_to_threads():
    def work() -> Tensor:
        return torch.rand(2_000_000).exp().sum()

    work()
    assert forked(work) == ""


def test_a_process_that_is_forked_while_others_compute_finds_no_lock_taken(world: World):
    views = gs.load_capture(world.path, cache_bytes=0).views

    def work() -> None:
        for view in views:
            view.image()
            gs.render_bytes(world.splats, view.camera)

    with meanwhile(work):
        assert [said for said in (forked(work) for _ in range(20)) if said] == []


def test_a_forked_process_warns_although_its_parent_was_reading_a_photo():
    before = list(warnings.filters)
    with _no_warnings:  # of a thread that is not there
        assert warnings.filters != before
        assert forked(lambda: None if warnings.filters == before else 1 / 0) == ""


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_of_a_data_loader_read_and_draw(method: str, world: World):
    data = Pictures(world.splats, gs.load_capture(world.path).views)
    loader = torch.utils.data.DataLoader(
        data, batch_size=None, num_workers=2, multiprocessing_context=method
    )
    assert facts(list(loader)) == facts([data[index] for index in range(len(data))])
