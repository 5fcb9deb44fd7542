"""Which device computes, and what becomes of tensors that lie on another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import synthetic
import torch
from fitting import small_capture

import gaborsplat as gs
from gaborsplat.cli import main
from gaborsplat.renderer import devices
from gaborsplat.scenes import demo_path

WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")


@WITHOUT_GPU
def test_auto_is_the_cpu_where_there_is_no_gpu():
    assert gs.pick_device() == gs.pick_device("auto") == torch.device("cpu")


@WITHOUT_GPU
@pytest.mark.parametrize("wanted", ["cuda", "cuda:1", torch.device("cuda")])
def test_a_gpu_that_is_not_there_is_refused_with_the_reason(wanted: torch.device | str):
    refusal = r"device: cuda\S* cannot be used: torch .*; cpu works"
    with pytest.raises(ValueError, match=refusal):
        gs.pick_device(wanted)
    with pytest.raises(ValueError, match=refusal):
        gs.train(small_capture(), device=wanted)


@pytest.mark.parametrize("wanted", ["mps", "meta", "gpu", "cuda:x", ""])
def test_a_device_without_a_backend_is_refused(wanted: str):
    with pytest.raises(ValueError, match=r"^device: [^\n]*$"):
        gs.pick_device(wanted)


def test_a_gpu_that_does_not_even_start_is_one_that_does_not_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fails() -> int:
        raise RuntimeError("CUDA error: out of memory\nmore lines")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", fails)
    assert gs.pick_device("auto") == torch.device("cpu")
    assert "CUDA error: out of memory" in caplog.text
    with pytest.raises(ValueError, match="cannot be used: CUDA error: out of memory; cpu works"):
        gs.pick_device("cuda")


def test_auto_warns_of_a_gpu_that_does_not_work_and_takes_the_cpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(devices, "why_unusable", lambda device: "it is on fire")
    assert gs.pick_device("auto") == torch.device("cpu")
    assert "it is on fire" in caplog.text


@WITHOUT_GPU
@pytest.mark.parametrize(
    "words",
    [
        ["train", str(demo_path()), "--no-viewer"],
        ["render", "scene.ply", "-o", "pictures"],
        ["view", "scene.ply"],
    ],
)
def test_a_command_refuses_a_gpu_that_is_not_there_in_one_line(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    gs.save_splats(synthetic.cloud(5, 0, dtype=torch.float32), "scene.ply")
    assert main([*words, "--device", "cuda"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--device: cuda cannot be used: torch" in line
    assert [path.name for path in tmp_path.iterdir()] == ["scene.ply"]


def test_training_picks_the_device_and_leaves_its_result_there():
    config = gs.TrainConfig(steps=1, gabor=0, max_splats=20)
    result = gs.train(small_capture(), config)
    assert result.splats.means.device.type == gs.pick_device("auto").type


@ON_GPU
@pytest.mark.parametrize("draw", [gs.render, gs.render_bytes])
def test_a_camera_is_brought_to_the_device_of_the_splats(draw):
    splats = synthetic.cloud(20, 2, dtype=torch.float32).to("cuda")
    camera = synthetic.camera(dtype=torch.float32)
    drawn = draw(splats, camera)
    picture = drawn if isinstance(drawn, torch.Tensor) else drawn.color
    assert picture.device.type == "cuda"


def test_splats_that_lie_on_two_devices_are_refused():
    splats = synthetic.cloud(20, 2, dtype=torch.float32)
    torn = replace(splats, opacities=splats.opacities.to("meta"))
    with pytest.raises(ValueError, match=r"opacities is .* on meta, but means is .* on cpu"):
        gs.render(torn, synthetic.camera(dtype=torch.float32))
