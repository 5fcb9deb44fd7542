"""All corrections of a fit, one photo at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from ...cameras import Camera
from ...settings import RenderSettings
from ...splats import Splats
from ..data import Photo, TrainingView
from .correction import FINAL, Correction, RowAdam, take_rows

MEMORY = "memory of its own"
"""Where a correction's state has what is no parameter: no name that a parameter can have."""


class CorrectedPhoto:
    """One step's way through the corrections, and back.

    Attributes:
        world_to_camera: [4, 4], where the photo was taken from, without history.
    """

    def __init__(self, corrections: Sequence[Correction], photo: Photo, view: int) -> None:
        self._corrections, self._view = corrections, view
        self._parameters = [each for one in corrections for each in one.parameters()]
        self._gradients = [torch.zeros_like(each) for each in self._parameters]
        with torch.enable_grad():
            self._pose = _posed(corrections, photo.camera.world_to_camera, view)
        self.world_to_camera = self._pose.detach()
        self._leaf = self._shown = self._pose  # until there is a picture

    @property
    def moved(self) -> bool:
        """Whether `follow_pose` wants a gradient."""
        return self._pose.requires_grad

    def color(self, color: Tensor) -> Tensor:
        """The picture [H, W, 3] as the photo would show it, without history."""
        self._leaf = color.detach()
        changing = [each for each in self._corrections if each.corrects_color]
        if changing:
            self._leaf.requires_grad_()
        self._shown = self._leaf
        with torch.enable_grad():
            for each in changing:
                self._shown = each.color(self._shown, self._view)
        return self._shown.detach().contiguous()

    def follow_color(self, v_shown: Tensor) -> Tensor:
        """From the gradient of what `color` gave to that of what it took."""
        if not self._shown.requires_grad:
            return v_shown
        v_color = self._follow(self._shown, v_shown, self._leaf)
        return torch.zeros_like(v_shown) if v_color is None else v_color.contiguous()

    def follow_pose(self, v_world_to_camera: Tensor) -> None:
        """Take the gradient [4, 4] of `world_to_camera`."""
        self._follow(self._pose, v_world_to_camera)

    def gradients(self) -> dict[Parameter, Tensor]:
        """Of the loss and the priors, for every parameter."""
        for each in self._corrections:
            with torch.enable_grad():
                prior = each.prior(self._view)
            if prior is not None:
                self._follow(prior, torch.ones_like(prior))
        return dict(zip(self._parameters, self._gradients, strict=True))

    def _follow(self, result: Tensor, v: Tensor, leaf: Tensor | None = None) -> Tensor | None:
        """Adds the gradients of parameters; returns that of the leaf, None for zero."""
        if not result.requires_grad:
            return None
        wanted = [*self._parameters, *([] if leaf is None else [leaf])]
        found = torch.autograd.grad(result, wanted, v, allow_unused=True)
        parts: list[Tensor | None] = list(found)
        last = None if leaf is None else parts.pop()
        for sum_, part in zip(self._gradients, parts, strict=True):
            if part is not None:
                sum_ += part
        return last


def _posed(corrections: Sequence[Correction], world_to_camera: Tensor, view: int) -> Tensor:
    """[4, 4], where all corrections together say that a photo was taken from."""
    for each in corrections:
        if each.corrects_pose:
            world_to_camera = each.pose(world_to_camera, view)
    return world_to_camera


