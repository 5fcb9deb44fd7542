"""Where the viewer listens, and how it starts and ends."""

from __future__ import annotations

import logging
import socket

import pytest
from viewer_page import Painter, cloud, opened, sessions

from gaborsplat.scenes.errors import InputError
from gaborsplat.viewer import PortInUse, SceneSource, Viewer


@pytest.fixture
def source() -> SceneSource:
    return SceneSource(cloud(5))


def test_a_port_in_use_is_said_in_one_line_with_the_next_free_one(source: SceneSource) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            Viewer(source, port=port)
    message = str(caught.value)
    assert message.startswith(f"--port: {port} is already in use on 127.0.0.1; --port ")
    free = int(message.split("--port ")[1].split()[0])
    assert free > port
    assert "\n" not in message
    with Viewer(source, port=free) as viewer:
        assert viewer.port == free


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("127.0.0.1", 70_000, "--port: must be between 0 and 65535, not 70000"),
        ("192.0.2.1", 0, "--host: this machine cannot listen on '192.0.2.1'"),
    ],
)
def test_an_impossible_address_is_refused(
    source: SceneSource, host: str, port: int, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        Viewer(source, host=host, port=port)
    assert str(caught.value).startswith(message)


def test_a_free_port_can_be_left_to_the_system(source: SceneSource) -> None:
    with Viewer(source, port=0) as viewer:
        assert viewer.port > 0
        assert viewer.url == f"http://127.0.0.1:{viewer.port}"


def test_only_this_machine_can_connect_unless_told_otherwise(
    source: SceneSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with Viewer(source, port=0):
        assert not caplog.records
    with Viewer(source, port=0, host="0.0.0.0") as viewer:
        assert viewer.url == f"http://localhost:{viewer.port}"
    (record,) = caplog.records
    assert "0.0.0.0" in record.getMessage()


def test_the_viewer_prints_nothing_and_closes_twice(
    source: SceneSource, capsys: pytest.CaptureFixture[str]
) -> None:
    viewer = Viewer(source, port=0, render=Painter())
    with opened(viewer) as page:
        page.picture(0)
        viewer.close()
    viewer.close()
    assert capsys.readouterr() == ("", "")
    assert not sessions()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", viewer.port))
