"""What a run is said to take, against what it takes."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
import torch
from fitting import small_capture

import gaborsplat as gs
from gaborsplat.renderer.reference import project_reference, weight_gaussian
from gaborsplat.renderer.training.cost import trial
from gaborsplat.renderer.training.cost.memory import memory_of_run, memory_of_training, photos_kept
from gaborsplat.renderer.training.cost.trial import StepTime, time_steps

PEAK = """
from dataclasses import replace
import torch
from fitting import Photo, looking_at_origin, small_capture
import gaborsplat as gs

def peak():
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))

def fit(splats, width, height):
    camera = looking_at_origin((0.0, 1.0, -4.0)).resized((width, height))
    photo = torch.zeros(height, width, 3, dtype=torch.uint8)
    capture = small_capture(2)
    capture.train = [Photo("large", camera, photo)]
    config = gs.TrainConfig(
        steps=1000, max_splats=splats, gabor={gabor}, sh_degree={degree}, wave_birth="random"
    )
    trainer = gs.Trainer(capture, config)
    state = trainer.state_dict()
    rows = torch.arange(splats) % len(state["raw"]["means"])
    state["raw"] = {{name: tensor[rows] for name, tensor in state["raw"].items()}}
    for moments in state["moments"].values():
        moments |= {{name: tensor[rows] for name, tensor in moments.items()}}
    state["raw"]["means"] += 0.3 * torch.randn(splats, 3)
    state["raw"]["scales"] -= {smaller}
    state["progress"]["steps_done"] = 801
    trainer.load_state_dict(state)
    del state, rows
    for _ in range(2):
        trainer.step()
    shown = trainer.splats()
    saved = trainer.state_dict()

