"""`--password`, `--tls-cert` and `--tls-key`, of all commands with a viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import synthetic
import torch
from certificates import certify

import gaborsplat as gs
from gaborsplat.cli import BAD_INPUT, main, parse
from gaborsplat.commands.access import PASSWORD, Access
from gaborsplat.scenes import InputError


@pytest.fixture
def scene(tmp_path: Path) -> str:
    path = tmp_path / "scene.ply"
    gs.save_splats(synthetic.cloud(5, dtype=torch.float32), path)
    return str(path)


def options(*words: str) -> dict[str, Any]:
    return parse(list(words)).access.options()


@pytest.mark.parametrize("command", [("view", "x.ply"), ("train", "scene")])
def test_a_password_stands_on_the_command_line_or_in_the_environment(
    command: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PASSWORD, raising=False)
    assert options(*command)["password"] is None
    monkeypatch.setenv(PASSWORD, "of the environment")
    assert options(*command)["password"] == "of the environment"
    assert options(*command, "--password", "of the line")["password"] == "of the line"


def test_help_does_not_show_the_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PASSWORD, "s3cret")
    assert main(["view", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--password" in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--password="], "--password: must not be empty"),
        (["--tls-cert", "{cert}"], "--tls-cert and --tls-key: must be given together"),
        (["--tls-key", "{key}"], "--tls-cert and --tls-key: must be given together"),
        (["--tls-cert", "{cert}", "--tls-key", "{cert}"], "holds no private key"),
        (["--tls-cert", "/no/such", "--tls-key", "{key}"], "--tls-cert: /no/such cannot be read"),
    ],
)
@pytest.mark.parametrize("command", ["view", "train"])
def test_what_makes_no_sense_is_refused_before_anything_is_served(
    command: str,
    words: list[str],
    said: str,
    scene: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cert, key = certify(tmp_path, "own")
    words = [word.format(cert=cert, key=key) for word in words]
    assert main([command, scene, *words]) == BAD_INPUT
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert told.err.count("\n") == 1


def test_an_empty_password_in_the_environment_opens_no_door(
    scene: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PASSWORD, "")
    assert main(["view", scene, "--port", "0", "--device", "cpu"]) == BAD_INPUT
    assert "must not be empty" in capsys.readouterr().err
    with pytest.raises(InputError):
        gs.ViewerOptions(**Access().options())


def test_view_is_served_by_these(scene: str, tmp_path: Path) -> None:
    cert, key = certify(tmp_path, "own")
    words = ["view", scene, "--port", "0", "--device", "cpu", "--password", "x"]
    with parse([*words, "--tls-cert", str(cert), "--tls-key", str(key)]).served() as (viewer, _):
        assert viewer.url.startswith(f"https://127.0.0.1:{viewer.port}/?token=")
