"""Checkpoints on disk: everything needed to go on exactly where a run stopped."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from ..splats import Splats
from .step.fit import SplatFit
from .step.optimizer import HARMONICS, LAST_STEP, packed_moments
from .trainer import STATE_VERSION, Trainer

STARTED_WITH = ("steps", "max_splats")
"""Settings that may change when a run goes on, but by default stay as they were."""
KEPT = 2
"""How many checkpoints stay in a folder: the newest, and one more should it be damaged."""


def save_checkpoint(folder: Path, trainer: Trainer) -> Path:
    """Write `trainer`'s state into `folder` as a file named after its step; returns the file.

    The file appears complete or not at all. Older checkpoints beyond the last `KEPT` are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{trainer.steps_done:08d}.pt"
    # Beside its destination, so that the replacement cannot cross file systems.
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        started = {name: int(getattr(trainer.config, name)) for name in STARTED_WITH}
        torch.save({**trainer.state_dict(), "started_with": started}, unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints in `folder`, oldest first; none if there is no such folder."""
    return sorted(folder.glob("step-*.pt"))


def load_checkpoint(path: Path, trainer: Trainer) -> Path:
    """Set `trainer` to the state in `path`, and return the file it came from.

    `path` is a checkpoint, or a folder, of which the newest that can be read is taken.

    Raises ValueError naming the file if it is missing, damaged, or of another kind of run.
    """
    if not path.is_dir():
        _load(path, trainer)
        return path
    *older, newest = checkpoints(path) or [path]
    if newest == path:
        raise ValueError(f"{path}: holds no checkpoint (step-*.pt)")
    try:
        _load(newest, trainer)
    except ValueError:
        for each in reversed(older):
            with suppress(ValueError):
                _load(each, trainer)
                return each
        raise
    return newest


def started_with(path: Path) -> dict[str, int]:
    """The settings of `STARTED_WITH` in `path`, a checkpoint or the newest readable one of a
    folder; none where there is no such checkpoint, or it does not say."""
    for each in reversed(checkpoints(path) if path.is_dir() else [path]):
        with suppress(ValueError, TypeError):
            found = _read(each, mapped=True).get("started_with")
            return {name: int(value) for name, value in dict(found or {}).items()}
    return {}


def checkpoint_splats(path: Path) -> Splats:
    """The splats in the checkpoint `path`, on the CPU: what `Trainer.splats` gave then.

    Raises ValueError naming the file if it is missing or damaged.
    """
    state = _read(path, mapped=True)  # half of it, the geometry's moments, are never read
    try:
        state = up_to_date(state)
        fit = SplatFit({name: Parameter(tensor) for name, tensor in state["raw"].items()}, 0)
        fit.load_state_dict(state)
        # Copies: the file may be overwritten while they are in use.
        return fit.current().activated().detach()
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{path}: holds no splats ({error!r})") from error


def _load(path: Path, trainer: Trainer) -> None:
    state = _read(path)
    try:
        trainer.load_state_dict(up_to_date(state))
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _read(path: Path, *, mapped: bool = False) -> dict[str, Any]:
    """The content of a checkpoint, its tensors left in the file if `mapped`. Nothing in it is
    executed: only plain values are accepted."""
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # torch raises whatever zipfile, pickle or the file system raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path}: damaged or not a checkpoint ({reason[0]})") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path}: not a checkpoint, it holds a {type(state).__name__}")
    return state


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
    moments[HARMONICS[0]][LAST_STEP] = torch.full((len(state["raw"]["means"]),), done)
    del older["optimizers"]
    return older | {
        "version": STATE_VERSION,
        "moments": moments,
        "adam_steps": [done, steps["frequencies"]],
        "missed": torch.zeros(2, done + 1),
    }
