"""The control panel of one browser: its controls and its readings."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import viser

from ..background import BackgroundTasks, Shared
from ..camera import FARTHEST, Bounds, Outlook, Vector, go_to
from ..path.file import Placement
from ..path.panel import PathPanel
from ..picture.paint import Drawing
from ..scene import TrainingPoint
from ..settings import MODES, Beside, Pose, ViewSettings
from ..values import number, whole
from .actions import Action, add_actions
from .crop import CropControl
from .readout import Curves, Readout, SpeedCurves, error_box, numbers
from .screenshot import Screenshot

SIDES = (256, 2048)
"""Range of the longest side of a picture [px]."""

FOVS = (5.0, 120.0)
"""Range of the vertical field of view [degrees]."""

UPS: dict[str, tuple[float, float, float]] = {
    "+x": (1, 0, 0),
    "-x": (-1, 0, 0),
    "+y": (0, 1, 0),
    "-y": (0, -1, 0),
    "+z": (0, 0, 1),
    "-z": (0, 0, -1),
}

FOV_PAUSE = 2.0
"""Seconds that the slider of the field of view does not follow the camera after being moved."""

CURVES_INTERVAL = 2.0
"""Seconds between updates of the curves: drawing them takes the page's time."""

BESIDE_LABELS: dict[Beside, str] = {
    "nothing": "nothing",
    "photo": "nearest photo",
    "other": "other scene",
}


@dataclass(frozen=True)
class PanelChoices:
    """Choices and initial values of the panel, the same for every browser.

    Attributes:
        bounds: bounding sphere of the scene.
        up: [3] up direction of the scene, a unit vector.
        outlook: initial viewpoint.
        background: initial background, that of the training, RGB in [0, 255].
        cameras: number of training cameras.
        beside: what the right part of the picture may show, the initial choice first.
        actions: actions with a button.
        placement: where the scene lies in the frame of the capture.
    """

    bounds: Bounds
    up: Vector
    outlook: Outlook
    background: tuple[int, int, int]
    cameras: int
    beside: Sequence[Beside]
    actions: Sequence[Action]
    placement: Placement


@dataclass(frozen=True)
class PanelCallbacks:
    """Callbacks of the panel, called on the server's event loop: all return at once.

    Attributes:
        changed: called when the settings may have changed.
        pause: called when the pause button is pressed.
        drawing: called for what draws a screenshot or video.
    """

    changed: Callable[[], None]
    pause: Callable[[], None]
    drawing: Drawing


