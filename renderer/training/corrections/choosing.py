"""Which corrections a fit has."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, NamedTuple

from ..config import ExposureMode, TrainConfig
from ..data import FitInput
from .camera import CameraResponse
from .correction import Correction
from .exposure import ExposureGain, rate_of
from .poses import PoseCorrection
from .spread import exposure_spread

log = logging.getLogger(__name__)

SPREAD = 0.2
"""Standard deviation of the photos' exposures [EV] from which gains are worth learning. Real
captures with locked exposure have 0.01 to 0.16, by gloss and noise; with photos up to half an EV
off 0.23 to 0.4."""


class ExposureChoice(NamedTuple):
    """Which correction of exposure was asked for, which is taken, and why.

    Attributes:
        spread: of the photos' exposures [EV]; None where it was not looked at, or cannot be known.
    """

    asked: ExposureMode
    taken: ExposureMode
    spread: float | None = None

    @property
    def line(self) -> str | None:
        """What people are told; None where they have chosen themselves."""
        if self.asked != "auto":
            return None
        if self.spread is None:
            return f"exposure {self.taken}: photos share too few points to be compared"
        return f"exposure {self.taken}: photos differ by {self.spread:.2f} EV"

    def document(self, before: Any = None) -> dict[str, Any]:
        """For config.json; where the run goes on with what it had, what stood there `before`."""
        kept = isinstance(before, dict) and before.get("taken") == self.taken
        return before if kept else self._asdict()


def choose_exposure(asked: ExposureMode, data: FitInput) -> ExposureChoice:
    """The correction of exposure for a capture, some of whose photos are decoded for `auto`."""
    if asked != "auto":
        return ExposureChoice(asked, asked)
    spread = exposure_spread(data)
    enough = spread is not None and spread >= SPREAD
    return ExposureChoice(asked, "gain" if enough else "off", spread)


def decided(config: TrainConfig, data: FitInput) -> TrainConfig:
    """The settings with what they leave to the capture as that asks for."""
    choice = choose_exposure(config.exposure, data)
    if choice.line is not None:
        log.info("%s", choice.line)
    return replace(config, exposure=choice.taken)


def corrections_for(config: TrainConfig, data: FitInput) -> list[Correction]:
    """Those that the settings ask for, given a capture."""
    chosen: list[Correction] = []
    if config.refine_poses != "off":
        undecided = config.refine_poses == "auto"
        chosen.append(PoseCorrection(data, config.schedule_steps, undecided=undecided))
    rate = rate_of(config.schedule_steps / len(data.train))
    if config.exposure == "gain":
        chosen.append(ExposureGain(rate))
    if config.exposure == "full":
        chosen.append(CameraResponse(rate))
    return chosen