fit(500, 64, 64)
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak so far does not count
before = peak()
fit({splats}, {width}, {height})
print(peak() - before)
"""
"""Prints by how much a fit raises the memory of a process [bytes]."""

CASES = {
    "splats": (30_000, (200, 150), 2, 3, 3.0),
    "pixels": pytest.param((1000, (1500, 1100), 0, 0, 1.5), marks=pytest.mark.slow),
    "both": pytest.param((60_000, (600, 500), 4, 1, 3.0), marks=pytest.mark.slow),
}


@pytest.mark.skipif(sys.platform != "linux", reason="measured in /proc")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_fit_takes_the_memory_that_was_predicted(
    case: tuple[int, tuple[int, int], int, int, float],
):
    splats, (width, height), gabor, degree, smaller = case
    program = PEAK.format(
        splats=splats, width=width, height=height, gabor=gabor, degree=degree, smaller=smaller
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "MALLOC_MMAP_THRESHOLD_": "65536",  # what is freed goes back to the system, and is seen to
    }
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    predicted = memory_of_training(splats, (width, height), gabor=gabor, sh_degree=degree)
    assert 0.75 * predicted < int(done.stdout) < 1.05 * predicted


def test_every_size_takes_memory():
    def needed(splats: int = 10_000, side: int = 500, gabor: int = 1, degree: int = 1) -> int:
        return memory_of_training(splats, (side, side), gabor=gabor, sh_degree=degree)

    least = needed()
    assert min(needed(splats=20_000), needed(side=600), needed(gabor=2), needed(degree=2)) > least
    with_photos = memory_of_training(10_000, (500, 500), gabor=1, sh_degree=1, photos=1000)
    assert with_photos == least + 1000


def test_photos_that_do_not_fit_are_not_counted_as_kept():
    sizes = [(4000, 3000)] * 100
    assert photos_kept(sizes[:2], torch.device("cpu"), None) == 2 * 3 * 4000 * 3000
    assert photos_kept(sizes, torch.device("cpu"), None) == 2 << 30
    assert photos_kept(sizes, torch.device("cuda"), 1_000_000) == 250_000


def test_photos_that_were_made_smaller_take_memory_on_the_host_alone():
    sizes, plain = [(4000, 3000)] * 10, gs.TrainConfig()
    coarse = gs.TrainConfig(coarse_to_fine=True)
    for device, more in (("cpu", 10 * 3 * 2000 * 1500), ("cuda", 0)):
        first, second = (
            memory_of_run(config, sizes, torch.device(device), 10**9) for config in (plain, coarse)
        )
        assert second - first == more


def test_a_trial_finds_what_splats_and_pixels_cost(monkeypatch: pytest.MonkeyPatch):
    def of_known_cost(data: gs.Capture, config: gs.TrainConfig, _: torch.device) -> float:
        width, height = data.train[0].camera.size
        return 2e-3 + 3e-7 * config.max_splats + 4e-9 * width * height

    monkeypatch.setattr(trial, "_time_of_step", of_known_cost)
    found = time_steps(small_capture(), gs.TrainConfig(), torch.device("cpu"))
    assert (found.fixed, found.per_splat) == pytest.approx((2e-3, 3e-7))
    assert found.per_pixel == pytest.approx(4e-9)
    assert found.decode >= 0


def test_a_trial_takes_real_steps(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(trial.SPLATS, "cpu", (100, 20_000))
    monkeypatch.setitem(trial.SIDES, "cpu", (40, 300))
    found = time_steps(small_capture(), gs.TrainConfig(gabor=1), torch.device("cpu"))
    assert found.per_splat > 0
    assert found.per_pixel > 0


def test_a_run_takes_the_time_of_its_steps_and_of_photos_that_do_not_stay():
    step = StepTime(fixed=0.01, per_splat=1e-6, per_pixel=1e-8, decode=0.5)
    sizes = [(100, 100), (300, 100)]
    still = gs.TrainConfig(steps=1000, max_splats=5000)
    run = step.of_run(still, 5000, sizes, 2 * 3 * 20_000)
    assert run == pytest.approx(1000 * step.of(5000, 20_000))
    assert step.of_run(still, 5000, sizes, 3 * 20_000) == pytest.approx(run + 1000 * 0.25)
    growing = step.of_run(still, 500, sizes, 10**9)
    assert 1000 * step.of(500, 20_000) < growing < run


def test_splats_of_a_trial_cover_what_their_models_did():
    raw = {"means": torch.zeros(10, 3), "scales": torch.log(torch.full((10, 3), 0.2))}
    state = {"raw": raw, "moments": {"means": {"exp_avg": torch.arange(10.0)}}}
    trial.multiply_splats(state, 1000)
    many = state["raw"]
    assert len(many["means"]) == len(state["moments"]["means"]["exp_avg"]) == 1000

    def area(scales: torch.Tensor) -> float:
        return float((2 * scales[:, 0]).exp().sum())

    assert area(many["scales"]) == pytest.approx(area(raw["scales"]), rel=1e-5)
    assert many["means"].std() == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize("scale", [1e-4, 0.05, 1.0])
def test_splats_of_a_trial_are_as_many_to_a_pixel_as_in_captures_that_were_trained(scale: float):
    generator = torch.Generator().manual_seed(0)
    count, size = 2000, (60, 40)
    intrinsics = torch.tensor([[60.0, 0, 30], [0, 60, 20], [0, 0, 1]])
    camera = gs.Camera(torch.eye(4), intrinsics, size)
    # All around what is seen, so that as many reach in as out.
    means = (torch.rand(count, 3, generator=generator) - 0.5) * torch.tensor([6, 6, 1])
    means[:, 2] += 4
    raw = {
        "means": means,
        "scales": torch.full((count, 3), math.log(scale)),
        "opacities": torch.zeros(count),
    }
    trial.make_overlap(raw, [camera])
    splats = gs.Splats(
        means=raw["means"],
        quats=torch.tensor([1.0, 0, 0, 0]).expand(count, 4),
        scales=raw["scales"].exp(),
        opacities=raw["opacities"].sigmoid(),
        sh=torch.zeros(count, 1, 3),
        frequencies=torch.zeros(count, 0, 3),
        coefficients=torch.zeros(count, 0, 2),
    )
    found = project_reference(splats, camera, gs.RenderSettings())
    rows, columns = torch.meshgrid(torch.arange(40) + 0.5, torch.arange(60) + 0.5, indexing="ij")
    pixels = torch.stack([columns, rows], dim=-1).reshape(-1, 1, 2)
    weights = weight_gaussian(found, pixels - found.means)
    reached = (found.opacities * weights >= 1 / 255).sum(dim=1).double().mean()
    assert 0.5 * trial.OVERLAP < reached < 2 * trial.OVERLAP
    assert splats.opacities.numpy() == pytest.approx(trial.OPACITY)
