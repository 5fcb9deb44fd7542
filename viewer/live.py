"""The viewer's hold on a running training."""

from __future__ import annotations

from collections.abc import Callable

from renderer.types import Splats

from .scene import SceneSource, TrainingStatus


class LiveView:
    """Shows a training in progress; the training thread calls it after every step.

    With no browser connected a call costs less than a microsecond. With one, the splats are
    copied only after the last copy has been shown.
    """

    def __init__(self, source: SceneSource) -> None:
        self._source = source

    @property
    def paused(self) -> bool:
        """Whether somebody pressed Pause in a browser; training should wait until they resume."""
        return self._source.paused

    def update(self, status: TrainingStatus, make_splats: Callable[[], Splats]) -> None:
        """Tell how training stands; `make_splats` gives a copy that training will not write to."""
        self._source.status = status
        if self._source.wanted:
            self._source.publish(make_splats())

    def finish(self, status: TrainingStatus, splats: Splats) -> None:
        """Show the result; the pause button goes away."""
        self._source.status = status
        self._source.paused = False
        self._source.publish(splats)
