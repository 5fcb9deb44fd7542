"""What a trainer's state has to be, so that another one can go on from it."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn

import torch
from torch import Tensor

from .config import Chosen, TrainConfig
from .step.optimizer import HARMONICS, LAST_STEP, packed_moments

STATE_VERSION = 2
"""Version of what `Trainer.state_dict` returns."""
MUST_AGREE = ("gabor", "sh_degree", "strategy", "seed")
"""Settings that a state and the trainer that takes it must share, but for a degree that was chosen;
others may change."""


class OtherRun(ValueError):
    """A state is whole, but of other settings or another capture."""


class NotCopied:
    """A trainer, which neither copy nor pickle take."""

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be pickled or copied: give its state_dict() to "
            "load_state_dict() of another that is made of the same capture"
        )


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """Those of `MUST_AGREE`, as plain values."""
    found = {name: getattr(config, name) for name in MUST_AGREE}
    return {name: int(value) if isinstance(value, int) else value for name, value in found.items()}


def check_state(state: Mapping[str, Any], config: TrainConfig, views: Sequence[str]) -> TrainConfig:
    """Checks that a trainer with these settings and training views can go on from `state`. Returns
    the settings with which it does: a degree that was chosen is as it was when the run began.

    Raises:
        ValueError: it is of another version, kind of splats, strategy or capture.
    """
    if state.get("version") != STATE_VERSION:
        raise ValueError(f"version must be {STATE_VERSION}, not {state.get('version')}")
    missing = {"views", "config", "progress", "raw", "moments", "adam_steps", "missed"}
    missing |= {"strategy", "generator"}
    missing -= state.keys()
    if missing:
        raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    if isinstance(config.sh_degree, Chosen):
        config = replace(config, sh_degree=Chosen(state["config"]["sh_degree"]))
    for name in MUST_AGREE:
        theirs, ours = state["config"][name], getattr(config, name)
        if theirs != ours:
            raise OtherRun(f"it was trained with {name} = {theirs}, not {ours}")
    ours, theirs = set(views), set(state["views"])
    if 2 * len(ours & theirs) < max(len(ours), len(theirs)):
        raise OtherRun("it was trained on other views than this capture's")
    if len({len(tensor) for tensor in state["raw"].values()}) != 1:
        raise ValueError("its parameters differ in length")
    count = len(state["raw"]["means"])
    if count > config.max_splats:
        raise OtherRun(f"it has {count} splats, more than max_splats = {config.max_splats}")
    return config


def up_to_date(state: dict[str, Any]) -> dict[str, Any]:
    """The state of a trainer, as one of this version would have given it where that of an older one
    did: then every parameter had torch's Adam."""
    if state.get("version") != 1 or "optimizers" not in state:
        return state
    older = dict(state)
    moments: dict[str, dict[str, Tensor]] = {}
    steps = {name: 0 for name in state["raw"]}
    for name, raw in state["raw"].items():
        # As torch's Adam has it: nothing before its first step.
        known = next(iter(older["optimizers"][name]["state"].values()), {})
        steps[name] = int(known.get("step", 0))
        averages = [known.get(key, torch.zeros_like(raw)) for key in ("exp_avg", "exp_avg_sq")]
        if name in HARMONICS:
            moments[name] = packed_moments(*averages)
        else:
            moments[name] = dict(zip(("exp_avg", "exp_avg_sq"), averages, strict=True))
    done = steps["means"]
    moments[HARMONICS[0]][LAST_STEP] = torch.full_like(state["raw"]["opacities"], done)
    del older["optimizers"]
    return older | {
        "version": STATE_VERSION,
        "moments": moments,
        "adam_steps": [done, steps["frequencies"]],
        "missed": state["raw"]["means"].new_zeros(2, done + 1),
    }


def moved(
    state: Mapping[str, Any], device: torch.device | str, *, copy: bool = True
) -> dict[str, Any]:
    """What a strategy carries, its tensors on `device`; copies, as strategies write to them."""
    return {
        name: value.to(device, copy=copy) if isinstance(value, Tensor) else value
        for name, value in state.items()
    }


@contextmanager
def put_back(tensors: Sequence[Tensor]) -> Generator[None, None, None]:
    """If what follows fails, `tensors` have the numbers again that they had before."""
    before = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    except BaseException:
        for tensor, values in zip(tensors, before, strict=True):
            tensor.detach().copy_(values)
        raise
