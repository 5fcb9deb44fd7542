"""A viewer with a password: nobody sees anything without it."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import viser
from viewer_page import PATIENCE, Page, Painter, cloud, sessions
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from gaborsplat.scenes import InputError
from gaborsplat.viewer import Viewer, ViewerOptions
from gaborsplat.viewer.web import entry
from gaborsplat.viewer.web.entry import ALL_TRIES, TRIES, Tries

PASSWORD = "correct horse ü"


@pytest.fixture
def viewer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Viewer]:
    monkeypatch.setattr(entry, "DELAY", 0.01)
    options = ViewerOptions(password=PASSWORD)
    with Viewer(cloud(5), port=0, render=Painter(), options=options) as viewer:
        yield viewer


def plain(viewer: Viewer) -> str:
    """The address without the token."""
    return viewer.url.partition("/?")[0]


def get(url: str, **headers: str) -> tuple[int, str, Any]:
    """Status, body and headers of an answer."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode(), answer.headers


def log_in(viewer: Viewer, password: str, scheme: str = "Basic") -> tuple[int, str, Any]:
    words = base64.b64encode(f":{password}".encode()).decode()
    return get(plain(viewer) + "/login", Authorization=f"{scheme} {words}")


def shows_pictures(viewer: Viewer, path: str = "/", **headers: str) -> bool:
    protocol: Any = f"viser-v{viser.__version__}"
    address = plain(viewer).replace("http", "ws") + path
    with connect(
        address, subprotocols=[protocol], max_size=None, additional_headers=headers
    ) as connection:
        Page(connection).picture(0)
    return True


@pytest.mark.parametrize(
    "path", ["/", "/index.html", "/assets/x.js", "/nothing", "/?token=", "/?token=no", "/login"]
)
@pytest.mark.parametrize("cookie", ["", "gaborsplat-{port}=", "gaborsplat-{port}=wrong; a=b"])
def test_without_the_password_there_is_one_short_page(
    viewer: Viewer, path: str, cookie: str
) -> None:
    cookie = cookie.format(port=viewer.port)
    status, body, headers = get(plain(viewer) + path, Cookie=cookie)
    assert status == 401
    assert len(body) < 2500
    assert "__gaborsplat" not in body
    assert headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in headers


@pytest.mark.parametrize("path", ["/", "/?token=wrong", "/?token=%ff", "/login"])
def test_without_the_password_there_is_no_socket(viewer: Viewer, path: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        shows_pictures(viewer, path)
    assert caught.value.response.status_code == 401
    assert not sessions()


def test_the_link_lets_in_and_its_token_leaves_the_address(viewer: Viewer) -> None:
    status, body, headers = get(viewer.url)
    assert status == 200
    assert 'searchParams.delete("token")' in body
    cookie, *attributes = headers["Set-Cookie"].split("; ")
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Strict"]
    assert "__gaborsplat" in get(plain(viewer), Cookie=cookie)[1]
    assert get(plain(viewer) + "/none.js", Cookie=f"a=b; {cookie}")[0] == 404
    assert shows_pictures(viewer, Cookie=cookie)


def test_a_program_that_has_the_link_gets_a_socket(viewer: Viewer) -> None:
    assert shows_pictures(viewer, "/?" + urlsplit(viewer.url).query)


def test_the_password_is_exchanged_for_the_token(viewer: Viewer) -> None:
    status, body, headers = log_in(viewer, PASSWORD)
    assert (status, body) == (200, "")
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert cookie.partition("=")[2] == parse_qs(urlsplit(viewer.url).query)["token"][0]
    assert shows_pictures(viewer, Cookie=cookie)
    assert PASSWORD not in str(headers)


@pytest.mark.parametrize(
    ("password", "scheme"),
    [("", "Basic"), ("x", "Basic"), (PASSWORD + " ", "Basic"), (PASSWORD, "Bearer")],
)
def test_a_wrong_password_is_exchanged_for_nothing(
    viewer: Viewer, password: str, scheme: str
) -> None:
    status, _, headers = log_in(viewer, password, scheme)
    assert status == 401
    assert "Set-Cookie" not in headers


@pytest.mark.parametrize("value", ["", "Basic", "Basic !", "Basic =", "Basic w6Q=", "x y z"])
def test_nonsense_for_a_password_is_a_wrong_one(
    viewer: Viewer, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert get(plain(viewer) + "/login", Authorization=value)[0] == 401
    assert "Traceback" not in caplog.text


def test_guessing_is_stopped_but_the_link_goes_on(
    viewer: Viewer, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(int(TRIES[0])):
        assert log_in(viewer, "guess")[0] == 401
    status, body, _ = log_in(viewer, PASSWORD)
    assert status == 429
    assert "too many wrong passwords" in body
    assert get(viewer.url)[0] == 200
    assert len(caplog.messages) == 1
    assert "127.0.0.1" in caplog.messages[0]


def test_another_servers_token_is_worth_nothing(viewer: Viewer) -> None:
    with Viewer(cloud(5), port=0, options=ViewerOptions(password=PASSWORD)) as other:
        assert other.url.partition("=")[2] != viewer.url.partition("=")[2]
        query = urlsplit(other.url).query
    assert get(f"{plain(viewer)}/?{query}")[0] == 401


def test_a_viewer_for_other_machines_says_what_that_means(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Viewer(cloud(5), host="0.0.0.0", port=0):
        pass
    (line,) = caplog.messages
    assert "whoever reaches" in line
    assert "--password" in line
    caplog.clear()
    options = ViewerOptions(password=PASSWORD)
    with Viewer(cloud(5), host="0.0.0.0", port=0, options=options) as viewer:
        assert viewer.url.startswith(f"http://localhost:{viewer.port}/?token=")
    (line,) = caplog.messages
    assert "unencrypted" in line
    assert PASSWORD not in line


def test_an_empty_password_is_refused() -> None:
    with pytest.raises(InputError, match="--password: must not be empty"):
        ViewerOptions(password="")


def test_tries_come_back_with_time_and_right_ones_do_not_count() -> None:
    now = 0.0
    tries = Tries(lambda: now)
    for _ in range(100):
        assert tries.begin("10.0.0.1")
        tries.succeeded("10.0.0.1")
    assert [tries.begin("10.0.0.1") for _ in range(6)] == [True] * int(TRIES[0]) + [False]
    assert tries.begin("10.0.0.2")
    now += 1 / TRIES[1]
    assert [tries.begin("10.0.0.1") for _ in range(2)] == [True, False]


def test_many_addresses_of_one_person_count_as_one_and_all_have_a_limit() -> None:
    tries = Tries(lambda: 0.0)
    assert sum(tries.begin(f"2001:db8::{i:x}") for i in range(1, 100)) == TRIES[0]
    assert not tries.begin("2001:db8::ffff:1%eth0")
    tries = Tries(lambda: 0.0)
    assert sum(tries.begin(f"10.0.{i // 250}.{i % 250}") for i in range(2000)) == ALL_TRIES[0]
