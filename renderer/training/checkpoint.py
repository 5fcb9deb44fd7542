"""Checkpoints on disk: everything needed to go on exactly where a run stopped.

A file is what torch.save writes, a zip archive, whose comment is the SHA-256 of all before it.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch.nn import Parameter

from ..files import replacing
from ..splats import Splats
from .config import EARLIER, Default, TrainConfig
from .state import OtherRun, up_to_date
from .step.fit import SplatFit
from .trainer import Trainer

NUMBERS = ("steps", "max_splats")
"""Settings that may change when a run goes on, but by default stay as they were,"""
CHOICES = ("time", "expected_steps", "coarse_to_fine", "exposure")
"""and those of which none may be chosen, or which are left to the capture."""
KEPT = 2
"""How many checkpoints stay in a folder: the newest, and one more should it be damaged."""
_MARK = b"gaborsplat sha256 "
_COMMENT = len(_MARK) + hashlib.sha256().digest_size * 2
_BLOCK = 1 << 20


def save_checkpoint(folder: Path, trainer: Trainer) -> Path:
    """Write `trainer`'s state into `folder` as a file named after its step; returns the file.

    The file appears complete or not at all. Older checkpoints beyond the last `KEPT` are removed.

    Raises:
        OSError: it cannot be written.
    """
    return write_state(checkpoint_file(folder, trainer), checkpoint_state(trainer, copy=False))


def checkpoint_file(folder: Path, trainer: Trainer) -> Path:
    """The checkpoint of the step that `trainer` is at."""
    return folder / f"step-{trainer.steps_done:08d}.pt"


def checkpoint_state(trainer: Trainer, *, copy: bool) -> dict[str, Any]:
    """What a checkpoint holds. Without `copy`, what lies on the CPU is the trainer's own."""
    config = trainer.config
    started: dict[str, Any] = {name: int(getattr(config, name)) for name in NUMBERS}
    chosen = {name: getattr(config, name) for name in CHOICES}
    started |= {name: value for name, value in chosen.items() if value is not None}
    if config.time is not None:
        started["most_steps"] = "steps" not in config.not_given()
    return {**trainer.state_dict(copy=copy), "started_with": started}


def write_state(path: Path, state: dict[str, Any]) -> Path:
    """See `save_checkpoint`."""
    with replacing(path) as draft, draft.open("wb") as file:
        hashed = _Hashed(file)
        torch.save(state, cast(IO[bytes], hashed))
        hashed.finish()
    # Later ones are of another run, or damaged: this one stays, whatever there is.
    for old in [each for each in checkpoints(path.parent) if each <= path][:-KEPT]:
        with suppress(OSError):
            old.unlink()
    return path


class _Hashed:
    """A file that torch.save writes an archive to, with the sum of what is in it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sum = file, hashlib.sha256()
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Never fails: torch would make an assertion of its own of that, or end the process."""
        if self._error is None:
            try:
                self._file.write(data)
                self._sum.update(data)
            except OSError as error:
                self._error = error
        return len(data)

    def flush(self) -> None:
        """Does nothing; torch asks for it."""

    def finish(self) -> None:
        """Append the sum.

        Raises:
            OSError: the archive could not be written.
        """
        if self._error is not None:
            raise self._error
        self._file.seek(-2, os.SEEK_END)  # an archive ends with the length of its comment
        self._file.write(_COMMENT.to_bytes(2, "little") + _MARK + self._sum.hexdigest().encode())


def _is_whole(path: Path) -> bool:
    """Whether a checkpoint is as it was written; of earlier versions, whose archives have no
    comment, whether their members are."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _COMMENT - 2))
        length, comment = file.read(2), file.read()
        if comment.startswith(_MARK):
            file.seek(0)
            found, left = hashlib.sha256(), size - _COMMENT - 2
            while left > 0 and (block := file.read(min(left, _BLOCK))):
                found.update(block)
                left -= len(block)
            found.update(b"\0\0")  # the length, when there was no comment yet
            stated = comment[len(_MARK) :] == found.hexdigest().encode()
            return stated and length == _COMMENT.to_bytes(2, "little")
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            return not archive.comment and archive.testzip() is None


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
    except OtherRun:
        raise
    except ValueError:
        for each in reversed(older):
            with suppress(ValueError):
                _load(each, trainer)
                return each
        raise
    return newest


def going_on(config: TrainConfig, path: Path) -> TrainConfig:
    """`config`, with what it leaves open as it was in `path`, a checkpoint or the newest readable
    one of a folder; as it is where there is no such checkpoint. Steps that were the most of a run
    with a `time` still are."""
    for each in reversed(checkpoints(path) if path.is_dir() else [path]):
        with suppress(ValueError, TypeError):
            known = {**EARLIER, **dict(_read(each, mapped=True).get("started_with") or {})}
            values = {name: known[name] for name in CHOICES if name in known}
            values |= {name: Default(known[name]) for name in NUMBERS if name in known}
            if known.get("most_steps"):
                values["steps"] = int(known["steps"])
            if config.time is None and "steps" not in config.not_given():
                values["time"] = None  # goes on by steps
            return config.or_else(values)
    return config


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
    except OtherRun as error:
        raise OtherRun(f"{path}: {error}") from error
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _read(path: Path, *, mapped: bool = False) -> dict[str, Any]:
    """The content of a checkpoint, its tensors left in the file if `mapped`. Nothing in it is
    executed: only plain values are accepted."""
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint")
    try:
        if not _is_whole(path):
            raise ValueError("its checksum is of other content")
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # torch raises whatever zipfile, pickle or the file system raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path}: damaged or not a checkpoint ({reason[0]})") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path}: not a checkpoint, it holds a {type(state).__name__}")
    return state
