"""What browsers may do to the viewer's server: nothing that costs others anything."""

from __future__ import annotations

import gzip
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import viser
from viewer_page import PATIENCE, Page, Painter, cloud, eventually, mark_of, opened, sessions
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from gaborsplat.viewer import SceneSource, Viewer, ViewerOptions
from gaborsplat.viewer.web import gate, messages
from gaborsplat.viewer.web.gate import from_same_site
from gaborsplat.viewer.web.messages import MAX_MESSAGE, MAX_RATE


@pytest.fixture
def painter() -> Painter:
    return Painter()


@pytest.fixture
def served(painter: Painter) -> Iterator[Viewer]:
    with Viewer(SceneSource(cloud(5)), port=0, render=painter) as viewer:
        yield viewer


@pytest.fixture
def bystander(served: Viewer) -> Iterator[Page]:
    """A page that does nothing wrong."""
    with opened(served) as page:
        page.picture(0)
        yield page


def raw_connection(viewer: Viewer, **options: Any) -> ClientConnection:
    protocol: Any = f"viser-v{viser.__version__}"
    address = viewer.url.replace("http:", "ws:")
    return connect(address, subprotocols=[protocol], max_size=None, **options)


def still_served(page: Page, painter: Painter) -> bool:
    """Whether a page gets a new picture when it looks elsewhere."""
    pictures = len(page.pictures)
    page.look_from((float(len(painter.calls)), 0.0, -4.0))
    page.picture(pictures)
    return True


def get(url: str, **headers: str) -> tuple[bytes, Any]:
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read(), answer.headers


@pytest.mark.parametrize("path", ["/", "/index.html", "/?initialCameraFov=1.0"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_page_comes_with_our_script(served: Viewer, path: str, packed: bool) -> None:
    body, headers = get(served.url + path, **{"Accept-Encoding": "gzip" if packed else "identity"})
    assert headers["Content-Encoding"] == ("gzip" if packed else "identity")
    html = (gzip.decompress(body) if packed else body).decode()
    assert "__gaborsplat" in html
    assert html.index("__gaborsplat") < html.index("</head>")


def test_the_stock_page_is_visers_own(painter: Painter) -> None:
    options = ViewerOptions(stock_page=True)
    with Viewer(SceneSource(cloud(5)), port=0, render=painter, options=options) as viewer:
        body, _ = get(viewer.url)
    assert b"__gaborsplat" not in body
    assert b"<title>" in body


def test_other_files_are_visers(served: Viewer) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(served.url + "/no/such/file.js")
    assert caught.value.code == 404
    caught.value.close()


HERE = "localhost:8080"


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"Host": HERE}, True),
        ({"Host": HERE, "Origin": f"http://{HERE}"}, True),
        ({"Host": "127.0.0.1:8080"}, True),
        ({"Host": "[::1]:8080"}, True),
        ({"Host": HERE, "Origin": "http://evil.example"}, False),
        ({"Host": HERE, "Origin": "http://localhost:9090"}, False),
        ({"Host": HERE, "Origin": "null"}, False),
        ({"Host": "inner", "X-Forwarded-Host": "a.org", "Origin": "https://a.org"}, True),
        ({"Host": "inner", "X-Forwarded-Host": "a.org", "Origin": "https://b.org"}, False),
        # A name of the attacker's own that leads to this machine.
        ({"Host": "evil.example:8080", "Origin": "http://evil.example:8080"}, False),
        ({"Host": "[oops"}, False),
        ({"Host": HERE, "Origin": "http://[oops"}, False),
        ({}, False),
    ],
)
def test_only_our_own_page_is_the_same_site(headers: dict[str, str], same: bool) -> None:
    assert from_same_site(Headers(headers), only_this_machine=True) is same


def test_a_server_for_others_has_any_name() -> None:
    headers = Headers({"Host": "lab:8080", "Origin": "http://lab:8080"})
    assert from_same_site(headers, only_this_machine=False)
    headers = Headers({"Host": "lab:8080", "Origin": "http://evil.example"})
    assert not from_same_site(headers, only_this_machine=False)


def test_another_sites_script_gets_no_connection(served: Viewer) -> None:
    with pytest.raises(InvalidStatus) as caught:
        raw_connection(served, origin="http://evil.example")
    assert caught.value.response.status_code == 403
    assert not sessions()


def test_our_own_page_gets_one(served: Viewer) -> None:
    with raw_connection(served, origin=served.url) as connection:
        Page(connection).picture(0)


