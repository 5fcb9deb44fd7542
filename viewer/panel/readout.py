"""Readings of the panel: numbers, errors and curves."""

from __future__ import annotations

import html
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import viser
from viser import uplot

from ..scene import TrainingPoint, TrainingStatus

MAX_ERROR = 400
"""Characters of an error message that are shown."""

REMEMBERED = 240
"""Number of points of the speed curves."""


@dataclass(frozen=True)
class Speed:
    """Speed of rendering and display; None where it is unknown.

    Attributes:
        rendering: rendering time of the last picture [s].
        size: (width, height) of the last picture [px].
        latency: time from beginning a picture until it is shown [s], if the page acknowledges it.
        shown: number of pictures shown; of those sent, to a page that does not acknowledge.
        dropped: number of pictures rendered but never shown.
    """

    rendering: float | None = None
    size: tuple[int, int] | None = None
    latency: float | None = None
    shown: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class Readout:
    """Values of the panel's readings.

    Attributes:
        splats: number of splats; None before the first scene.
        waves: Gabor waves per splat.
        sh_degree: degree of the splats' spherical harmonics.
        speed: speed of rendering and display.
        fps: frame rate of late [1/s]; None while the camera rests.
        status: status of the training; None without one.
        paused: whether the training is paused.
        error: message of the last picture's failure; None if it did not fail.
    """

    splats: int | None = None
    waves: int = 0
    sh_degree: int = 0
    speed: Speed = Speed()
    fps: float | None = None
    status: TrainingStatus | None = None
    paused: bool = False
    error: str | None = None

    @property
    def training(self) -> bool:
        """Whether a training is running or paused."""
        return self.status is not None and not self.status.finished


class FrameRate:
    """Frame rate over a sliding window.

    Attributes:
        WINDOW: length of the window [s].
    """

    WINDOW = 1.5

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()

    def at(self, shown: int, now: float) -> float | None:
        """Pictures per second at `now`, given the total number `shown`; None for too few."""
        self._counts.append((now, shown))
        while self._counts[0][0] < now - self.WINDOW:
            self._counts.popleft()
        before, fewer = self._counts[0]
        if now - before < 0.3 or shown - fewer < 3:
            return None
        return (shown - fewer) / (now - before)


class Curves:
    """Curves of loss and PSNR over the training steps, added to the panel being built."""

    def __init__(self, gui: viser.GuiApi) -> None:
        self._loss = _plot(gui, "step", ("loss", "#4dabf7"))
        self._psnr = _plot(gui, "step", ("PSNR [dB]", "#69db7c"))

    def show(self, history: Sequence[TrainingPoint]) -> None:
        """Plot the finite values of `history`."""
        _fill(self._loss, [(each.step, each.loss) for each in history])
        _fill(
            self._psnr,
            [(each.step, each.psnr) for each in history if each.psnr is not None],
        )


class SpeedCurves:
    """Curves of frame rate and latency of late, added to the panel being built."""

    def __init__(self, gui: viser.GuiApi) -> None:
        self._rate = _plot(gui, "seconds", ("pictures/s", "#ffa94d"))
        self._latency = _plot(gui, "seconds", ("latency [ms]", "#da77f2"))
        self._points: deque[tuple[float, float, float]] = deque(maxlen=REMEMBERED)

    def show(self, readout: Readout, now: float) -> None:
        """Add and plot the speed of a moving camera; a resting one has none."""
        if readout.fps is None:
            return
        latency = readout.speed.latency
        self._points.append((now, readout.fps, math.nan if latency is None else 1000 * latency))
        _fill(self._rate, [(at - now, rate) for at, rate, _ in self._points])
        _fill(self._latency, [(at - now, late) for at, _, late in self._points])


def numbers(readout: Readout) -> str:
    """HTML of the numbers in `readout`."""
    return _table(_rows(readout))


def error_box(message: str) -> str:
    """HTML of an error message."""
    if len(message) > MAX_ERROR:
        message = message[:MAX_ERROR] + " …"
    return (
        '<div role="alert" style="margin:0.3em 0.9em;padding:0.5em 0.7em;border-radius:4px;'
        'background:#c92a2a;color:white;font-size:0.8em;overflow-wrap:anywhere">'
        f"Rendering failed: {html.escape(message)}</div>"
    )


def _rows(readout: Readout) -> list[tuple[str, str]]:
    if readout.splats is None:
        return [("Waiting for the first step", "")]
    rows = [("Splats", f"{readout.splats:,}")]
    status = readout.status
    if status is not None:
        if status.time_left is None:
            rows.append(("Step", f"{status.step:,} of {status.steps:,}"))
        else:
            minutes, seconds = divmod(round(status.time_left), 60)
            rows += [("Step", f"{status.step:,}"), ("Time left", f"{minutes}:{seconds:02}")]
        rows.append(("Loss", f"{status.loss:.4f}"))
        if status.psnr is not None:
            rows.append(("PSNR", f"{status.psnr:.2f} dB"))
        pace = "paused" if readout.paused else f"{status.steps_per_second:.1f} steps/s"
        rows.append(("Training", "finished" if status.finished else pace))
    return rows + _speed_rows(readout)


def _speed_rows(readout: Readout) -> list[tuple[str, str]]:
    speed = readout.speed
    rows: list[tuple[str, str]] = []
    if speed.rendering is not None and speed.size is not None:
        rows.append(("Picture", f"{speed.size[0]} x {speed.size[1]}"))
        rows.append(("Rendered in", f"{1000 * speed.rendering:.0f} ms"))
    if readout.fps is not None:
        rows.append(("Shown", f"{readout.fps:.0f} per second"))
    if speed.latency is not None:
        rows.append(("Latency", f"{1000 * speed.latency:.0f} ms"))
    if speed.dropped:
        rows.append(("Dropped", f"{speed.dropped:,} of {speed.shown + speed.dropped:,}"))
    return rows


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(
        f'<span style="opacity:0.65">{html.escape(name)}</span>'
        f'<span style="text-align:right">{html.escape(value)}</span>'
        for name, value in rows
    )
    return (
        '<div style="display:grid;grid-template-columns:auto 1fr;gap:0.15em 1em;font-size:0.85em;'
        f'padding:0.3em 0.9em;font-variant-numeric:tabular-nums">{cells}</div>'
    )


def _plot(gui: viser.GuiApi, along: str, curve: tuple[str, str]) -> viser.GuiUplotHandle:
    name, color = curve
    return gui.add_uplot(
        data=(np.zeros(1), np.zeros(1)),
        series=(uplot.Series(label=along), uplot.Series(label=name, stroke=color, width=2)),
        scales={"x": uplot.Scale(time=False, auto=True)},
        aspect=2.2,
        visible=False,
    )


def _fill(plot: viser.GuiUplotHandle, points: Sequence[tuple[float, float]]) -> None:
    """Plot the finite ones of `points`; fewer than two are hidden."""
    finite = [point for point in points if math.isfinite(point[1])]
    plot.visible = len(finite) > 1
    if len(finite) > 1:
        along, values = np.array(finite, np.float64).T
        plot.data = (np.ascontiguousarray(along), np.ascontiguousarray(values))
