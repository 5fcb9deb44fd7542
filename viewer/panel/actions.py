"""Panel buttons for actions of the program around the viewer, such as saving a file."""

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
    """A file to download in the browser.

    Attributes:
        name: name of the file, whose suffix gives its type.
        content: content of the file.
    """

    name: str
    content: bytes


@dataclass(frozen=True)
class Action:
    """An action behind a button of the panel.

    Attributes:
        label: text of the button.
        hint: tooltip of the button.
        run: performs the action and returns a message to show, or a file; on a thread of its own,
            so it may take long. The browser that asked shows what it raises.
    """

    label: str
    hint: str
    run: Callable[[], str | Download]


def add_actions(
    client: viser.ClientHandle, actions: Sequence[Action], tasks: BackgroundTasks
) -> None:
    """Add a button for each of `actions` where the caller is building the panel of `client`."""
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
            send_file(client, result.name, result.content, tasks.check)
        else:
            client.add_notification(action.label, result, auto_close_seconds=READING_TIME)

    button.on_click(pressed)
