"""Photos that cannot be read any more: training and evaluation go on without them, and say so."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from fitting import Photo, SmallCapture, small_capture

from gaborsplat.renderer.training import (
    LeftOut,
    TrainConfig,
    Trainer,
    evaluate,
    load_checkpoint,
    save_checkpoint,
    train,
)

CONFIG = TrainConfig(
    exposure="off", refine_poses="off", steps=40, gabor=1, max_splats=150, sh_degree=0
)


@dataclass
class Fragile(Photo):
    """A photo that can be read some times only."""

    reads: int = 0

    def image(self) -> torch.Tensor:
        if self.reads <= 0:
            raise OSError(f"{self.name}.jpg: No such file")
        self.reads -= 1
        return self.pixels


def broken(photo: Photo, reads: int = 0) -> Fragile:
    return Fragile(photo.name, photo.camera, photo.pixels, photo.valid, reads)


@pytest.fixture(scope="module")
def capture() -> SmallCapture:
    return small_capture()


def names(capture: SmallCapture) -> set[str]:
    return {view.name for view in capture.train}


@pytest.mark.parametrize("reads", [0, 1, 2])
def test_a_photo_that_becomes_unreadable_is_left_out_with_one_line(
    capture: SmallCapture, reads: int, caplog: pytest.LogCaptureFixture
) -> None:
    lost = broken(capture.train[2], reads)
    some = replace(capture, train=[*capture.train[:2], lost, *capture.train[3:]])
    result = train(some, CONFIG, device="cpu")
    assert result.step == 40
    assert result.evaluation.psnr is not None
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert said == [f"note: left out {lost.name}: {lost.name}.jpg: No such file"]


def test_the_others_have_its_turns_and_every_round_is_whole(capture: SmallCapture) -> None:
    some = replace(capture, train=[broken(capture.train[0], 1), *capture.train[1:]])
    trainer = Trainer(some, CONFIG)
    assert {trainer.step().view for _ in range(5)} == names(capture)
    for _ in range(3):
        assert {trainer.step().view for _ in range(4)} == names(capture) - {capture.train[0].name}


def test_where_most_photos_are_gone_training_ends_as_it_was_after_its_last_step(
    capture: SmallCapture, tmp_path: Path
) -> None:
    bad = [broken(view, 1) for view in capture.train[:3]]
    trainer = Trainer(replace(capture, train=[*bad, *capture.train[3:]]), CONFIG)
    with pytest.raises(ValueError, match=r"3 of 5 photos to train on cannot be read any more, "):
        for _ in range(20):
            trainer.step()
    assert trainer.intact
    done = trainer.steps_done
    save_checkpoint(tmp_path, trainer)
    repaired = Trainer(capture, CONFIG)
    load_checkpoint(tmp_path, repaired)
    assert repaired.step().step == done + 1


def test_one_of_two_photos_is_not_enough(capture: SmallCapture) -> None:
    two = replace(capture, train=[capture.train[0], broken(capture.train[1])])
    trainer = Trainer(two, CONFIG)
    with pytest.raises(ValueError, match="1 of 2 photos"):
        for _ in range(2):
            trainer.step()


def test_test_photos_that_cannot_be_read_never_cost_the_result(
    capture: SmallCapture, caplog: pytest.LogCaptureFixture
) -> None:
    test = [broken(capture.test[0]), *capture.train[:1]]
    result = train(replace(capture, test=test), CONFIG, device="cpu")
    assert set(result.evaluation.per_image) == {capture.train[0].name}
    assert f"left out {capture.test[0].name}" in caplog.text
    none = train(replace(capture, test=test[:1]), CONFIG, device="cpu")
    assert none.metrics()["test"] == {"psnr": None, "ssim": None, "cc_psnr": None, "lpips": None}


def test_an_evaluation_that_is_not_told_what_to_do_with_them_raises(capture: SmallCapture) -> None:
    splats = Trainer(capture, CONFIG).splats()
    lost = broken(capture.test[0])
    with pytest.raises(OSError, match="No such file"):
        evaluate(splats, [lost])
    left_out = LeftOut()
    assert evaluate(splats, [lost, capture.train[0]], left_out=left_out).psnr is not None
    assert list(left_out.reasons) == [lost.name]


@pytest.mark.parametrize("returns", [True, False])
def test_a_run_goes_on_where_a_photo_has_come_back_or_gone(
    capture: SmallCapture, tmp_path: Path, returns: bool
) -> None:
    fewer = replace(capture, train=[*capture.train[:1], *capture.train[2:]])
    before, after = (fewer, capture) if returns else (capture, fewer)
    trainer = Trainer(before, CONFIG)
    done = {trainer.step().view for _ in range(2)}
    save_checkpoint(tmp_path, trainer)
    resumed = Trainer(after, CONFIG)
    load_checkpoint(tmp_path, resumed)
    due = names(before) & names(after) - done
    assert {resumed.step().view for _ in due} == due
    assert {resumed.step().view for _ in range(len(after.train))} == names(after)
