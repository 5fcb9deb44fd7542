"""Memory that runs out within a step, anywhere: what was fitted before is whole."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fitting import SmallCapture, small_capture
from torch.utils._python_dispatch import TorchDispatchMode

from gaborsplat.renderer.training import TrainConfig, Trainer, load_checkpoint, save_checkpoint

CONFIG = TrainConfig(
    steps=24,
    gabor=2,
    max_splats=150,
    sh_degree=1,
    refine_every=4,
    grow_gradient=2e-5,
    wave_start=0.3,
)


class Budget(TorchDispatchMode):
    """Lets so many operations of torch allocate, and no more until it is lifted."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.left = most

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        given = {each.data_ptr() for each in args if isinstance(each, torch.Tensor)}
        result = function(*args, **(kwargs or {}))
        new = isinstance(result, torch.Tensor) and result.data_ptr() not in given
        if new and result.numel() > 8:
            self.left -= 1
            if self.left < 0:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return result


@contextmanager
def tried(budget: int) -> Generator[None, None, None]:
    """What is done within runs out of memory."""
    with pytest.raises(torch.OutOfMemoryError), Budget(budget):
        yield


@pytest.fixture(scope="module")
def capture() -> SmallCapture:
    return small_capture()


def parameters(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: each.detach().clone() for name, each in trainer.parameters.items()}


def allocations_of(capture: SmallCapture, config: TrainConfig, step: int) -> int:
    """How many a step makes."""
    trainer = Trainer(capture, config)
    for _ in range(step):
        trainer.step()
    with Budget(10**6) as budget:
        trainer.step()
    return 10**6 - budget.left


def check_step(capture: SmallCapture, config: TrainConfig, step: int, tries: int, file: Path):
    """Have memory run out in `tries` places of a step."""
    straight = Trainer(capture, config)
    while not straight.done:
        straight.step()
    count = allocations_of(capture, config, step)
    assert count > 3
    for budget in range(0, count, max(1, count // tries)):
        trainer = Trainer(capture, config)
        for _ in range(step):
            trainer.step()
        before, whole = trainer.state_dict(), parameters(trainer)
        with tried(budget):
            trainer.step()
        assert trainer.intact
        assert len({len(each) for each in trainer.parameters.values()}) == 1
        assert all(each.isfinite().all() for each in trainer.parameters.values())
        goes_on = trainer.steps_done == step  # else only what follows the step is missing
        if goes_on:
            assert torch.equal(trainer.state_dict()["generator"], before["generator"])
            for name in ("means", "frequencies", "coefficients", "opacities"):
                assert torch.equal(trainer.parameters[name], whole[name]), name
        save_checkpoint(file, trainer)
        resumed = Trainer(capture, config)
        load_checkpoint(file, resumed)
        while not resumed.done:
            resumed.step()
            trainer.step()
        for name, each in trainer.parameters.items():
            assert torch.equal(each, resumed.parameters[name]), name
            if goes_on:
                error = (each - straight.parameters[name]).abs().max()
                assert error <= 1e-4, f"{name}: another fit than without the failure"


# The first step, one that starts the waves, one that refines, one that looks, and another.
@pytest.mark.parametrize("step", [0, 7, 8, 10, 15])
@pytest.mark.parametrize("strategy", ["mcmc", "default"])
def test_what_was_fitted_before_is_whole_wherever_memory_runs_out(
    capture: SmallCapture, strategy: Any, step: int, tmp_path: Path
):
    check_step(capture, replace(CONFIG, strategy=strategy), step, 5, tmp_path)


@pytest.mark.slow
def test_on_a_gpu_too(capture: SmallCapture, device: torch.device, tmp_path: Path):
    check_step(capture, replace(CONFIG, steps=3), 0, 3, tmp_path)


def test_a_step_for_which_there_is_memory_once_some_is_let_go_of_is_taken(
    capture: SmallCapture, monkeypatch: pytest.MonkeyPatch
):
    trainer, straight = Trainer(capture, CONFIG), Trainer(capture, CONFIG)
    whole = Trainer._take
    failed: list[int] = []

    def fails_once(self: Trainer, photo: Any) -> Any:
        if self is trainer and self.steps_done == 3 and not failed:
            failed.append(3)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, photo)

    monkeypatch.setattr(Trainer, "_take", fails_once)
    for _ in range(6):
        trainer.step()
        straight.step()
    assert failed == [3]
    for name, each in trainer.parameters.items():
        assert torch.equal(each, straight.parameters[name]), name
