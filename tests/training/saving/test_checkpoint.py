"""A run that was interrupted goes on as if it had not been."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from fitting import SmallCapture, small_capture
from full_disk import file_limit

from gaborsplat.renderer import _native
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.training import (
    StepReport,
    TrainConfig,
    Trainer,
    checkpoint_splats,
    checkpoints,
    deferred_interrupt,
    load_checkpoint,
    save_checkpoint,
    train,
)

CONFIG = TrainConfig(
    steps=60, gabor=2, max_splats=150, sh_degree=1, grow_gradient=2e-5, checkpoint_every=25
)


@pytest.fixture(scope="module")
def capture() -> SmallCapture:
    return small_capture()


def trained(capture: SmallCapture, config: TrainConfig, steps: int) -> Trainer:
    trainer = Trainer(capture, config)
    for _ in range(steps):
        trainer.step()
    return trainer


def differences(first: Any, second: Any, path: str = "") -> list[str]:
    """Where two nested states differ by as much as a bit, other than in the time they took."""
    if isinstance(first, dict):
        assert first.keys() == second.keys(), path
        return [d for key in first for d in differences(first[key], second[key], f"{path}/{key}")]
    if isinstance(first, list):
        if len(first) != len(second):
            return [path]
        return [
            d
            for index, (a, b) in enumerate(zip(first, second, strict=True))
            for d in differences(a, b, f"{path}/{index}")
        ]
    if isinstance(first, torch.Tensor):
        return [] if torch.equal(first, second) else [path]
    measured = ("/progress/seconds", "/pace/elapsed")
    return [] if first == second or path in measured else [path]


@pytest.mark.parametrize("strategy", ["mcmc", "default"])
@pytest.mark.parametrize("gabor", [0, 2])
def test_an_interrupted_and_resumed_run_equals_an_uninterrupted_one(
    capture: SmallCapture,
    tmp_path: Path,
    strategy: Literal["mcmc", "default"],
    gabor: Literal[0, 2],
) -> None:
    config = replace(CONFIG, strategy=strategy, gabor=gabor)
    straight = trained(capture, config, 60)
    # Step 7 is before the waves and in the middle of an epoch; 38 has all stages running.
    for interruption in (7, 38):
        save_checkpoint(tmp_path, trained(capture, config, interruption))
        resumed = Trainer(capture, config)
        load_checkpoint(tmp_path, resumed)
        assert resumed.steps_done == interruption
        while not resumed.done:
            resumed.step()
        assert differences(straight.state_dict(), resumed.state_dict()) == []


def as_first_version(state: dict[str, Any]) -> dict[str, Any]:
    """What a trainer gave when every parameter had torch's Adam."""
    roots, sizes = (
        torch.tensor(each()) for each in (_native.moment_roots, _native.moment_quotients)
    )
    optimizers: dict[str, Any] = {}
    for name, moments in state.pop("moments").items():
        averages = moments
        if "roots" in moments:
            root = roots[moments["roots"].int()]
            sign = 1 - 2 * (moments["quotients"] >> 7).float()
            size = sizes[(moments["quotients"] & 127).int()]
            averages = {"exp_avg": sign * size * root, "exp_avg_sq": root**2}
        kept = {"step": float(state["adam_steps"][0]), **averages}
        optimizers[name] = {"state": {0: kept}, "param_groups": [{"params": [0]}]}
    del state["adam_steps"], state["missed"]
    return state | {"version": 1, "optimizers": optimizers}


def test_a_checkpoint_of_the_first_version_is_gone_on_from(
    capture: SmallCapture, tmp_path: Path
) -> None:
    config = replace(CONFIG, wave_start=0.0)  # waves had the other parameters' clock
    trainer = trained(capture, config, 20)
    old = tmp_path / "step-00000020.pt"
    torch.save(as_first_version(trainer.state_dict()), old)
    resumed = Trainer(capture, config)
    load_checkpoint(old, resumed)
    trainer.step()
    resumed.step()
    assert torch.equal(trainer.splats().means, resumed.splats().means)
    shown = checkpoint_splats(old)
    assert len(shown) == len(trainer.splats())
    # Where nothing is missing, all that is known of harmonics is in the bytes.
    for name, moments in trainer.state_dict()["moments"].items():
        for key, value in moments.items():
            assert torch.equal(resumed.state_dict()["moments"][name][key], value), (name, key)


def test_the_near_plane_is_that_with_which_the_run_began(
    capture: SmallCapture, tmp_path: Path
) -> None:
    trainer = trained(capture, CONFIG, 5)
    near = trainer.settings.near_plane
    save_checkpoint(tmp_path, trainer)
    nearer = replace(capture, points=capture.points + torch.tensor([0.0, 0.0, 0.5]))
    resumed = Trainer(nearer, CONFIG)
    assert resumed.settings.near_plane != near
    load_checkpoint(tmp_path, resumed)
    assert resumed.settings.near_plane == near
    state = trainer.state_dict()
    del state["near_plane"]  # of a version that had one for all
    resumed.load_state_dict(state)
    assert resumed.settings.near_plane == RenderSettings().near_plane
    resumed.step()


def test_saving_does_not_disturb_the_run(capture: SmallCapture, tmp_path: Path) -> None:
    trainer = trained(capture, CONFIG, 20)
    before = trainer.state_dict()
    save_checkpoint(tmp_path, trainer)
    trainer.step()
    resumed = Trainer(capture, CONFIG)
    load_checkpoint(tmp_path, resumed)
    assert differences(before, resumed.state_dict()) == []
    assert differences(before, trainer.state_dict()) != []


