"""The crop box: its controls in the panel and its handles in the scene."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import viser

from ..camera import FARTHEST, Bounds
from ..reports import reported
from ..settings import CropBox
from ..values import is_vector
from .frustums import COLOR

ARROWS = 90.0
"""Length of the arrows that move the box [px]."""

LARGEST = 1e6
"""Longest edge of the box, in radii of the scene."""

_CORNERS = np.array(list(product((-0.5, 0.5), repeat=3)))
_EDGES = np.array(
    [(a, b) for a in _CORNERS for b in _CORNERS if (b - a).sum() == (b != a).sum() == 1]
)
"""[12, 2, 3] of a box around zero with edges of length one."""


class CropControl:
    """Controls of the crop box, added where the caller is building the panel of `client`.

    The box begins around `bounds`. `changed` is called after every change, on the server's event
    loop, so it must return at once.
    """

    def __init__(
        self, client: viser.ClientHandle, bounds: Bounds, changed: Callable[[], None]
    ) -> None:
        self._client = client
        self._changed = changed
        self._initial, self._step = _box_around(bounds)
        self._largest = LARGEST * bounds.radius
        self._box = self._initial
        self._arrows: viser.TransformControlsHandle | None = None
        self._outline: viser.LineSegmentsHandle | None = None
        gui = client.gui
        self._on = gui.add_checkbox("Crop", False, hint="Show only what is in a box")
        self._size = gui.add_vector3(
            "Box size",
            self._initial.size,
            min=(self._step, self._step, self._step),
            step=self._step,
            visible=False,
            hint="Edge lengths, in the units of the page",
        )
        self._reset = gui.add_button("Reset box", visible=False)
        self._on.on_update(self._switched)
        self._size.on_update(self._resized)
        self._reset.on_click(self._was_reset)

    @property
    def box(self) -> CropBox | None:
        """The crop box; None while cropping is off."""
        return self._box if self._on.value else None

    # A page may send anything: invalid values leave the box as it was.

    async def _switched(self, _: Any) -> None:
        self._show()
        self._changed()

    async def _resized(self, _: Any) -> None:
        size = self._size.value
        if is_vector(size, 3):
            x, y, z = (min(max(edge, self._step), self._largest) for edge in size)
            self._box = replace(self._box, size=(x, y, z))
            self._show()
        self._changed()

    async def _moved(self, event: viser.TransformControlsEvent) -> None:
        position, wxyz = event.target.position.tolist(), event.target.wxyz.tolist()
        # viser makes sure of floats, not of their number.
        if is_vector(position, 3, longest=FARTHEST) and is_vector(wxyz, 4, 0.5, 2.0):
            x, y, z = (float(c) for c in position)
            turn_w, turn_x, turn_y, turn_z = (float(c) for c in wxyz)
            turn = (turn_w, turn_x, turn_y, turn_z)
            self._box = replace(self._box, centre=(x, y, z), wxyz=turn)
        self._changed()

    async def _was_reset(self, _: Any) -> None:
        self._box = self._initial
        self._size.value = self._box.size
        if self._arrows is not None:
            self._arrows.position = self._box.centre
            self._arrows.wxyz = self._box.wxyz
        self._show()
        self._changed()

    def _show(self) -> None:
        """Update the controls and handles in the page; they are hidden while cropping is off."""
        on = bool(self._on.value)
        self._size.visible = self._reset.visible = on
        if self._arrows is not None and self._outline is not None:
            # Below the arrows in the page's tree, the outline comes, goes and moves with them.
            self._arrows.visible = on
            self._outline.points = _outline(self._box)
        elif on:
            self._build()

    def _build(self) -> None:
        scene = self._client.scene
        self._arrows = scene.add_transform_controls(
            "/crop",
            scale=ARROWS,
            fixed=True,
            disable_sliders=True,
            depth_test=False,
            position=self._box.centre,
            wxyz=self._box.wxyz,
        )
        self._arrows.on_update(reported(self._moved))
        self._outline = scene.add_line_segments(
            "/crop/outline",
            _outline(self._box),
            COLOR,
            thickness=1.5,
            thickness_units="screen",
        )


def _box_around(bounds: Bounds) -> tuple[CropBox, float]:
    """A box with edges of two radii, rounded to three digits, and a step of the last digit."""
    x, y, z = (float(c) for c in bounds.centre)
    digits = 2 - math.floor(math.log10(2 * bounds.radius))
    edge = round(2 * bounds.radius, digits)
    return CropBox((x, y, z), (edge, edge, edge)), round(10.0**-digits, max(digits, 0))


def _outline(box: CropBox) -> npt.NDArray[np.float32]:
    """[12, 2, 3] edges of `box` in its own axes."""
    return (_EDGES * np.array(box.size)).astype(np.float32)
