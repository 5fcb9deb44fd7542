"""What comes to the viewer's port and is no browser: nothing is printed, and nothing is left."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from viewer_page import PATIENCE, Painter, cloud, eventually, opened
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from gaborsplat.viewer import Viewer, ViewerOptions
from gaborsplat.viewer.web import gate, waiting
from gaborsplat.viewer.web.session import Session

TIMEOUT = 0.5

HOST = b"Host: localhost\r\n"

STRANGERS: dict[str, bytes] = {
    "silence": b"",
    "half a request": b"GET / HT",
    "half a header": b"GET / HTTP/1.1\r\nHost: loc",
    "no end of headers": b"GET / HTTP/1.1\r\n" + HOST,
    "garbage": bytes(range(256)) * 10,
    "a hello of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "another method": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
    "an older HTTP": b"GET / HTTP/1.0\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "two origins": b"GET / HTTP/1.1\r\n" + HOST + b"Origin: a\r\nOrigin: b\r\n\r\n",
    "a path that is none": b"GET //[x HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path of zeros": b"GET /%00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path in no code": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "a long line": b"GET /" + 100_000 * b"x" + b" HTTP/1.1\r\n",
    "a long name": b"GET /" + 5000 * b"x" + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + HOST + 1000 * b"a: b\r\n" + b"\r\n",
    "half a handshake": b"GET / HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\n\r\n",
}


@pytest.fixture(params=[None, "password"])
def viewer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Viewer]:
    monkeypatch.setattr(gate, "OPENING", TIMEOUT)
    options = ViewerOptions(password=request.param)
    with Viewer(cloud(5), port=0, render=Painter(), options=options) as viewer:
        yield viewer


def files() -> int:
    return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))


def dial(viewer: Viewer, said: bytes = b"") -> socket.socket:
    line = socket.create_connection(("127.0.0.1", viewer.port), PATIENCE)
    line.sendall(said)
    return line


def answer_of(line: socket.socket) -> bytes:
    """All that comes until the other side ends it."""
    answer = b""
    try:
        while part := line.recv(65536):
            answer += part
    except ConnectionError:
        pass
    return answer


@pytest.mark.parametrize("said", STRANGERS.values(), ids=STRANGERS.keys())
def test_strangers_are_sent_away_without_a_word(
    viewer: Viewer, said: bytes, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    before, threads = files(), threading.active_count()
    lines = [dial(viewer, said) for _ in range(5)]
    for line in lines:
        answer = answer_of(line)
        assert not answer or answer.startswith(b"HTTP/1.1 4") or b"Upgrade" in answer, answer
        line.close()
    eventually(lambda: files() <= before)
    assert threading.active_count() == threads
    assert not caplog.messages
    assert capfd.readouterr() == ("", "")


def test_who_says_a_letter_now_and_then_is_sent_away(viewer: Viewer) -> None:
    line, started = dial(viewer, b"GET / HTTP/1.1\r\n"), time.monotonic()
    with line, pytest.raises(ConnectionError):
        for _ in range(200):
            line.sendall(b"a")
            time.sleep(0.05)
    assert time.monotonic() - started < 5


def test_of_many_strangers_the_oldest_give_way_and_a_browser_gets_through(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(waiting, "MAX_WAITING", 8)
    before = files()
    lines = [dial(viewer) for _ in range(40)]
    # The oldest have given way at once.
    started = time.monotonic()
    assert answer_of(lines[0]) == b""
    assert time.monotonic() - started < TIMEOUT
    with opened(viewer) as page:
        page.picture(0)
    for line in lines:
        line.close()
    eventually(lambda: files() <= before)
    assert not caplog.messages


def test_pages_of_another_version_are_told_so_and_logged_once(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with Viewer(cloud(5), port=0, render=Painter()) as viewer:
        for name in ("viser-v0.1.0", "viser-v" + 100 * "x", "other"):
            protocol: Any = name
            address = viewer.url.replace("http", "ws")
            refused = pytest.raises(ConnectionClosed, match="Version mismatch")
            with connect(address, subprotocols=[protocol]) as connection, refused:
                connection.recv(timeout=PATIENCE)
        assert len(caplog.messages) == 1
    assert capfd.readouterr().out == ""


def test_errors_that_nobody_catches_are_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A browser's message finds a fault of ours, again and again."""

    painter = Painter()
    with Viewer(cloud(5), port=0, render=painter) as viewer, opened(viewer) as page:
        page.picture(0)

        calls: list[object] = []

        def broken(*_: object) -> None:
            calls.append(None)
            raise ZeroDivisionError("ours")

        monkeypatch.setattr(Session, "_take_camera", broken)
        for x in range(200):
            page.look_from((float(x), 0.0, -4.0))
        eventually(lambda: len(calls) == 200)
        monkeypatch.undo()
        page.look_from((500.0, 0.0, -4.0))
        page.picture(1)
        assert [bool(record.exc_info) for record in caplog.records] == [True]
    assert caplog.messages[-1].endswith("(199 times)")