def test_a_finished_run_can_be_extended(capture: SmallCapture, tmp_path: Path) -> None:
    train(capture, CONFIG, checkpoints=tmp_path)
    longer = replace(CONFIG, steps=120, max_splats=180)
    reports: list[StepReport] = []
    result = train(capture, longer, resume=tmp_path, on_step=reports.append)
    assert [report.step for report in reports] == list(range(61, 121))
    assert result.step == 120
    assert len(result.splats) == 180
    assert result.splats.coefficients.any()


def test_resuming_a_finished_run_returns_its_result(capture: SmallCapture, tmp_path: Path) -> None:
    first = train(capture, CONFIG, checkpoints=tmp_path)
    again = train(capture, CONFIG, resume=tmp_path)
    assert torch.equal(first.splats.means, again.splats.means)
    assert again.evaluation == first.evaluation


def test_only_the_last_two_checkpoints_stay(capture: SmallCapture, tmp_path: Path) -> None:
    train(capture, CONFIG, checkpoints=tmp_path)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000050.pt", "step-00000060.pt"]
    assert len(list(tmp_path.iterdir())) == 2


def test_ctrl_c_waits_for_the_step_in_progress(
    capture: SmallCapture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    whole_step = Trainer._take

    def interrupted_step(trainer: Trainer, view: Any) -> Any:
        if trainer.steps_done == 4:
            signal.raise_signal(signal.SIGINT)
        steps.append(trainer.steps_done)
        return whole_step(trainer, view)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(Trainer, "_take", interrupted_step)
    with pytest.raises(KeyboardInterrupt):
        train(capture, CONFIG, checkpoints=tmp_path)
    assert steps == [0, 1, 2, 3, 4]
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000005.pt"]
    assert signal.getsignal(signal.SIGINT) is before


def test_where_nothing_is_to_be_saved_a_second_ctrl_c_does_not_wait() -> None:
    with deferred_interrupt(saves=False):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_an_interrupted_run_leaves_a_checkpoint(capture: SmallCapture, tmp_path: Path) -> None:
    def interrupt(report: StepReport) -> None:
        if report.step == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(capture, CONFIG, checkpoints=tmp_path, on_step=interrupt)
    resumed = Trainer(capture, CONFIG)
    load_checkpoint(tmp_path, resumed)
    assert resumed.steps_done == 12


def test_a_failed_write_leaves_the_last_checkpoint_and_no_rubbish(
    capture: SmallCapture, tmp_path: Path
) -> None:
    trainer = trained(capture, CONFIG, 3)
    save_checkpoint(tmp_path, trainer)

    trainer.step()
    with (
        file_limit(20_000),
        pytest.raises(OSError, match=r"File too large: '.*step-00000004\.pt'"),
    ):
        save_checkpoint(tmp_path, trainer)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003.pt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gabor": 4}, "gabor = 2, not 4"),
        ({"sh_degree": 2}, "sh_degree = 1, not 2"),
        ({"strategy": "default"}, "strategy = mcmc, not default"),
        ({"max_splats": 100}, "more than max_splats = 100"),
    ],
)
def test_a_checkpoint_of_another_kind_of_run_is_refused(
    capture: SmallCapture, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = save_checkpoint(tmp_path, trained(capture, CONFIG, 1))
    other = Trainer(capture, replace(CONFIG, **change))
    with pytest.raises(ValueError, match=message) as caught:
        load_checkpoint(path, other)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_capture_is_refused(capture: SmallCapture, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, trained(capture, CONFIG, 1))
    renamed = [replace(view, name=f"another {view.name}") for view in capture.train]
    for other in (renamed, renamed[1:] + capture.train[:1], capture.train[:1]):
        with pytest.raises(ValueError, match="other views"):
            load_checkpoint(path, Trainer(replace(capture, train=other), CONFIG))


def test_files_that_are_no_checkpoints_are_named(capture: SmallCapture, tmp_path: Path) -> None:
    trainer = Trainer(capture, CONFIG)
    good = save_checkpoint(tmp_path / "good", trainer).read_bytes()
    empty = tmp_path / "empty"
    empty.mkdir()
    truncated = tmp_path / "truncated.pt"
    truncated.write_bytes(good[: len(good) // 2])
    foreign, listed = tmp_path / "foreign.pt", tmp_path / "list.pt"
    torch.save({"version": 2, "weights": torch.zeros(1)}, foreign)
    torch.save([1, 2], listed)
    for path, reason in {
        empty: "holds no checkpoint",
        truncated: "damaged or not a checkpoint",
        foreign: "lacks adam_steps, config, generator",
        listed: "holds a list",
        tmp_path / "missing.pt": "no such checkpoint",
    }.items():
        with pytest.raises(ValueError, match=reason) as caught:
            load_checkpoint(path, trainer)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
    assert trainer.steps_done == 0


@pytest.mark.parametrize("raw", [[1, 2], {"means": 3}, {}, {"means": torch.zeros(2)}])
def test_a_checkpoint_of_other_splats_is_named(
    raw: Any, capture: SmallCapture, tmp_path: Path
) -> None:
    path = save_checkpoint(tmp_path / "good", Trainer(capture, CONFIG))
    state = torch.load(path, weights_only=True)
    torch.save({**state, "raw": raw}, path)
    with pytest.raises(ValueError, match="holds no splats") as caught:
        checkpoint_splats(path)
    assert str(caught.value).startswith(f"{path}: ")
