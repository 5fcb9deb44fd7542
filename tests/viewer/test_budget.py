"""The memory that large pictures of all browsers share."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from viewer_page import PATIENCE, eventually

from gaborsplat.scenes import InputError
from gaborsplat.viewer.background import Stopped
from gaborsplat.viewer.budget import SHARE, MemoryBudget

FREE = 100.0 / SHARE  # so that 100 bytes may be taken


class Client:
    """A thread that takes memory until it is told to let go."""

    def __init__(self, budget: MemoryBudget, wanted: float, log: list[str], name: str) -> None:
        self.waits, self.has, self.stopped = False, threading.Event(), threading.Event()
        self.go, self.error = threading.Event(), None
        self.thread = threading.Thread(target=self._run, args=(budget, wanted, log, name))
        self.thread.start()

    def _run(self, budget: MemoryBudget, wanted: float, log: list[str], name: str) -> None:
        try:
            with budget.taking(wanted, self._check, self._told) as portion:
                log.append(name)
                self.has.set()
                self.go.wait(PATIENCE)
                portion.shrink(1)
        except Exception as error:
            self.error = error

    def _check(self) -> None:
        if self.stopped.is_set():
            raise Stopped

    def _told(self) -> None:
        assert not self.waits  # once
        self.waits = True

    def leave(self) -> None:
        self.go.set()
        self.thread.join(PATIENCE)


def nothing() -> None: ...


def test_who_comes_first_is_served_first_and_none_overtakes() -> None:
    budget, log = MemoryBudget(lambda: FREE), list[str]()
    first = Client(budget, 80, log, "first")
    assert first.has.wait(PATIENCE)
    large = Client(budget, 90, log, "large")
    eventually(lambda: large.waits)
    small = Client(budget, 10, log, "small")  # for which there would be room
    eventually(lambda: small.waits)
    assert log == ["first"]
    first.leave()
    assert large.has.wait(PATIENCE)
    assert small.has.wait(PATIENCE)
    assert log == ["first", "large", "small"]
    large.leave()
    small.leave()


def test_what_is_not_needed_any_more_is_for_others() -> None:
    budget, log = MemoryBudget(lambda: FREE), list[str]()
    with budget.taking(100, nothing, nothing) as portion:
        other = Client(budget, 60, log, "other")
        eventually(lambda: other.waits)
        portion.shrink(40)
        assert other.has.wait(PATIENCE)
        portion.shrink(70)  # never more again
        assert portion.size == 40
    other.leave()
    with budget.taking(100, nothing, pytest.fail):
        pass


def test_more_than_all_is_refused_in_one_line() -> None:
    budget = MemoryBudget(lambda: 2e9 / SHARE)
    with pytest.raises(InputError) as caught, budget.taking(25.8e9, nothing, nothing):
        pass
    assert str(caught.value) == (
        "that takes about 25.8 GB of memory, and at most 2.0 GB may be taken; choose fewer pixels"
    )
    with budget.taking(2e9, nothing, pytest.fail):
        pass


def test_who_leaves_while_waiting_holds_nobody_up() -> None:
    budget, log = MemoryBudget(lambda: FREE), list[str]()
    first = Client(budget, 80, log, "first")
    assert first.has.wait(PATIENCE)
    gone = Client(budget, 90, log, "gone")
    eventually(lambda: gone.waits)
    last = Client(budget, 20, log, "last")
    eventually(lambda: last.waits)
    gone.stopped.set()
    assert last.has.wait(PATIENCE)
    assert isinstance(gone.error, Stopped)
    first.leave()
    last.leave()
    assert log == ["first", "last"]


@pytest.mark.parametrize("free", [lambda: None, lambda: 1e12])
def test_where_nobody_knows_what_is_free_nobody_waits(free: Callable[[], float | None]) -> None:
    with MemoryBudget(free).taking(1e11, nothing, pytest.fail):
        pass
