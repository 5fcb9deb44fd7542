"""What is fitted where it is not simply a capture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from gaborsplat.renderer.training.data import TrainingView


@dataclass(frozen=True, eq=False)
class FitData:
    """Other views than a capture's, or its views split otherwise. See `FitInput`."""

    train: Sequence[TrainingView]
    test: Sequence[TrainingView]
    points: Tensor
    point_colors: Tensor
