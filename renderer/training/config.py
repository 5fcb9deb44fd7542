"""Settings of a fit. The command line is generated from these fields and what `Attributes` says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal, NamedTuple, get_args

import torch
from tyro.conf import DisallowNone, arg

from ..settings import RenderSettings, rgb
from .pacing.duration import DURATION

PresetName = Literal["draft", "standard", "high"]
Preset = Literal["auto", "draft", "standard", "high"]
"""`auto` is `draft` on a CPU and `standard` on a GPU."""
ExposureMode = Literal["auto", "off", "gain", "full"]


class PresetValues(NamedTuple):
    """What a preset decides; all else is the same in every one.

    Attributes:
        steps: as in `TrainConfig`.
        max_splats: likewise.
        max_size: longest side of the photos [px]; None for their own.
    """

    steps: int
    max_splats: int
    max_size: int | None


class Default(int):
    """A number that nobody gave, which a preset may replace. It is equal to the same number when
    somebody did give it, but that one is a plain int, which no preset touches."""


class Chosen(int):
    """A degree of the harmonics that was chosen for a capture, as nobody gave one. A run that goes
    on has what was chosen when it began."""


HIGHEST_DEGREE = 3
"""Of the harmonics."""
BY_PRESET = arg(help_behavior_hint="(default: by --preset)")
"""What `--help` says of a `Default`, for its number is draft's alone."""
WITH_TIME = arg(help_behavior_hint="(default: with --time)")
"""What it says of what runs with a `time` do, and others do not."""
DRAFT_SIZE = Default(960)
"""Longest side of the photos [px] where nobody gave one."""
PRESETS: dict[PresetName, PresetValues] = {
    "draft": PresetValues(steps=2_000, max_splats=30_000, max_size=DRAFT_SIZE),
    "standard": PresetValues(steps=30_000, max_splats=1_000_000, max_size=1600),
    "high": PresetValues(steps=30_000, max_splats=3_000_000, max_size=None),
}


EARLIER: dict[str, Any] = {"exposure": "off", "refine_poses": "off", "exchange": 0.0}
EARLIER_RATES = {"final": 1.0}
"""Settings and learning rates that runs of earlier programs do not state, and what these did."""


def preset_taken(preset: str, device: torch.device) -> PresetName:
    """The preset that `preset` stands for on `device`.

    Raises:
        ValueError: there is no such preset.
    """
    _require_one_of("preset", preset, get_args(Preset))
    if preset == "auto":
        return "draft" if device.type == "cpu" else "standard"
    return next(name for name in PRESETS if name == preset)


def longest_side(given: int | None, preset: PresetName) -> int | None:
    """Longest side of the photos [px], None for their own: what was given, or else the preset's."""
    return PRESETS[preset].max_size if isinstance(given, Default) else given


@dataclass(frozen=True)
class LearningRates:
    """Adam's step sizes, one for each parameter in its raw form.

    Those marked with * hold for runs of 30 000 steps. Shorter runs have no time for steps so
    small: theirs are larger by the cube root of how much shorter they are, up to 4 times.

    Attributes:
        means: Centres *, in units of the scene scale; decays exponentially over the run.
        means_final: The centres' rate at the end of the run, as a fraction of that at its start.
        final: All other rates at the end of the run, as a fraction of what they are until its last
            three tenths, in which they decay exponentially.
        scales: Logarithms of the standard deviations *.
        quats: Rotations *.
        opacities: Logits of the opacities.
        sh0: Colour: the constant spherical harmonic.
        shN: View-dependent colour *: all other harmonics.
        frequencies: Frequencies of the waves [cycles/sigma].
        coefficients: Cosine and sine amplitudes of the waves.
    """

    means: float = 1.6e-4
    means_final: float = 0.01
    final: float = 0.1
    scales: float = 5e-3
    quats: float = 1e-3
    opacities: float = 5e-2
    sh0: float = 2.5e-3
    shN: float = 1.25e-4
    frequencies: float = 5e-3
    coefficients: float = 2e-2

    def __post_init__(self) -> None:
        for item in fields(self):
            _require(item.name, getattr(self, item.name), 0.0)


