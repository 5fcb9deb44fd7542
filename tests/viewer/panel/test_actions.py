"""Buttons for what the program around the viewer does, pressed by a page over a real socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import viser
from path_studio import shared
from viewer_page import PATIENCE, Page, downloads, notes, opened

from gaborsplat.scenes import InputError
from gaborsplat.viewer.background import BackgroundTasks
from gaborsplat.viewer.panel.actions import Action, Download, add_actions


@contextmanager
def page_with(*actions: Action) -> Iterator[Page]:
    """A page whose panel is the buttons."""
    server = viser.ViserServer(host="127.0.0.1", port=0, verbose=False)
    tasks: list[BackgroundTasks] = []

    @server.on_client_connect
    async def _(client: viser.ClientHandle) -> None:
        tasks.append(BackgroundTasks(client, shared()))
        add_actions(client, actions, tasks[-1])

    address: Any = SimpleNamespace(url=f"http://127.0.0.1:{server.get_port()}")
    try:
        with opened(address) as page:
            page.until(lambda: all(page.has(action.label) for action in actions))
            yield page
    finally:
        for each in tasks:
            each.close()
        server.stop()


def test_what_an_action_says_is_shown() -> None:
    with page_with(Action("Save", "Writes it", lambda: "saved a.ply")) as page:
        assert page.widget("Save")["props"]["hint"] == "Writes it"
        page.click("Save")
        page.until(lambda: notes(page))
        assert notes(page) == [("Save", "saved a.ply")]


def test_a_file_arrives_whole() -> None:
    content = bytes(range(256)) * 10_000  # several parts
    with page_with(Action("Get", "", lambda: Download("scene.ply", content))) as page:
        page.click("Get")
        page.until(lambda: downloads(page))
        assert downloads(page) == [("scene.ply", content)]
        # A part is what halts every browser while it is sent.
        assert max(len(part["content"]) for part in page.named("FileTransferPart")) <= 2**16


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InputError("a.ply: is full"), "a.ply: is full"),
        (KeyError("no disk"), "KeyError: 'no disk'"),
    ],
)
def test_an_action_that_fails_is_told_and_can_be_tried_again(error: Exception, said: str) -> None:
    outcomes: list[Exception | str] = [error, "saved"]

    def save() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with page_with(Action("Save", "", save)) as page:
        page.click("Save")
        page.until(lambda: notes(page))
        assert notes(page) == [("Save failed", said)]
        page.click("Save")
        page.until(lambda: len(notes(page)) == 2)
        assert notes(page)[1] == ("Save", "saved")


def test_a_long_action_keeps_no_page_waiting() -> None:
    gate = threading.Event()

    def slow() -> str:
        assert gate.wait(PATIENCE)
        return "at last"

    with page_with(Action("Slow", "", slow), Action("Other", "", lambda: "quick")) as page:
        page.click("Slow")
        page.click("Other")
        page.until(lambda: notes(page))  # the answer comes while the first is still at work
        assert notes(page) == [("Other: not now", "Slow is still running.")]
        gate.set()
        page.until(lambda: len(notes(page)) == 2)
        assert notes(page)[1] == ("Slow", "at last")
