"""What the viewer remembers of a training, and asks of it while it runs."""

from __future__ import annotations

import base64
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import synthetic
from viewer_page import PATIENCE, eventually

import gaborsplat as gs
from gaborsplat.commands import train as training
from gaborsplat.commands.train import TrainCommand
from gaborsplat.renderer.training import checkpoints
from gaborsplat.scenes import demo_path
from gaborsplat.viewer import Action, Download, LiveView, SceneSource, TrainingStatus, ViewerOptions
from gaborsplat.viewer.background import Stopped
from gaborsplat.viewer.live import MAX_POINTS, POINT_INTERVAL
from gaborsplat.viewer.page.unpacking import unpacked

STATUS = TrainingStatus(step=1, steps=7000, splats=1000, loss=0.5, psnr=27.3)


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("gaborsplat.viewer.live.time", clock)
    return clock


def test_the_history_has_a_point_every_quarter_of_a_second_and_the_last(clock: Clock) -> None:
    source = SceneSource()
    live = LiveView(source)
    assert source.history == []
    for step in range(1, 11):
        live.update(replace(STATUS, step=step), synthetic.cloud)
        clock.now += 0.1
    live.finish(replace(STATUS, step=10, psnr=None, loss=0.25), synthetic.cloud(3))
    assert [point.step for point in source.history] == [1, 4, 7, 10, 10]
    assert [point.seconds for point in source.history] == pytest.approx([0, 0.3, 0.6, 0.9, 1.0])
    assert (source.history[0].loss, source.history[0].psnr) == (0.5, 27.3)
    assert (source.history[-1].loss, source.history[-1].psnr) == (0.25, None)


def test_a_long_history_thins_out_evenly(clock: Clock) -> None:
    source = SceneSource()
    live = LiveView(source)
    steps = 20 * MAX_POINTS
    for step in range(steps):
        live.update(replace(STATUS, step=step), synthetic.cloud)
        clock.now += POINT_INTERVAL
        assert len(source.history) <= MAX_POINTS
    found = [point.step for point in source.history]
    assert len(found) > MAX_POINTS / 2 - 1
    assert found[0] == 0
    assert {b - a for a, b in itertools.pairwise(found)} == {32}
    assert steps - found[-1] <= 32


def test_a_history_that_was_read_never_changes(clock: Clock) -> None:
    source = SceneSource()
    live = LiveView(source)
    live.update(STATUS, synthetic.cloud)
    read = source.history
    clock.now += 1
    live.update(STATUS, synthetic.cloud)
    assert (len(read), len(source.history)) == (1, 2)


def asked(live: LiveView, work: Callable[[], str]) -> Future[str]:
    """The answer to `work`, which another thread waits for."""
    answer = Future[str]()

    def ask() -> None:
        try:
            answer.set_result(live.ask(work))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return answer


def test_what_is_asked_for_runs_on_the_training_thread_when_it_has_time() -> None:
    live = LiveView(SceneSource())
    live.serve()  # nothing to do
    threads: list[threading.Thread] = []

    def work() -> str:
        threads.append(threading.current_thread())
        return "done"

    answers = [asked(live, work), asked(live, work)]
    eventually(lambda: len(live._asked) == 2)
    assert not any(answer.done() for answer in answers)

    def served() -> bool:
        live.serve()
        return all(answer.done() for answer in answers)

    eventually(served)
    assert [answer.result() for answer in answers] == ["done", "done"]
    assert threads == [threading.current_thread()] * 2


def test_work_that_fails_fails_for_who_asked_and_training_goes_on() -> None:
    live = LiveView(SceneSource())

    def fail() -> str:
        raise OSError("disk full")

    answer = asked(live, fail)

    def served() -> bool:
        live.serve()
        return answer.done()

    eventually(served)
    with pytest.raises(OSError, match="disk full"):
        answer.result()


def test_nobody_waits_for_a_training_that_has_ended() -> None:
    live = LiveView(SceneSource())
    before = asked(live, lambda: "never")
    eventually(lambda: live._asked)
    live.close()
    for answer in (before, asked(live, lambda: "never")):
        with pytest.raises(Stopped):
            answer.result(PATIENCE)


def test_an_interrupt_in_asked_work_reaches_the_training_and_frees_who_asked() -> None:
    live = LiveView(SceneSource())

    def interrupted() -> str:
        raise KeyboardInterrupt

    answer = asked(live, interrupted)
    with pytest.raises(KeyboardInterrupt):
        eventually(live.serve)  # serves nothing until it was asked
    with pytest.raises(Stopped):
        answer.result(PATIENCE)


class Stage:
    """Stands in for the viewer of a training, and for Ctrl-C at its end."""

    url = "http://nowhere"

    def __init__(self) -> None:
        self.source, self.options = SceneSource(), ViewerOptions()
        self.built = threading.Event()
        self.waits = threading.Event()
        self.over = threading.Event()

    def __call__(self, source: SceneSource, *, options: ViewerOptions, **_: object) -> Stage:
        self.source, self.options = source, options
        source.paused = True  # before the first step
        self.built.set()
        return self

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait_for_ctrl_c(self, meanwhile: Callable[[], None], interval: float) -> None:
        self.waits.set()
        while not self.over.wait(interval):
            meanwhile()

    def action(self, label: str) -> Action:
        return next(each for each in self.options.actions if each.label == label)


@contextmanager
def training_of(command: TrainCommand, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """`command` at work, paused before its first step."""
    stage = Stage()
    monkeypatch.setattr(training, "Viewer", stage)
    monkeypatch.setattr(training, "wait_for_ctrl_c", stage.wait_for_ctrl_c)
    thread = threading.Thread(target=command.run, daemon=True)
    thread.start()
    try:
        assert stage.built.wait(PATIENCE)
        yield stage
    finally:
        stage.over.set()
        stage.source.paused = False
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_page_can_save_a_training_while_it_is_paused_and_after_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    config = gs.TrainConfig(steps=4, max_splats=300, antialiased=True)
    command = TrainCommand(
        demo_path(), out, max_size=64, eval_every=0, config=config, stock_page=True
    )
    with training_of(command, monkeypatch) as stage:
        assert stage.options.stock_page
        assert stage.source.current is not None
        assert stage.source.current.settings.antialiased

        said = stage.action("Save PLY").run()
        assert said == f"300 splats of step 0: {out / 'splats.ply'}"
        first = gs.load_splats(out / "splats.ply")
        assert not checkpoints(out / "checkpoints")
        said = stage.action("Save checkpoint").run()
        assert "step-00000000.pt; 300 splats of step 0" in str(said)
        page = stage.action("Save page").run()
        assert isinstance(page, Download) and page.name == "run.html"
        _, _, packed = page.content.partition(b'id="splats" type="text/plain">')
        assert len(unpacked(base64.b64decode(packed[: packed.index(b"<")]))) == 300

        stage.source.paused = False
        assert stage.waits.wait(PATIENCE)
        assert str(stage.action("Save PLY").run()).startswith("300 splats of step 4")
        last = gs.load_splats(out / "splats.ply")
        assert not first.means.equal(last.means)
        assert stage.source.history[-1].step == 4
        save = stage.action("Save PLY").run
    with pytest.raises(Stopped):
        save()
