"""Messages to a browser from any thread."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from viewer_page import Painter, cloud, eventually, opened

from gaborsplat.viewer import Viewer
from gaborsplat.viewer.outbox import outbox


class Guarded(deque[Any]):
    """What waits for an event of asyncio; no thread but the loop's may look at it."""

    loop_thread = 0

    def __iter__(self) -> Any:
        if threading.get_ident() != self.loop_thread:
            raise RuntimeError("deque mutated during iteration")
        return super().__iter__()


def test_threads_that_send_leave_the_event_loop_alone() -> None:
    with Viewer(cloud(5), port=0, render=Painter()) as viewer, opened(viewer) as page:
        page.picture(0)
        server: Any = viewer._server
        (client,) = server.get_clients().values()
        event = outbox(client).message_event
        guarded, ready = Guarded(event._waiters), threading.Event()

        def install() -> None:
            guarded.loop_thread = threading.get_ident()
            event._waiters = guarded
            ready.set()

        server.get_event_loop().call_soon_threadsafe(install)
        assert ready.wait(10)
        told = client.gui.add_html("")
        for number in range(5):
            eventually(lambda: not event.is_set())  # the loop waits for it
            told.content = f"number {number}"
        page.until(lambda: "number 4" in page.panel)
        page.look_from((1.0, 0.0, -4.0))
        page.picture(1)
