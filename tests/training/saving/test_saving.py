"""When checkpoints are written, beside the training that they are of."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from fitting import SmallCapture, small_capture
from full_disk import file_limit

from gaborsplat.renderer.training import (
    CheckpointWriter,
    TrainConfig,
    Trainer,
    checkpoint_splats,
    checkpoints,
    deferred_interrupt,
    load_checkpoint,
    save_checkpoint,
    saving,
    train,
)

CONFIG = TrainConfig(steps=30, gabor=1, max_splats=150, sh_degree=1, checkpoint_every=10)


@pytest.fixture(scope="module")
def capture() -> SmallCapture:
    return small_capture()


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(saving.time, "monotonic", found.monotonic)
    return found


def writer_of(trainer: Trainer, folder: Path, failed: list[OSError] | None = None):
    return CheckpointWriter(folder, trainer, (failed if failed is not None else []).append)


def saved(folder: Path) -> list[int]:
    return [int(path.stem.removeprefix("step-")) for path in checkpoints(folder)]


def settle(writer: CheckpointWriter) -> None:
    for thread in threading.enumerate():
        if thread.name == "checkpoint":
            thread.join()


def test_what_is_written_beside_training_is_the_state_of_its_step(
    capture: SmallCapture, tmp_path: Path
):
    trainer = Trainer(capture, replace(CONFIG, checkpoint_every=7))
    writer = writer_of(trainer, tmp_path)
    wanted: dict[int, torch.Tensor] = {}
    while not trainer.done:
        trainer.step()
        wanted[trainer.steps_done] = trainer.splats().means
        writer.after_step()
    writer.save()
    assert saved(tmp_path) == [28, 30]
    for path in checkpoints(tmp_path):
        step = int(path.stem.removeprefix("step-"))
        assert torch.equal(checkpoint_splats(path).means, wanted[step])


def test_one_is_written_after_some_minutes_however_many_steps_these_are(
    capture: SmallCapture, tmp_path: Path, clock: Clock
):
    config = replace(CONFIG, checkpoint_every=1000, checkpoint_minutes=5.0)
    trainer = Trainer(capture, config)
    writer = writer_of(trainer, tmp_path)
    for step in range(1, 9):
        trainer.step()
        clock.now += 100.0
        writer.after_step()
        settle(writer)
        assert saved(tmp_path) == ([] if step < 3 else [3] if step < 6 else [3, 6])


def test_by_default_checkpoints_take_a_hundredth_of_the_time_at_most(
    capture: SmallCapture, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    trainer = Trainer(capture, replace(CONFIG, checkpoint_every=500, steps=3000))
    writer = writer_of(trainer, tmp_path)
    began = iter(range(10**6))
    monkeypatch.setattr(saving.time, "thread_time", lambda: 2.0 * next(began))  # 2 s each
    written: list[float] = []
    monkeypatch.setattr(trainer, "step", lambda: setattr(trainer, "steps_done", step))
    for step in range(1, 2001):
        trainer.steps_done = step
        clock.now += 1.0
        before = saved(tmp_path)
        writer.after_step()
        settle(writer)
        if saved(tmp_path) != before:
            written.append(clock.now)
    assert written[0] == 300.0  # by the clock
    assert all(later - earlier >= 200.0 for earlier, later in pairwise(written))


def test_an_interval_that_somebody_has_chosen_is_kept_to(
    capture: SmallCapture, tmp_path: Path, clock: Clock
):
    trainer = Trainer(capture, replace(CONFIG, checkpoint_every=2, steps=8))
    writer = writer_of(trainer, tmp_path)
    found: list[int] = []
    while not trainer.done:
        trainer.step()
        writer.after_step()
        settle(writer)
        found += [step for step in saved(tmp_path) if step not in found]
    assert found == [2, 4, 6, 8]


def test_a_checkpoint_that_cannot_be_written_is_told_and_the_next_one_is_tried(
    capture: SmallCapture, tmp_path: Path
):
    failed: list[OSError] = []
    trainer = Trainer(capture, replace(CONFIG, checkpoint_every=2))
    save_checkpoint(tmp_path, trainer)
    writer = writer_of(trainer, tmp_path, failed)
    with file_limit(10_000):
        for _ in range(5):
            trainer.step()
            writer.after_step()
            settle(writer)
        with pytest.raises(OSError, match=r"step-00000005\.pt"):
            writer.save()
    assert [os.path.basename(error.filename) for error in failed] == [
        "step-00000002.pt",
        "step-00000004.pt",
    ]
    assert saved(tmp_path) == [0]
    writer.save()
    assert saved(tmp_path) == [0, 5]
    assert writer.saved_step == 5


@pytest.mark.parametrize(
    ("at", "earlier"),
    [
        *((at, False) for at in ("tensors", "archive", "sum", "end")),
        *((at, True) for at in ("tensors", "archive")),
    ],
)
def test_a_flipped_bit_anywhere_costs_one_interval_at_most(
    capture: SmallCapture, tmp_path: Path, at: str, earlier: bool
):
    trainer = Trainer(capture, CONFIG)
    older = save_checkpoint(tmp_path, trainer)
    trainer.step()
    newest = save_checkpoint(tmp_path, trainer)
    if earlier:  # as versions before had it: torch's archive alone
        torch.save(torch.load(newest, weights_only=True), newest)
    content = bytearray(newest.read_bytes())
    name = content.find(trainer.parameters["means"].detach().numpy().tobytes())
    place = {"tensors": name + 5, "archive": -120 if earlier else -150, "sum": -30, "end": -1}[at]
    content[place] ^= 4
    newest.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(newest, Trainer(capture, CONFIG))
    assert load_checkpoint(tmp_path, Trainer(capture, CONFIG)) == older


@pytest.mark.parametrize("signals", [1, 2])
def test_signals_during_the_last_save_do_not_cut_it_short(
    capture: SmallCapture, tmp_path: Path, signals: int, monkeypatch: pytest.MonkeyPatch
):
    before = CheckpointWriter.save

    def disturbed(self: CheckpointWriter) -> Path:
        for _ in range(signals):
            signal.raise_signal(signal.SIGINT)
        return before(self)

    monkeypatch.setattr(CheckpointWriter, "save", disturbed)
    with pytest.raises(KeyboardInterrupt):
        train(capture, replace(CONFIG, steps=5), checkpoints=tmp_path)
    assert saved(tmp_path) == [5]


def test_the_third_signal_ends_the_save(
    capture: SmallCapture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
):
    def save(self: CheckpointWriter) -> Path:
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
        raise AssertionError("the third is not heard")

    monkeypatch.setattr(CheckpointWriter, "save", save)
    with pytest.raises(KeyboardInterrupt):
        train(capture, replace(CONFIG, steps=3), checkpoints=tmp_path)
    assert capfd.readouterr().err.count("once more ends without") == 1
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_not_taken_for_older_than_those_of_another_run(
    capture: SmallCapture, tmp_path: Path
):
    trainer = Trainer(capture, CONFIG)
    trainer.steps_done = 1000
    save_checkpoint(tmp_path, trainer)
    trainer.steps_done = 1500
    save_checkpoint(tmp_path, trainer)
    train(capture, replace(CONFIG, steps=30), checkpoints=tmp_path)
    assert saved(tmp_path) == [20, 30, 1000, 1500]


def test_only_damage_makes_an_older_checkpoint_do(capture: SmallCapture, tmp_path: Path):
    trainer = Trainer(capture, replace(CONFIG, max_splats=140))
    save_checkpoint(tmp_path, trainer)
    larger = Trainer(capture, replace(CONFIG, max_splats=150))
    for _ in range(20):
        larger.step()
    save_checkpoint(tmp_path, larger)
    few = Trainer(capture, replace(CONFIG, max_splats=len(trainer.parameters["means"])))
    if len(larger.parameters["means"]) > few.config.max_splats:
        with pytest.raises(ValueError, match="more than max_splats"):
            load_checkpoint(tmp_path, few)
    with pytest.raises(ValueError, match="seed = 0, not 1"):
        load_checkpoint(tmp_path, Trainer(capture, replace(CONFIG, seed=1)))


def test_a_signal_during_the_last_save_ends_the_run_after_it(
    capture: SmallCapture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    finished: list[Any] = []
    monkeypatch.setattr("gaborsplat.renderer.training.run.finish", finished.append)
    before = CheckpointWriter.save

    def disturbed(self: CheckpointWriter) -> Path:
        signal.raise_signal(signal.SIGTERM)
        return before(self)

    monkeypatch.setattr(CheckpointWriter, "save", disturbed)
    with pytest.raises(KeyboardInterrupt):
        train(capture, replace(CONFIG, steps=3), checkpoints=tmp_path)
    assert saved(tmp_path) == [3]
    assert not finished


def test_who_does_not_want_to_wait_does_not_wait_for_a_save(capture: SmallCapture, tmp_path: Path):
    def impatient(_: object) -> None:
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(capture, CONFIG, checkpoints=tmp_path, on_step=impatient)
    assert saved(tmp_path) == []


def test_a_signal_that_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with deferred_interrupt(saves=True) as check:
            signal.raise_signal(signal.SIGHUP)
            check()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_two_trainings_do_not_share_a_folder_of_checkpoints(capture: SmallCapture, tmp_path: Path):
    def another(_: object) -> None:
        train(capture, CONFIG, checkpoints=tmp_path)

    with pytest.raises(ValueError, match=f"process {os.getpid()} on .* trains there since"):
        train(capture, CONFIG, checkpoints=tmp_path, on_step=another)
    assert saved(tmp_path) == [1]
