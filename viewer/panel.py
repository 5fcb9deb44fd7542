"""The control panel of one browser: what it shows and what can be chosen in it."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import viser

from .loop import MODES, ViewSettings
from .scene import TrainingStatus

SIDES = (256, 2048)
"""Smallest and largest choice of the longest side of a picture [px]."""

MAX_ERROR = 400
"""Characters of an error message that are shown."""


@dataclass(frozen=True)
class Readout:
    """What the panel's numbers say."""

    splats: int | None = None
    """Number of splats; None before the first scene."""
    has_waves: bool = False
    """Whether there are Gabor waves to hide."""
    seconds: float | None = None
    """Of the last picture."""
    size: tuple[int, int] | None = None
    """Of the last picture [px]."""
    status: TrainingStatus | None = None
    """None when nothing is in training."""
    paused: bool = False
    error: str | None = None


class Panel:
    """Controls and numbers in the sidebar.

    `on_change` is called after a control that changes the picture was used, `on_pause` after
    the pause button; both on the server's event loop, so they must return at once.
    """

    def __init__(
        self,
        gui: viser.GuiApi,
        cameras: int,
        on_change: Callable[[], None],
        on_pause: Callable[[], None],
    ) -> None:
        defaults = ViewSettings()
        self._shown: Readout | None = None
        self._numbers = gui.add_html("")
        self._error = gui.add_html("", visible=False)
        self._pause = gui.add_button("Pause training", visible=False)
        self._mode = gui.add_dropdown("Show", MODES, initial_value=defaults.mode)
        self._background = gui.add_rgb("Background", defaults.background)
        self._max_side = gui.add_slider(
            "Max size",
            min=SIDES[0],
            max=SIDES[1],
            step=64,
            initial_value=defaults.max_side,
            hint="Longest side of the picture in pixels while the camera rests",
        )
        self._waves = gui.add_checkbox(
            "Gabor waves", defaults.waves, visible=False, hint="Off shows the Gaussians alone"
        )
        self._cameras = gui.add_checkbox(
            "Cameras",
            defaults.cameras,
            visible=cameras > 0,
            hint=f"Show the {cameras} training cameras; click one to look through it",
        )

        async def changed(_: Any) -> None:
            on_change()

        async def pause_pressed(_: Any) -> None:
            on_pause()

        for control in (self._mode, self._background, self._max_side, self._waves, self._cameras):
            control.on_update(changed)
        self._pause.on_click(pause_pressed)

    def settings(self) -> ViewSettings:
        """What is chosen, cut to what is allowed: a page may send anything."""
        mode = self._mode.value
        red, green, blue = (min(max(int(x), 0), 255) for x in self._background.value)
        return ViewSettings(
            mode=mode if mode in MODES else "rgb",
            background=(red, green, blue),
            max_side=min(max(int(self._max_side.value), SIDES[0]), SIDES[1]),
            waves=bool(self._waves.value),
            cameras=bool(self._cameras.value),
        )

    def show(self, readout: Readout) -> None:
        """Update what differs from the last time."""
        before, self._shown = self._shown, readout
        if readout == before:
            return
        self._numbers.content = _table(_rows(readout))
        self._error.content = _error_box(readout.error or "")
        self._error.visible = readout.error is not None
        self._waves.visible = readout.has_waves
        training = readout.status is not None and not readout.status.finished
        self._pause.visible = training
        self._pause.label = "Resume training" if readout.paused else "Pause training"


def _rows(readout: Readout) -> list[tuple[str, str]]:
    if readout.splats is None:
        return [("Waiting for the first step", "")]
    rows = [("Splats", f"{readout.splats:,}")]
    status = readout.status
    if status is not None:
        rows.append(("Step", f"{status.step:,} of {status.steps:,}"))
        rows.append(("Loss", f"{status.loss:.4f}"))
        if status.psnr is not None:
            rows.append(("PSNR", f"{status.psnr:.2f} dB"))
        speed = "paused" if readout.paused else f"{status.steps_per_second:.1f} steps/s"
        rows.append(("Training", "finished" if status.finished else speed))
    if readout.seconds is not None and readout.size is not None:
        rows.append(("Picture", f"{readout.size[0]} x {readout.size[1]}"))
        rows.append(("Rendered in", f"{1000 * readout.seconds:.0f} ms"))
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


def _error_box(message: str) -> str:
    if len(message) > MAX_ERROR:
        message = message[:MAX_ERROR] + " …"
    return (
        '<div role="alert" style="margin:0.3em 0.9em;padding:0.5em 0.7em;border-radius:4px;'
        'background:#c92a2a;color:white;font-size:0.8em;overflow-wrap:anywhere">'
        f"Rendering failed: {html.escape(message)}</div>"
    )