class Corrections:
    """The corrections of a fit, their optimizer, and the views that they know.

    Args:
        corrections: in the order in which colours and poses go through them.
        views: that are fitted.
        device: where pictures are.

    Raises:
        ValueError: two have one name.
    """

    def __init__(
        self, corrections: Sequence[Correction], views: Sequence[TrainingView], device: torch.device
    ) -> None:
        names = [each.name for each in corrections]
        if len(set(names)) < len(names):
            raise ValueError(f"corrections must have names of their own, not {', '.join(names)}")
        self._corrections = list(corrections)
        self._device = device
        self._places = {view.name: place for place, view in enumerate(views)}
        for each in corrections:
            each.build(views)
            each.to(device)
        self._adam = {
            parameter: RowAdam(parameter) for each in corrections for parameter in each.parameters()
        }
        self._progress = 0.0

    def __bool__(self) -> bool:
        return bool(self._active)

    @property
    def _active(self) -> list[Correction]:
        return [each for each in self._corrections if each.active]

    def enter(
        self, progress: float, splats: Callable[[], Splats], settings: RenderSettings
    ) -> bool:
        """Told before each step: `progress` is 0 at the start of a run, and 1 at its end. Returns
        whether one became active, or stopped to be.

        Args:
            progress: as above.
            splats: gives those of this moment.
            settings: how they are rendered.
        """
        self._progress, before = progress, self._active
        for each in self._corrections:
            each.enter(progress)
            if each.asks:
                each.look(splats(), settings)
        return before != self._active

    def of(self, photo: Photo) -> CorrectedPhoto:
        """The way of one photo of the views."""
        return CorrectedPhoto(self._active, photo, self._places[photo.name])

    def step(self, name: str, gradients: Mapping[Parameter, Tensor]) -> None:
        """Take a step along the gradients of one view's photo, unless one is not finite."""
        if not all(bool(torch.isfinite(each).all()) for each in gradients.values()):
            return
        view = self._places[name]
        for correction in self._corrections:
            rate = correction.rate * FINAL**self._progress
            for called, parameter in correction.named_parameters():
                if parameter not in gradients:
                    continue
                rows = slice(None) if called in correction.shared else slice(view, view + 1)
                self._adam[parameter].step(parameter, gradients[parameter], rows, rate)

    @property
    def moves(self) -> bool:
        """Whether photos were taken from elsewhere than was said."""
        return any(each.corrects_pose for each in self._active)

    @torch.no_grad()
    def camera_of(self, view: TrainingView | Photo) -> Camera:
        """Where a view's photo was taken from, by what they know."""
        given = view.camera.world_to_camera
        pose = _posed(self._active, given.to(self._device), self._places[view.name])
        return replace(view.camera, world_to_camera=pose.to(given))

    def told(self) -> list[str]:
        """A line on what each has learnt that has something to tell."""
        return [line for each in self._corrections if (line := each.told()) is not None]

    def document(self) -> dict[str, Any]:
        """What those that are active have learnt, by name, for corrections.json."""
        views = list(self._places)
        return {each.name: each.document(views) for each in self._active}

    def state_dict(self) -> dict[str, Any]:
        """A copy of all that later steps depend on, on the CPU."""
        return {
            each.name: {
                name: {key: value.detach().cpu().clone() for key, value in tensors.items()}
                for name, tensors in self._tensors(each).items()
            }
            | {MEMORY: each.memory()}
            for each in self._corrections
        }

    def load_state_dict(self, state: Mapping[str, Any], views: Sequence[str]) -> None:
        """Go on where those that gave `state` were, which knew `views`. Corrections that it lacks
        begin anew; views too.

        Raises:
            ValueError: parameters of another shape.
        """
        new_rows = [(old, self._places[n]) for old, n in enumerate(views) if n in self._places]
        for each in self._corrections:
            if each.name not in state:
                continue
            for name, tensors in self._tensors(each).items():
                places = None if name in each.shared else new_rows
                try:
                    take_rows(state[each.name].get(name, {}), tensors, places)
                except ValueError as error:
                    raise ValueError(f"correction {each.name}, {name}: {error}") from error
            if state[each.name].get(MEMORY):
                each.remember(state[each.name][MEMORY])

    def _tensors(self, correction: Correction) -> dict[str, dict[str, Tensor]]:
        """Each parameter and what Adam knows of it, by their names."""
        return {
            name: {"parameter": parameter, **self._adam[parameter].state()}
            for name, parameter in correction.named_parameters()
        }