class Panel:
    """Controls and readings in the sidebar of one browser."""

    def __init__(
        self,
        client: viser.ClientHandle,
        choices: PanelChoices,
        callbacks: PanelCallbacks,
        shared: Shared,
    ) -> None:
        self._client, self._choices, self._callbacks = client, choices, callbacks
        self._tasks = BackgroundTasks(client, shared)
        self._shown: Readout | None = None
        self._curves_due = 0.0
        self._fov_moved_at = -FOV_PAUSE
        gui = client.gui
        self._numbers = gui.add_html("")
        self._error = gui.add_html("", visible=False)
        self._pause = gui.add_button("Pause training", visible=False)
        self._curves_folder = gui.add_folder(
            "Training curves", expand_by_default=False, visible=False
        )
        with self._curves_folder:
            self._curves = Curves(gui)
        with gui.add_folder("Speed", expand_by_default=False):
            self._plot_speed = gui.add_checkbox(
                "Plot", False, hint="Draws while the camera moves, which slows the page a little"
            )
            self._speed_curves = SpeedCurves(gui)
        tabs = gui.add_tab_group()
        with tabs.add_tab("View"):
            self._add_view(gui)
        with tabs.add_tab("Camera"):
            self._add_camera(gui)
        with tabs.add_tab("Path"):
            self._path = PathPanel(
                client,
                self._tasks,
                callbacks.drawing,
                choices.placement,
                self.up,
                callbacks.changed,
            )
        with tabs.add_tab("Save"):
            Screenshot(client, self._tasks, callbacks.drawing)
            add_actions(client, choices.actions, self._tasks)
        self._listen()

    def close(self) -> None:
        """Stop the background tasks."""
        self._tasks.close()

    def settings(self) -> ViewSettings:
        """The chosen view settings, cut to what is allowed: a page may send anything."""
        mode = self._mode.value
        return ViewSettings(
            mode=mode if mode in MODES else "rgb",
            background=self._chosen_background(),
            max_side=whole(self._max_side.value, *SIDES),
            waves=bool(self._waves.value),
            sh_degree=whole(self._sh_degree.value, 0, 3),
            near=number(self._near.value, 0.0, FARTHEST),
            crop=self._crop.box,
            beside=self._chosen_beside(),
            split=number(self._split.value, 0.0, 1.0),
            cameras=bool(self._cameras.value),
            path=self._path.visible,
        )

    def show(self, readout: Readout) -> None:
        """Show the numbers and errors of `readout`."""
        before, self._shown = self._shown, readout
        if readout == before:
            return
        self._numbers.content = numbers(readout)
        self._error.content = error_box(readout.error or "")
        self._error.visible = readout.error is not None
        self._waves.visible = readout.waves > 0
        self._sh_degree.visible = readout.sh_degree > 0
        self._pause.visible = readout.training
        self._pause.label = "Resume training" if readout.paused else "Pause training"

    def show_curves(self, readout: Readout, history: Sequence[TrainingPoint]) -> None:
        """Update the curves, at most once in CURVES_INTERVAL."""
        now = time.monotonic()
        if now < self._curves_due:
            return
        self._curves_due = now + CURVES_INTERVAL
        if len(history) > 1:
            self._curves_folder.visible = True
            self._curves.show(history)
        if self._plot_speed.value:
            self._speed_curves.show(readout, now)

    def show_pose(self, pose: Pose) -> None:
        """Update the field of view and the link to the camera's pose."""
        degrees = round(math.degrees(pose.fov), 1)
        # While a person moves the slider, the camera lags behind it.
        moved = time.monotonic() - self._fov_moved_at < FOV_PAUSE
        if not moved and abs(degrees - number(self._fov.value, 0.0, 180.0)) > 0.1:
            self._fov.value = min(max(degrees, FOVS[0]), FOVS[1])
        self._link.content = _link(self._client.camera)

    def _add_view(self, gui: viser.GuiApi) -> None:
        defaults = ViewSettings()
        self._mode = gui.add_dropdown("Show", MODES, initial_value=defaults.mode)
        self._background = gui.add_rgb("Background", self._choices.background)
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
        self._sh_degree = gui.add_slider(
            "SH degree",
            min=0,
            max=3,
            step=1,
            initial_value=defaults.sh_degree,
            visible=False,
            hint="Highest degree of the spherical harmonics: 0 shows one colour from all sides",
        )
        radius = self._choices.bounds.radius
        self._near = gui.add_slider(
            "Near plane",
            min=0.0,
            max=2 * radius,
            step=radius / 200,
            initial_value=defaults.near,
            hint="Splats nearer than this are left out, in the units of the page",
        )
        self._crop = CropControl(self._client, self._choices.bounds, self._callbacks.changed)
        labels = [BESIDE_LABELS[each] for each in self._choices.beside]
        self._beside = gui.add_dropdown(
            "Beside",
            labels,
            visible=len(labels) > 1,
            hint="What the right part of the picture shows",
        )
        self._split = gui.add_slider(
            "Split", min=0.0, max=1.0, step=0.01, initial_value=defaults.split, visible=False
        )

    def _add_camera(self, gui: viser.GuiApi) -> None:
        self._cameras = gui.add_checkbox(
            "Cameras",
            False,
            visible=self._choices.cameras > 0,
            hint=f"Show the {self._choices.cameras} training cameras; click one to look through it",
        )
        self._fov = gui.add_slider(
            "Field of view",
            min=FOVS[0],
            max=FOVS[1],
            step=0.1,
            initial_value=round(number(math.degrees(self._client.camera.fov), *FOVS), 1),
            hint="Vertical, in degrees",
        )
        self._up = gui.add_dropdown(
            "Up", ["capture", *UPS], hint="The axis that the camera turns around"
        )
        self._reset = gui.add_button("Reset view", hint="Back to where you began, level")
        self._link = gui.add_html("")
        gui.add_html(
            '<div style="font-size:0.8em;opacity:0.65;padding:0.3em 0.9em">Fly: W A S D, Q and E '
            "for down and up, arrow keys to turn. Drag to orbit, right drag to move.</div>"
        )

    def _listen(self) -> None:
        picture = (
            self._mode,
            self._background,
            self._max_side,
            self._waves,
            self._sh_degree,
            self._near,
            self._beside,
            self._split,
            self._cameras,
        )

        async def changed(_: Any) -> None:
            self._split.visible = self._beside.value != BESIDE_LABELS["nothing"]
            self._callbacks.changed()

        async def pause_pressed(_: Any) -> None:
            self._callbacks.pause()

        async def fov_changed(event: Any) -> None:
            if event.client is not None:  # a person, not `show_pose`
                self._fov_moved_at = time.monotonic()
                self._client.camera.fov = math.radians(number(self._fov.value, *FOVS))

        async def up_changed(_: Any) -> None:
            self._client.camera.up_direction = self.up()

        async def reset_pressed(_: Any) -> None:
            self._up.value = "capture"
            go_to(self._client, self._choices.outlook)

        for control in picture:
            control.on_update(changed)
        self._pause.on_click(pause_pressed)
        self._fov.on_update(fov_changed)
        self._up.on_update(up_changed)
        self._reset.on_click(reset_pressed)

    def _chosen_background(self) -> tuple[int, int, int]:
        numbers = [whole(each, 0, 255) for each in self._background.value]
        red, green, blue, *_ = (*numbers, 0, 0, 0)
        return red, green, blue

    def _chosen_beside(self) -> Beside:
        for each in self._choices.beside:
            if BESIDE_LABELS[each] == self._beside.value:
                return each
        return "nothing"

    def up(self) -> Vector:
        """The chosen axis that the camera orbits around, [3]."""
        return np.array(UPS.get(self._up.value, self._choices.up), np.float64)


def _link(camera: viser.CameraHandle) -> str:
    """HTML of a link to the camera's pose, in the query parameters of viser's page."""
    vectors = {
        "Position": camera.position,
        "LookAt": camera.look_at,
        "Up": camera.up_direction,
    }
    words = [
        f"initialCamera{name}=" + ",".join(f"{x:.5g}" for x in vector)
        for name, vector in vectors.items()
    ]
    address = "?" + "&".join([*words, f"initialCameraFov={camera.fov:.4f}"])
    return (
        '<div style="padding:0.3em 0.9em;font-size:0.85em">'
        f'<a href="{address}" target="_blank">Link to this view</a></div>'
    )
