"""Options of training that are compared, by name, as text: `field:value,field:value`.

Fields are those of `TrainConfig`, and `learning_rates.means` and so on. To compare another option,
add a line to `variants`, or give it to `--variant`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gaborsplat.renderer.training import LearningRates, TrainConfig
from gaborsplat.renderer.training.schedule import FULL_RUN, Schedule

BASELINE = "default"
"""The variant that all others are compared with."""
RATES = "learning_rates."
FORM = "NAME=field:value,field:value"
GSPLAT_RATES = {
    "means": 1.6e-4,
    "means_final": 0.01,
    "final": 1.0,
    "scales": 5e-3,
    "quats": 1e-3,
    "opacities": 5e-2,
    "sh0": 2.5e-3,
    "shN": 2.5e-3 / 20,
}
"""Learning rates of gsplat's trainer, as in `LearningRates`."""


def variants(steps: int) -> dict[str, str]:
    """Those that have a name, as they are in runs of so many steps."""
    return {
        BASELINE: "",
        "no-exposure": "exposure:off",
        "no-poses": "refine_poses:off",
        "gsplat": gsplat_settings(steps),
    }


def gsplat_settings(steps: int) -> str:
    """Defaults of gsplat 1.5's own trainer (examples/simple_trainer.py), in ours.

    Clone and split by gsplat's default strategy, no waves, and all that this trainer states, be it
    our default too or not. As with its `steps_scaler`, what it does at some step of 30 000 comes at
    the same share of a shorter run, but its learning rates stay what they are: without what short
    runs of ours put on top. Its splats are at most `max_splats`, it resets no opacities in runs
    under 15 000 steps, and near plane and points to begin with are ours.
    """
    share = steps / FULL_RUN
    raised = Schedule.of(TrainConfig(steps=steps)).rates(0, LearningRates(**GSPLAT_RATES))
    settings = {
        "strategy": "default",
        "gabor": 0,
        "sh_degree": 3,
        "sh_every": max(1, int(1000 * share)),
        "ssim_weight": 0.2,
        "refine_start": 500 / FULL_RUN,
        "refine_stop": 15_000 / FULL_RUN,
        "refine_every": max(1, int(100 * share)),
        "grow_gradient": 2e-4,
        "antialiased": False,
        "visible_adam": False,
        "exposure": "off",
        "refine_poses": "off",
    }
    for name, rate in GSPLAT_RATES.items():
        settings[RATES + name] = rate * rate / raised.get(name, rate)
    return described(settings)


def chosen(words: Sequence[str], steps: int) -> dict[str, str]:
    """The variants that `words` ask for: a name of the table, or `NAME=field:value,field:value`.

    Raises:
        ValueError: a name is not in the table, or a field or its value not in `TrainConfig`.
    """
    table, found = variants(steps), dict[str, str]()
    for word in words:
        name, given, text = word.partition("=")
        if not given and name not in table:
            raise ValueError(f"--variant {word}: must be one of {', '.join(table)}, or {FORM}")
        try:
            found[name] = described(parsed(text if given else table[name]))
            configured(TrainConfig(steps=steps), found[name])
        except ValueError as error:
            raise ValueError(f"--variant {word}: {error}") from error
    return found


def configured(config: TrainConfig, text: str) -> TrainConfig:
    """`config` with the settings of `text`. Raises ValueError if it has not these."""
    settings = parsed(text)
    rates = {
        name.removeprefix(RATES): value
        for name, value in settings.items()
        if name.startswith(RATES)
    }
    given = {name: value for name, value in settings.items() if not name.startswith(RATES)}
    return replace(config, **given, learning_rates=replace(config.learning_rates, **rates))


def described(settings: Mapping[str, Any]) -> str:
    """Settings as text, always in the same order."""
    return ",".join(f"{name}:{settings[name]}" for name in sorted(settings))


def parsed(text: str) -> dict[str, Any]:
    """Settings by name, each of its own type. Raises ValueError for what is no setting."""
    settings: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, colon, value = part.partition(":")
        if not colon:
            raise ValueError(f"must be {FORM}, not {part}")
        if name not in _types():
            raise ValueError(f"TrainConfig has no setting {name}")
        settings[name] = _value(name, _types()[name], value)
    return settings


@cache
def _types() -> dict[str, Any]:
    """The type of every setting that a variant may have, by name."""
    types = get_type_hints(TrainConfig)
    del types["learning_rates"]
    return types | {RATES + item.name: float for item in fields(LearningRates)}


def _value(name: str, kind: Any, text: str) -> Any:
    if get_origin(kind) in (Union, UnionType):
        for each in get_args(kind):
            try:
                return _value(name, each, text)
            except ValueError:
                continue
        raise ValueError(f"{name} cannot be {text}")
    if get_origin(kind) is Literal or kind in (bool, type(None)):
        allowed = {bool: (False, True), type(None): (None,)}.get(kind) or get_args(kind)
        for each in allowed:
            if text == str(each):
                return each
        raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, not {text}")
    if kind not in (int, float, str):
        raise ValueError(f"{name} cannot be set here")
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{name} must be {kind.__name__}, not {text}") from None
