"""The scene that is shown and the training that makes it, shared between threads without locks
on the way of a picture or of a training step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from ..renderer.settings import RenderSettings
from ..renderer.splats import Splats

Wake = Callable[[], None]

_DEFAULTS = RenderSettings()


@dataclass(frozen=True)
class TrainingStatus:
    """How training stands, for the panel."""

    step: int
    """Steps done."""
    steps: int
    """Steps to do."""
    splats: int
    """Number of splats."""
    loss: float
    """Of the last step."""
    psnr: float | None = None
    """Of the last test [dB]; None before it."""
    steps_per_second: float = 0.0
    finished: bool = False
    """Whether training is over, so that nothing can be paused."""


@dataclass(frozen=True)
class TrainingPoint:
    """How training stood once, for curves over its steps or its time."""

    step: int
    """Steps done."""
    loss: float
    """Of that step; NaN or infinite where it was."""
    psnr: float | None
    """Of the last test by then [dB]; None before it."""
    seconds: float
    """Since training is shown, pauses included."""


@dataclass
class Snapshot:
    """One published scene. The splats are never written to again."""

    splats: Splats
    settings: RenderSettings  # how the splats are to be shown
    version: int  # counts from 1
    seen: bool = False  # whether a browser's picture has used it


class SceneSource:
    """Holds the newest snapshot for any number of readers.

    `publish` swaps one reference, so it waits for no reader; a reader keeps the snapshot it
    took for as long as it needs it.
    """

    def __init__(self, splats: Splats | None = None, settings: RenderSettings = _DEFAULTS) -> None:
        """`settings` say how the splats are to be shown, those of later scenes included."""
        self.current: Snapshot | None = None
        self.status: TrainingStatus | None = None
        self.history: list[TrainingPoint] = []
        """How training stood, oldest first: replaced by a new list, never written to."""
        self.paused = False
        self.settings = settings
        """How the newest scene is to be shown."""
        self._version = 0
        self._watchers: tuple[Wake, ...] = ()
        self._watchers_lock = threading.Lock()
        if splats is not None:
            self.publish(splats)

    @property
    def watched(self) -> bool:
        """Whether a browser is connected."""
        return bool(self._watchers)

    @property
    def wanted(self) -> bool:
        """Whether a new snapshot would be looked at: somebody watches and has seen the last."""
        return self.watched and (self.current is None or self.current.seen)

    def publish(self, splats: Splats, settings: RenderSettings | None = None) -> None:
        """Show `splats` from now on; nothing may write to their tensors afterwards.

        Without `settings` they are shown as those before. To be called from one thread at a time.
        """
        self.settings = settings or self.settings
        self._version += 1
        self.current = Snapshot(splats.detach(), self.settings, self._version)
        self.wake()

    def wake(self) -> None:
        """Let every watcher look again."""
        for wake in self._watchers:
            wake()

    def watch(self, wake: Wake) -> None:
        """Call `wake`, which must return at once, after every change."""
        with self._watchers_lock:
            self._watchers = (*self._watchers, wake)

    def unwatch(self, wake: Wake) -> None:
        """Undo `watch`; unknown ones are ignored."""
        with self._watchers_lock:
            self._watchers = tuple(each for each in self._watchers if each != wake)
