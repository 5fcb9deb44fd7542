"""The seam for whatever is learnt of photos beside the splats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...settings import RenderSettings
from ...splats import Splats
from ..data import TrainingView

BETAS = (0.9, 0.999)
"""Adam's decays."""
EPS = 1e-15
FINAL = 0.1
"""Rate at the end of a run, per rate at its start."""


class Correction(nn.Module):
    """Parameters that tell how a photo differs from what splats alone would look like there.

    A subclass makes its parameters in `build`, and overrides `color`, or `pose`, or both; autograd
    differentiates them. Parameters have a row for each view, but those named in `shared`. Novel
    views have no row: splats should look as they should be shown where a correction does nothing.

    Attributes:
        name: by which checkpoints and corrections.json know it.
        shared: names of the parameters that all views share.
        rate: Adam's step size at the start of a run; it falls to a tenth.
    """

    name: ClassVar[str]
    shared: ClassVar[frozenset[str]] = frozenset()
    rate: float = 1e-3

    def build(self, views: Sequence[TrainingView]) -> None:
        """Make the parameters, float32 on the CPU, such that nothing is corrected."""
        raise NotImplementedError

    def color(self, color: Tensor, view: int) -> Tensor:
        """What a photo shows where the scene looks like `color` [H, W, 3]; `view` counts the views
        that `build` was given."""
        return color

    def pose(self, world_to_camera: Tensor, view: int) -> Tensor:
        """[4, 4], where a photo was taken from that is said to be from `world_to_camera`."""
        return world_to_camera

    def prior(self, view: int) -> Tensor | None:
        """What of the parameters is added to the loss of a step with this view, a scalar."""
        return None

    def enter(self, progress: float) -> None:
        """Told before each step: `progress` is 0 at the start of a run, and 1 at its end."""

    @property
    def asks(self) -> bool:
        """Whether it has to `look` before the next step."""
        return False

    def look(self, splats: Splats, settings: RenderSettings) -> None:
        """Shown what splats are like at this moment, on its device, once it `asks`."""

    def told(self) -> str | None:
        """One line on what it has learnt, for people; None for nothing worth telling."""
        return None

    def memory(self) -> dict[str, str]:
        """What later steps depend on beside the parameters."""
        return {}

    def remember(self, memory: Mapping[str, str]) -> None:
        """Go on with what `memory` gave."""

    @property
    def active(self) -> bool:
        """Whether it corrects anything now."""
        return True

    @property
    def corrects_color(self) -> bool:
        """Whether it has a `color` of its own."""
        return type(self).color is not Correction.color

    @property
    def corrects_pose(self) -> bool:
        """Whether it has a `pose` of its own."""
        return type(self).pose is not Correction.pose

    def document(self, views: Sequence[str]) -> dict[str, Any]:
        """What it has learnt, for corrections.json: each parameter's numbers, by the names of the
        views if it is not shared."""
        found: dict[str, Any] = {}
        for name, parameter in self.named_parameters():
            rows = parameter.detach().cpu().tolist()
            found[name] = rows if name in self.shared else dict(zip(views, rows, strict=True))
        return found


class RowAdam:
    """Adam over rows of a parameter, each with a clock of its own: most steps know one row only."""

    def __init__(self, parameter: Tensor) -> None:
        like = parameter.detach()
        self.exp_avg, self.exp_avg_sq = torch.zeros_like(like), torch.zeros_like(like)
        self.steps = torch.zeros(len(like), dtype=torch.int64, device="cpu")

    @torch.no_grad()
    def step(self, parameter: Tensor, gradient: Tensor, rows: slice, rate: float) -> None:
        """Move `rows` of the parameter against the gradient, which is of the parameter's shape."""
        g, first, second = (t[rows] for t in (gradient, self.exp_avg, self.exp_avg_sq))
        self.steps[rows] += 1
        count = int(self.steps[rows][0])
        first.lerp_(g, 1 - BETAS[0])
        second.lerp_(g.square(), 1 - BETAS[1])
        roots = (second / (1 - BETAS[1] ** count)).sqrt_().add_(EPS)
        parameter[rows] -= rate / (1 - BETAS[0] ** count) * first / roots

    def state(self) -> dict[str, Tensor]:
        """The moments and clocks, by name."""
        return {"exp_avg": self.exp_avg, "exp_avg_sq": self.exp_avg_sq, "steps": self.steps}


def take_rows(
    state: Mapping[str, Tensor],
    into: Mapping[str, Tensor],
    places: Sequence[tuple[int, int]] | None,
) -> None:
    """Copy rows of each tensor of `state` to the one of the same name in `into`, by `places`: where
    they were, and where they belong; None for all, where they were.

    Raises:
        ValueError: names or shapes differ.
    """
    if state.keys() != into.keys():
        raise ValueError(f"has {', '.join(state) or 'nothing'}, not {', '.join(into)}")
    for name, target in into.items():
        first = 0 if places is None else 1  # dimension that has to agree
        if state[name].shape[first:] != target.shape[first:]:
            raise ValueError(
                f"{name} must have {'rows of ' * first}{list(target.shape[first:])}, "
                f"not {list(state[name].shape[first:])}"
            )
        every = ((row, row) for row in range(len(target)))
        for old, new in every if places is None else places:
            target.detach()[new] = state[name][old].to(target)
