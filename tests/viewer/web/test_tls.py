"""A viewer behind a certificate."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import viser
from certificates import certify
from viewer_page import PATIENCE, Page, Painter, cloud
from websockets.sync.client import connect

from gaborsplat.scenes import InputError
from gaborsplat.viewer import Viewer, ViewerOptions
from gaborsplat.viewer.web import gate


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certify(tmp_path_factory.mktemp("tls"), "own")


def served(pair: tuple[Path, Path], password: str | None = None) -> Viewer:
    options = ViewerOptions(tls_cert=pair[0], tls_key=pair[1], password=password)
    return Viewer(cloud(5), port=0, render=Painter(), options=options)


def test_pictures_come_encrypted(pair: tuple[Path, Path]) -> None:
    trusting = ssl.create_default_context(cafile=pair[0])
    with served(pair) as viewer:
        assert viewer.url == f"https://127.0.0.1:{viewer.port}"
        protocol: Any = f"viser-v{viser.__version__}"
        address = viewer.url.replace("https", "wss")
        with connect(address, ssl=trusting, subprotocols=[protocol], max_size=None) as connection:
            Page(connection).picture(0)


def test_the_cookie_goes_nowhere_unencrypted(pair: tuple[Path, Path]) -> None:
    trusting = ssl.create_default_context(cafile=pair[0])
    with (
        served(pair, "secret") as viewer,
        socket.create_connection(("127.0.0.1", viewer.port), PATIENCE) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        path = viewer.url.partition(f":{viewer.port}")[2]
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(4096):
            answer += part
    assert b"200 OK" in answer
    assert b"HttpOnly; SameSite=Strict; Secure\r\n" in answer
    assert answer.endswith(b"</script>\n")


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03", b""])
def test_who_speaks_no_tls_is_dropped_without_a_word(
    pair: tuple[Path, Path],
    said: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(gate, "OPENING", 0.5)
    with (
        served(pair) as viewer,
        socket.create_connection(("127.0.0.1", viewer.port), PATIENCE) as plain,
    ):
        plain.sendall(said)
        started = time.monotonic()
        assert b"HTTP" not in plain.recv(100)
        assert time.monotonic() - started < 5
    assert not caplog.messages
    assert capfd.readouterr() == ("", "")


def test_wrong_files_are_told_in_a_line(pair: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = pair
    other, other_key = certify(tmp_path, "other")
    _, locked = certify(tmp_path, "locked", "-passout", "pass:x")
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"")
    missing = tmp_path / "missing.pem"
    for wrong, complaint in [
        ((cert, None), "--tls-cert and --tls-key: must be given together"),
        ((None, key), "--tls-cert and --tls-key: must be given together"),
        ((missing, key), f"--tls-cert: {missing} cannot be read: No such file"),
        ((cert, tmp_path), f"--tls-key: {tmp_path} cannot be read: Is a directory"),
        ((empty, key), f"--tls-cert: {empty} holds no certificate"),
        ((key, key), f"--tls-cert: {key} holds no certificate"),
        ((cert, empty), f"--tls-key: {empty} holds no private key"),
        ((cert, other), f"--tls-key: {other} holds no private key"),
        ((cert, other_key), f"--tls-key: {other_key} is not the private key of {cert}"),
        ((cert, locked), f"--tls-key: {locked} is encrypted"),
    ]:
        with pytest.raises(InputError) as caught:
            ViewerOptions(tls_cert=wrong[0], tls_key=wrong[1])
        assert str(caught.value).startswith(complaint)
        assert "\n" not in str(caught.value)
