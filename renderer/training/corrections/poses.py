"""Where photos were truly taken from: cameras, refined while splats are fitted to the photos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from ...cameras import Camera
from ...settings import RenderSettings
from ...splats import Splats
from ..data import FitInput, TrainingView, camera_centres, depth_seen, load_photo, scene_scale
from .aligning import Alignment
from .correction import Correction
from .rigid import common_motions, rigid, shown_motion

START = 0.1
"""Fraction of a run after which splats tell enough of a scene to tell where cameras were."""
LOOKS, LOOK_STEPS = (3, 12), 20
"""Least and most of the views that tell whether cameras are wrong, and steps of their alignment:
they take a fiftieth of a long run at most."""
LEAST_PIXELS, LEAST_SHARE = 0.3, 1.5e-3
"""Median motion of theirs below which cameras are taken as given: the larger of the two, the second
being of a photo's longest side. Splats of a tenth of a run are too blurred to tell less."""
PATH = 0.04
"""How far a camera can come in a run, about: radians, or scene scales."""
RATES = (1e-4, 2e-3)
"""Least and most of a step."""
PRIOR = 20.0
"""Weight of the squares of a motion in the loss: what no photo tells stays near zero."""

Stage = Literal["waiting", "asking", "refining", "quiet"]


class Moved(NamedTuple):
    """How far cameras were moved, the median over the views.

    Attributes:
        degrees: they were turned by.
        pixels: that what they see moved by on their photos.
    """

    degrees: float
    pixels: float


class PoseCorrection(Correction):
    """A small motion of every camera that took a photo, in its own axes.

    Photos tell nothing of motions that all cameras and the scene have in common: those are taken
    out, so that cameras that are not refined still fit.

    Args:
        data: what is fitted.
        steps: of the run.
        undecided: whether it is still to be found out if cameras are wrong, by how far some of them
            move when they are aligned to the first splats; if not, they are taken as given.
    """

    name = "poses"
    _common: Tensor
    _fitted: Tensor

    def __init__(self, data: FitInput, steps: int, *, undecided: bool) -> None:
        super().__init__()
        cameras = [view.camera for view in data.train]
        self._points, self._scale = data.points, scene_scale(cameras, data.points)
        self._stage: Stage = "waiting"
        self._undecided = undecided
        self._looks = min(max(steps // 300, LOOKS[0]), LOOKS[1], len(cameras))
        turns = (1 - START) * steps / len(cameras)
        self.rate = min(max(PATH / turns, RATES[0]), RATES[1])

    def build(self, views: Sequence[TrainingView]) -> None:
        """See `Correction`."""
        self._views, self._cameras = views, [view.camera for view in views]
        rows = torch.zeros(len(views), 3, dtype=torch.float32, device="cpu")
        self.rotation = nn.Parameter(rows)  # vectors [rad]
        self.translation = nn.Parameter(rows.clone())  # in scene scales
        middle = camera_centres(self._cameras).mean(0)
        common = common_motions(self._cameras, middle, self._scale)
        fitted = torch.linalg.pinv(common.flatten(0, 1))
        self.register_buffer("_common", common, persistent=False)
        self.register_buffer("_fitted", fitted, persistent=False)

    def pose(self, world_to_camera: Tensor, view: int) -> Tensor:
        """See `Correction`."""
        moved = self._motion(view) @ world_to_camera.double()
        return moved.to(world_to_camera.dtype)

    def prior(self, view: int) -> Tensor:
        """See `Correction`."""
        squares = self.rotation[view].square().sum() + self.translation[view].square().sum()
        return PRIOR * squares

    def enter(self, progress: float) -> None:
        """See `Correction`."""
        if self._stage == "waiting" and progress >= START:
            self._stage = "asking" if self._undecided else "refining"

    @property
    def asks(self) -> bool:
        """See `Correction`."""
        return self._stage == "asking"

    def look(self, splats: Splats, settings: RenderSettings) -> None:
        """See `Correction`."""
        alignment, pixels = Alignment(splats, settings), list[float]()
        for view in self._views[:: len(self._views) // self._looks][: self._looks]:
            try:
                photo = load_photo(view, splats.means.device)
            except (OSError, ValueError):
                continue  # which is told when its turn comes
            found = alignment.camera(photo, LOOK_STEPS).world_to_camera.double().cpu()
            change = found @ torch.linalg.inv(view.camera.world_to_camera.double())
            pixels.append(self._shown(view.camera, change))
        wrong = bool(pixels) and _median(pixels) >= self._least_motion
        self._stage = "refining" if wrong else "quiet"

    @property
    def _least_motion(self) -> float:
        """In pixels, of cameras that are wrong."""
        longest = _median([float(max(camera.size)) for camera in self._cameras])
        return max(LEAST_PIXELS, LEAST_SHARE * longest)

    @property
    def active(self) -> bool:
        """See `Correction`."""
        return self._stage == "refining"

    @torch.no_grad()
    def moved(self) -> Moved:
        """How far the cameras were moved."""
        degrees: list[float] = []
        pixels: list[float] = []
        for view, camera in enumerate(self._cameras):
            motion = self._motion(view).cpu()
            turn = (0.5 * (motion[:3, :3].trace() - 1)).clamp(-1, 1).acos()
            degrees.append(math.degrees(float(turn)))
            pixels.append(self._shown(camera, motion))
        return Moved(_median(degrees), _median(pixels))

    def told(self) -> str:
        """See `Correction`."""
        if self._stage == "waiting":
            return "poses: not refined yet"
        if self._stage == "quiet":
            return (
                f"poses taken as given: cameras are right to {self._least_motion:.1f} px (median)"
            )
        degrees, pixels = self.moved()
        return f"poses refined: cameras moved by {degrees:.2f} degrees, {pixels:.1f} px (median)"

    def memory(self) -> dict[str, str]:
        """See `Correction`."""
        return {"stage": self._stage}

    def remember(self, memory: Mapping[str, str]) -> None:
        """See `Correction`."""
        self._stage = next(each for each in get_args(Stage) if each == memory["stage"])

    @torch.no_grad()
    def document(self, views: Sequence[str]) -> dict[str, Any]:
        """Each view's motion in its camera's axes, as it is applied: what all have in common is
        taken out."""
        motions = self._motions().tolist()
        return {
            "stage": self._stage,
            "scale": self._scale,
            "rotation": {name: row[:3] for name, row in zip(views, motions, strict=True)},
            "translation": {name: row[3:] for name, row in zip(views, motions, strict=True)},
        }

    def _shown(self, camera: Camera, motion: Tensor) -> float:
        """By how many pixels what a camera sees moves if the camera takes a motion [4, 4]."""
        return shown_motion(camera, motion, depth_seen(camera, self._points) or self._scale)

    def _motions(self) -> Tensor:
        """[V, 6] float64, without what they have in common."""
        rows = torch.cat([self.rotation, self.translation], dim=1).double()
        drift = self._fitted @ rows.detach().flatten()
        return rows - self._common @ drift

    def _motion(self, view: int) -> Tensor:
        """[4, 4] float64, what comes after the pose that was given."""
        row = self._motions()[view]
        return rigid(row[:3], self._scale * row[3:])


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
