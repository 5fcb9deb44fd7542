"""What a preset decides, what goes over it, and what there is memory for."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from fitting import small_capture

import gaborsplat as gs
from gaborsplat.renderer.training import PRESETS, Default, longest_side, preset_taken
from gaborsplat.renderer.training.cost import memory

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> int:
    """A machine with 20 MB to spare."""
    monkeypatch.setattr(memory, "free_memory", lambda _: 20_000_000)
    return 20_000_000


def test_on_a_cpu_the_defaults_are_those_of_a_laptop():
    assert preset_taken("auto", CPU) == "draft"
    assert gs.TrainConfig().by_preset("draft") == gs.TrainConfig(steps=2000, max_splats=30_000)
    assert PRESETS["draft"].max_size == 960


def test_on_a_gpu_the_defaults_are_those_of_a_gpu():
    assert preset_taken("auto", GPU) == "standard"
    config = gs.TrainConfig(gabor=1).by_preset("standard")
    assert config == gs.TrainConfig(steps=30_000, max_splats=1_000_000, gabor=1)
    assert preset_taken("high", CPU) == "high"


def test_what_is_given_goes_over_the_preset_also_when_it_is_a_default():
    config = gs.TrainConfig(steps=2000).by_preset("high")
    assert (config.steps, config.max_splats) == (2000, 3_000_000)
    assert replace(gs.TrainConfig(), max_splats=30_000).by_preset("high").max_splats == 30_000
    assert longest_side(960, "high") == 960
    assert longest_side(None, "draft") is None
    assert longest_side(Default(960), "standard") == 1600


def test_settings_of_a_preset_are_written_as_numbers():
    written = asdict(gs.TrainConfig().by_preset("standard"))
    assert (written["steps"], written["max_splats"]) == (30_000, 1_000_000)


def test_a_preset_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="one of auto, draft, standard, high, not best"):
        gs.train(small_capture(), preset="best")  # pyright: ignore


def test_a_config_without_a_preset_keeps_its_defaults_wherever_it_runs(
    monkeypatch: pytest.MonkeyPatch,
):
    taken: list[str] = []

    def noted(preset: str, device: torch.device) -> str:
        taken.append(preset)
        raise ArithmeticError

    monkeypatch.setattr("gaborsplat.renderer.training.run.preset_taken", noted)
    for options in ({}, {"config": gs.TrainConfig(steps=2)}, {"preset": "high"}):
        with pytest.raises(ArithmeticError):
            gs.train(small_capture(), **options)
    assert taken == ["auto", "draft", "high"]


def test_a_preset_takes_as_many_splats_as_there_is_memory_for(
    little_memory: int, caplog: pytest.LogCaptureFixture
):
    capture, asked = small_capture(), gs.TrainConfig(steps=3, sh_degree=2)
    with caplog.at_level(logging.WARNING):
        result = gs.train(capture, asked, preset="high", device="cpu")
    (line,) = [record.getMessage() for record in caplog.records]
    assert "3,000,000 need about" in line
    config = asked.by_preset("high")
    lowered = memory.within_memory(config, capture, CPU)
    assert f"at most {lowered.max_splats:,} splats" in line
    assert len(result.splats) <= lowered.max_splats < 30_000
    sizes = [view.camera.size for view in capture.train]
    for more, fits in ((1.0, True), (1.01, False)):
        some = replace(lowered, max_splats=int(more * lowered.max_splats))
        needed = memory.memory_of_run(some, sizes, CPU, little_memory)
        assert (needed <= memory.USABLE * little_memory) == fits


def test_more_splats_than_there_is_memory_for_are_refused_when_asked_for(little_memory: int):
    config = gs.TrainConfig(steps=3, max_splats=1_000_000)
    with pytest.raises(
        ValueError, match=r"max_splats must be at most .* not 1,000,000: .* free on cpu"
    ):
        gs.train(small_capture(), config, device="cpu")


def test_photos_that_fill_the_memory_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "free_memory", lambda _: 1_000_000)
    with pytest.raises(
        ValueError, match=r"too little memory for these photos: .* smaller max_size"
    ):
        gs.train(small_capture(), device="cpu")


def test_a_machine_that_does_not_tell_its_memory_refuses_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "free_memory", lambda _: None)
    config = gs.TrainConfig().by_preset("high")
    assert memory.within_memory(config, small_capture(), CPU) == config


def test_a_run_that_goes_on_keeps_what_it_was_started_with(tmp_path: Path):
    capture = small_capture()
    gs.train(capture, gs.TrainConfig(steps=4, max_splats=200), checkpoints=tmp_path, device="cpu")
    assert gs.train(capture, preset="high", resume=tmp_path).step == 4
    again = gs.train(capture, gs.TrainConfig(steps=6), resume=tmp_path, checkpoints=tmp_path)
    assert again.step == 6
    (newest,) = sorted(tmp_path.glob("step-*6.pt"))
    started = torch.load(newest, weights_only=True)["started_with"]
    assert started == {"steps": 6, "max_splats": 200, "exposure": "off"}


def test_free_memory_is_some_of_what_there_is():
    free = memory.free_memory(CPU)
    assert free is None or 10**7 < free < 10**14


def test_the_limit_of_a_control_group_counts(tmp_path: Path):
    files = {"memory.max": "1000\n", "memory.current": "900\n", "memory.stat": "inactive_file 50\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    left = memory._left_in_group  # pyright: ignore[reportPrivateUsage]
    assert left(tmp_path) == 150
    (tmp_path / "memory.max").write_text("max\n")
    assert left(tmp_path) is None
    assert left(tmp_path / "none") is None