@dataclass(frozen=True)
class TrainConfig:
    """How splats are fitted to photos. The defaults suit a run of minutes on two CPU cores; where
    `steps` or `max_splats` are not given, a preset may put its own in their place.

    Attributes:
        steps: Optimisation steps; each renders one photo.
        time: Train for so long: seconds, or a number with s, m or h behind it. It counts from the
            first step to the last, with the trial before them that chooses steps and splats by
            the speed of the machine, with checkpoints and measurements in between, without
            pauses; photos are found before it, and the result is saved and evaluated after it.
            Steps and splats that are given are the most that there are. Two such runs are not
            equal.
        expected_steps: About how many steps a run with a `time` has: stages and learning rates are
            those of so long a run. By default a trial says it.
        gabor: Gabor waves per splat; 0 is plain 3D Gaussian splatting.
        max_splats: The number of splats never exceeds this; `mcmc` reaches it, `default` may stay
            below.
        strategy: How splats are added and removed: 3DGS-MCMC, or gsplat's version of the original.
        seed: Everything random follows from it.
        sh_degree: Degree of the spherical harmonics that give view-dependent colour; auto: 3, or
            less where few photos, taken far apart, have hardly more pixels than splats.
        sh_every: Steps between the starts of two degrees of the harmonics; short runs have all by
            half-time.
        ssim_weight: Loss = (1 - w) L1 + w (1 - SSIM).
        refine_start: Fraction of the run before splats are first added or removed, at most 500
            steps.
        refine_stop: Fraction of the run after which no splat is added, moved to another place or
            removed.
        grow_stop: Fraction of the run in which the splats become `max_splats`; `mcmc` only.
        exchange: How many splats, as a fraction of all, are moved in the first two fifths of the
            run from where they add least to the photos to where these are most wrong; `mcmc` only.
        refine_every: Steps between two refinements, at most a fortieth of the run.
        wave_start: Fraction of the run in which splats are plain Gaussians, before their waves are
            learnt.
        wave_birth: Where waves start: at the frequencies that would explain most of what is left of
            some photos, or in random directions.
        wave_limit: Keep waves from becoming finer than every photo can resolve.
        opacity_weight: Weight of the mean opacity in the loss; `mcmc` only.
        scale_weight: Weight of the mean standard deviation, in units of the scene scale; `mcmc`
            only.
        noise: Strength of the exploration noise on the centres; `mcmc` only.
        grow_gradient: Mean screen-space gradient above which a splat is cloned or split; `default`
            only.
        background: Colour behind the splats, RGB in [0, 1].
        antialiased: Mip-Splatting's opacity compensation; show the result with the same setting.
        exposure: Learn how each photo differs in exposure and white balance: `gain` is a gain for
            each channel of each photo, `full` vignetting, exposure, colour and the response curve
            of the camera. `auto` is `gain` where photos of the same points differ enough, else
            `off`. What is shown then is as bright as the photos are on average.
        visible_adam: Let Adam change only what the step's photo shows: the moments of all other
            splats stand still instead of fading. Faster when a photo shows little of the scene.
        refine_poses: Refine where each photo was taken from while splats are fitted, and align the
            cameras of test views before they are scored a second time; auto: if some cameras, when
            aligned to the first splats, prove to be wrong.
        coarse_to_fine: Begin with photos a quarter, then half as wide and high.
        checkpoint_every: Steps between two checkpoints. The default waits longer if they would
            otherwise take more than 1 % of the time.
        checkpoint_minutes: Minutes after which there is one at the latest, as long as they take
            no more than that.
        learning_rates: Step sizes of the optimiser.
    """

    steps: Annotated[int, BY_PRESET] = Default(PRESETS["draft"].steps)
    time: Annotated[float | None, DURATION] = None
    expected_steps: Annotated[int | None, WITH_TIME] = None
    gabor: Literal[0, 1, 2, 4] = 2
    max_splats: Annotated[int, BY_PRESET] = Default(PRESETS["draft"].max_splats)
    strategy: Literal["mcmc", "default"] = "mcmc"
    seed: int = 0
    sh_degree: Literal["auto", 0, 1, 2, 3] = "auto"
    sh_every: int = 1000
    ssim_weight: float = 0.2
    refine_start: float = 0.05
    refine_stop: float = 0.7
    grow_stop: float = 0.3
    exchange: float = 0.15
    refine_every: int = 100
    wave_start: float = 0.15
    wave_birth: Literal["residual", "random"] = "residual"
    wave_limit: bool = True
    opacity_weight: float = 0.01
    scale_weight: float = 0.01
    noise: float = 5e5
    grow_gradient: float = 2e-4
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    antialiased: bool = False
    exposure: ExposureMode = "auto"
    visible_adam: bool = False
    refine_poses: Literal["auto", "off", "on"] = "auto"
    coarse_to_fine: Annotated[bool | None, DisallowNone, WITH_TIME] = None
    checkpoint_every: int = 500
    checkpoint_minutes: float = 5.0
    learning_rates: LearningRates = field(default_factory=LearningRates)

    def __post_init__(self) -> None:
        for name in ("steps", "max_splats", "sh_every", "refine_every", "checkpoint_every"):
            _require(name, getattr(self, name), 1)
        names = ("opacity_weight", "scale_weight", "noise", "grow_gradient", "checkpoint_minutes")
        for name in names:
            _require(name, getattr(self, name), 0.0)
        shares = (
            "ssim_weight",
            "refine_start",
            "refine_stop",
            "grow_stop",
            "exchange",
            "wave_start",
        )
        for name in shares:
            _require(name, getattr(self, name), 0.0, 1.0)
        if self.expected_steps is not None:
            _require("expected_steps", self.expected_steps, 1)
        if self.time is not None and not 0 < self.time < math.inf:
            raise ValueError(f"time must be above 0 and finite, not {self.time}")
        object.__setattr__(self, "background", rgb(self.background))
        for value in self.background:
            _require("background", value, 0.0, 1.0)
        _require_one_of("gabor", self.gabor, (0, 1, 2, 4))
        _require_one_of("sh_degree", self.sh_degree, ("auto", 0, 1, 2, 3))
        _require_one_of("wave_birth", self.wave_birth, ("residual", "random"))
        _require_one_of("strategy", self.strategy, ("mcmc", "default"))
        _require_one_of("refine_poses", self.refine_poses, ("auto", "off", "on"))
        _require_one_of("exposure", self.exposure, get_args(ExposureMode))

    def by_preset(self, preset: PresetName) -> TrainConfig:
        """These settings, those that nobody gave as `preset` has them."""
        values = PRESETS[preset]
        numbers = {"steps": values.steps, "max_splats": values.max_splats}
        return self.or_else({name: Default(number) for name, number in numbers.items()})

    def or_else(self, values: Mapping[str, Any]) -> TrainConfig:
        """These settings, with `values` in place of those that nobody gave, or that are left to the
        capture."""
        open_ones = (None, "auto")
        given = {item.name for item in fields(self) if getattr(self, item.name) not in open_ones}
        given -= {*self.not_given()}
        return replace(self, **{name: each for name, each in values.items() if name not in given})

    def not_given(self) -> list[str]:
        """Names of the settings that a preset may decide."""
        names = [item.name for item in fields(self)]
        return [name for name in names if isinstance(getattr(self, name), Default)]

    @property
    def degree(self) -> int:
        """`sh_degree` as a number: the highest as long as none is chosen for a capture."""
        return HIGHEST_DEGREE if self.sh_degree == "auto" else int(self.sh_degree)

    @property
    def schedule_steps(self) -> int:
        """Steps of the run by which its stages and learning rates are chosen."""
        return self.steps if self.time is None else self.expected_steps or self.steps

    def render_settings(self) -> RenderSettings:
        """How splats are rendered while they are fitted, but for the near plane, which follows from
        the capture: see `Trainer.settings`."""
        return RenderSettings(background=self.background, antialiased=self.antialiased)


def _require(name: str, value: float, low: float, high: float | None = None) -> None:
    if not (value >= low and (high is None or value <= high)):
        rule = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"{name} must be {rule}, not {value}")


def _require_one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        listed = ", ".join(str(item) for item in allowed)
        raise ValueError(f"{name} must be one of {listed}, not {value}")
