"""Which corrections a fit has."""

from __future__ import annotations

from ..config import TrainConfig
from ..data import FitInput
from .correction import Correction


def corrections_for(config: TrainConfig, data: FitInput) -> list[Correction]:
    """Those that the settings ask for, given a capture."""
    return []