GARBAGE: dict[str, str | bytes] = {
    "text": "hello",
    "no message": b"\xc1\xff\x00",
    "no map": msgspec.msgpack.encode([1, 2, 3]),
    "no type": msgspec.msgpack.encode({"a": 1}),
    "an unknown type": msgspec.msgpack.encode({"type": "NoSuchMessage"}),
    "too few fields": msgspec.msgpack.encode({"type": "SceneNodeClickMessage"}),
    "an unknown field": msgspec.msgpack.encode({"type": "GuiUpdateMessage", "b": 2}),
    "too large": b"\x00" * (MAX_MESSAGE + 1),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_ends_only_its_senders_connection(
    served: Viewer,
    bystander: Page,
    painter: Painter,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    garbage: str | bytes,
) -> None:
    with raw_connection(served) as vandal:
        vandal.send(garbage)
        with pytest.raises(ConnectionClosed):
            while True:
                vandal.recv(timeout=PATIENCE)
    assert still_served(bystander, painter)
    assert "Traceback" not in caplog.text + capfd.readouterr().err


def test_nonsense_in_a_widget_leaves_the_page_connected(
    served: Viewer, bystander: Page, painter: Painter, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(served) as vandal:
        vandal.picture(0)
        for value in ("x", None, [1], {"a": 2}, float("nan")):
            for label in ("Background", "Max size", "Split", "Field of view", "Up", "Shown"):
                vandal.set(label, value)
        vandal.send("GuiUpdateMessage", uuid=vandal.widget("Show")["uuid"], updates={"no": 1})
        assert still_served(vandal, painter)
    assert still_served(bystander, painter)
    assert "Traceback" not in caplog.text


@pytest.mark.slow
def test_a_flood_is_read_slowly_and_others_are_served_meanwhile(
    served: Viewer, bystander: Page, painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MAX_BURST", 100.0)
    with opened(served) as flood:
        flood.picture(0)
        started, count = time.monotonic(), 1500
        for x in range(count):
            flood.look_from((float(x), 0.0, -4.0))
        assert still_served(bystander, painter)
        last = float(count - 1)
        eventually(lambda: any(float(c[1].position[0]) == last for c in painter.calls))
        assert time.monotonic() - started > (count - 200) / MAX_RATE


@pytest.mark.slow
def test_a_page_that_stops_acknowledging_is_sent_ever_fewer_pictures(
    served: Viewer, bystander: Page, painter: Painter
) -> None:
    with opened(served, acknowledges=True) as frozen:
        frozen.picture(0)
        frozen.acknowledges = False
        started = time.monotonic()
        while time.monotonic() < started + 2.5:
            frozen.look_from((100.0 + time.monotonic() - started, 0.0, -4.0))
            time.sleep(0.02)
        frozen_calls = [c for c in painter.calls if float(c[1].position[0]) >= 100.0]
        # Three at once, one after a second and one more after two.
        assert 3 <= len(frozen_calls) <= 5
        assert still_served(bystander, painter)


def test_files_of_any_size_cannot_be_piled_up(
    served: Viewer, bystander: Page, painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MAX_LOADED", 2**20)
    part = {"type": "FileTransferPart", "source_component_uuid": "x", "transfer_uuid": "y"}
    message = msgspec.msgpack.encode(part | {"part_index": 0, "content": bytes(2**19)})
    with raw_connection(served) as greedy, pytest.raises(ConnectionClosed):
        for _ in range(4):
            greedy.send(message)
        while True:
            greedy.recv(timeout=PATIENCE)
    assert still_served(bystander, painter)


def test_no_page_can_publish_the_scene(served: Viewer, bystander: Page, painter: Painter) -> None:
    bystander.send("ShareUrlRequest")
    assert still_served(bystander, painter)
    assert not bystander.named("ShareUrlUpdated")


@pytest.mark.parametrize("pose", [{"wxyz": (1.0, 0.0, 0.0)}, {"fov": float("nan")}])
def test_a_first_camera_that_makes_no_sense_leaves_nothing_behind(
    painter: Painter, pose: dict[str, Any]
) -> None:
    camera = {
        "type": "ViewerCameraMessage",
        "wxyz": (1.0, 0.0, 0.0, 0.0),
        "position": (0.0, 0.0, -4.0),
        "fov": 1.0,
        "near": 0.01,
        "far": 10.0,
        "image_width": 160,
        "image_height": 120,
        "look_at": (0.0, 0.0, 0.0),
        "up_direction": (0.0, -1.0, 0.0),
    }
    viewer = Viewer(SceneSource(cloud(5)), port=0, render=painter)
    with viewer, raw_connection(viewer) as connection:
        connection.send(msgspec.msgpack.encode(camera | pose))
        connection.send(msgspec.msgpack.encode(camera))
        Page(connection).picture(0)
    assert not sessions()


def test_closing_waits_for_no_frozen_browser(painter: Painter) -> None:
    viewer = Viewer(SceneSource(cloud(5)), port=0, render=painter)
    with raw_connection(viewer) as connection:
        Page(connection).picture(0)
        started = time.monotonic()
        viewer.close()
        assert time.monotonic() - started < 4.0
    assert not sessions()


def test_no_more_browsers_than_allowed_are_let_in(
    served: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "MAX_BROWSERS", 1)
    with opened(served) as first:
        first.picture(0)
        with raw_connection(served) as second, pytest.raises(ConnectionClosed) as caught:
            second.recv(timeout=PATIENCE)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1013
    eventually(lambda: not sessions())
    with opened(served) as third:
        third.picture(0)


def test_pictures_are_numbered_for_the_page(bystander: Page) -> None:
    links = {mark_of(picture["rgb_data"])[0] for picture in bystander.pictures}
    assert links == {bystander.widget("Shown")["uuid"]}
    assert [mark_of(picture["rgb_data"])[1] for picture in bystander.pictures] == [1]
