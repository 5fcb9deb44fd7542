"""The scene that is shown and the state of its training, shared between threads.

Neither a picture nor a training step waits for a lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..renderer.settings import RenderSettings
from ..renderer.splats import Splats

Wake = Callable[[], None]
"""Notifies a watcher of a change; returns at once."""

_DEFAULTS = RenderSettings()


@dataclass(frozen=True)
class TrainingStatus:
    """Status of a training, for the panel.

    Attributes:
        step: steps done.
        steps: steps in all.
        splats: number of splats.
        loss: loss of the last step.
        psnr: PSNR of the last test [dB]; None before the first one.
        steps_per_second: speed of late [1/s].
        finished: whether training is over, so that it cannot be paused.
        time_left: of a training that ends after a time, not after `steps` [s].
    """

    step: int
    steps: int
    splats: int
    loss: float
    psnr: float | None = None
    steps_per_second: float = 0.0
    finished: bool = False
    time_left: float | None = None


@dataclass(frozen=True)
class TrainingPoint:
    """A point of a training's curves.

    Attributes:
        step: steps done.
        loss: loss of that step, which may be NaN or infinite.
        psnr: PSNR of the last test until then [dB]; None before the first one.
        seconds: time since training is shown, pauses included [s].
    """

    step: int
    loss: float
    psnr: float | None
    seconds: float


@dataclass
class Snapshot:
    """A published scene.

    Attributes:
        splats: the splats, which are never written to again.
        settings: how the splats are to be rendered.
        version: number of the snapshot, from 1.
        seen: whether a browser's picture has used it.
    """

    splats: Splats
    settings: RenderSettings
    version: int
    seen: bool = False


class SceneSource:
    """Newest snapshot of a scene, for any number of readers.

    `publish` swaps one reference, so it waits for no reader; a reader keeps the snapshot it
    took for as long as it needs it.

    Attributes:
        current: newest snapshot; None before the first one.
        status: status of the training; None without one.
        history: curves of the training, oldest point first; replaced by a new list, never written
            to.
        paused: whether training should wait.
        settings: how the newest scene is to be rendered, as it was published.
        unit: length of one unit of `current`, in those of what is published: pages are made for
            scenes of a few units.
    """

    def __init__(self, splats: Splats | None = None, settings: RenderSettings = _DEFAULTS) -> None:
        """Make a source that may be empty.

        Args:
            splats: the first scene; None if it is published later.
            settings: how this scene and later ones are to be rendered.
        """
        self.current: Snapshot | None = None
        self.status: TrainingStatus | None = None
        self.history: list[TrainingPoint] = []
        self.paused = False
        self.settings = settings
        self.unit = 1.0
        self._version = 0
        self._watchers: tuple[Wake, ...] = ()
        self._watchers_lock = threading.Lock()
        if splats is not None:
            self.publish(splats)

    def __getstate__(self) -> dict[str, Any]:
        """For copies, which nobody watches."""
        return {name: value for name, value in vars(self).items() if "_watchers" not in name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()
        vars(self).update(state)

    @property
    def watched(self) -> bool:
        """Whether a browser is connected."""
        return bool(self._watchers)

    @property
    def wanted(self) -> bool:
        """Whether a new snapshot would be looked at: a browser has seen the last one."""
        return self.watched and (self.current is None or self.current.seen)

    def publish(self, splats: Splats, settings: RenderSettings | None = None) -> None:
        """Replace the scene by `splats`, whose tensors nothing may write to afterwards.

        Without `settings` those of the scene before remain. One thread at a time may call this.
        """
        self.settings = settings or self.settings
        splats, taken = splats.detach(), self.settings
        if self.unit != 1:
            splats, taken = splats.scaled(1 / self.unit), taken.scaled(1 / self.unit)
        self._version += 1
        self.current = Snapshot(splats, taken, self._version)
        self.wake()

    def show_in(self, unit: float) -> None:
        """Take another `unit`, a power of two, for this scene and later ones."""
        before, self.unit = self.unit, unit
        if self.current is not None and unit != before:
            self.publish(self.current.splats.scaled(before))

    def wake(self) -> None:
        """Notify every watcher."""
        for wake in self._watchers:
            wake()

    def watch(self, wake: Wake) -> None:
        """Call `wake` after every change, until `unwatch`."""
        with self._watchers_lock:
            self._watchers = (*self._watchers, wake)

    def unwatch(self, wake: Wake) -> None:
        """Undo `watch`; an unknown `wake` is ignored."""
        with self._watchers_lock:
            self._watchers = tuple(each for each in self._watchers if each != wake)
