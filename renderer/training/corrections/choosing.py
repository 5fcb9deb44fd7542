"""Which corrections a fit has."""

from __future__ import annotations

from ..config import TrainConfig
from ..data import FitInput
from .correction import Correction
from .poses import PoseCorrection


def corrections_for(config: TrainConfig, data: FitInput) -> list[Correction]:
    """Those that the settings ask for, given a capture."""
    chosen: list[Correction] = []
    if config.refine_poses != "off":
        undecided = config.refine_poses == "auto"
        chosen.append(PoseCorrection(data, config.steps, undecided=undecided))
    return chosen
