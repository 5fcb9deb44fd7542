"""Buttons for what the program around the viewer can do, such as saving or giving a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import viser

from ..background import BackgroundTasks
from ..download import send_file

READING_TIME = 8.0
"""Seconds that the result of an action is shown."""


@dataclass(frozen=True)
class Download:
    """A file for the browser."""

    name: str
    """What it is called there; its ending says its type."""
    content: bytes


@dataclass(frozen=True)
class Action:
    """Something that a button in the panel does."""

    label: str
    """What the button says."""
    hint: str
    """What is said of it while the mouse rests on it."""
    run: Callable[[], str | Download]
    """Does it and returns what to say then, or a file; on a thread of its own, so it may take
    long. What it raises is told in the browser that asked."""


def add_actions(
    client: viser.ClientHandle, actions: Sequence[Action], tasks: BackgroundTasks
) -> None:
    """A button for each of `actions`, where the panel of `client` is being built."""
    for action in actions:
        _add(client, action, tasks)


def _add(client: viser.ClientHandle, action: Action, tasks: BackgroundTasks) -> None:
    button = client.gui.add_button(action.label, hint=action.hint)

    # On the event loop: `BackgroundTasks.run` returns at once.
    async def pressed(_: Any) -> None:
        tasks.run(action.label, act)

    def act() -> None:
        result = action.run()
        tasks.check()  # the browser may have left
        if isinstance(result, Download):
            send_file(client, result.name, result.content)
        else:
            client.add_notification(action.label, result, auto_close_seconds=READING_TIME)

    button.on_click(pressed)
