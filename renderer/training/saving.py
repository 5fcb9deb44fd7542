"""When checkpoints are due, and writing them beside the training that they are of."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from .checkpoint import checkpoint_file, checkpoint_state, write_state
from .config import TrainConfig
from .trainer import Trainer

COST = 0.01
"""Part of the time that checkpoints may take where nobody has said how often they are written."""
MINUTE = 60.0
_EVERY = next(item.default for item in fields(TrainConfig) if item.name == "checkpoint_every")


class CheckpointWriter:
    """Writes the checkpoints of one training, one at a time.

    They are due every `checkpoint_every` steps and every `checkpoint_minutes`. What they cost is
    copying the state, and the processor's time for writing it. Where that is more than `COST` of
    the time, those by the clock come later, and those by steps too unless `checkpoint_every` is
    another than by default.

    Args:
        folder: of the checkpoints.
        trainer: whose they are.
        failed: told when one could not be written beside training, which goes on.

    Attributes:
        saved_step: of the newest that is written whole by this; -1 if there is none.
    """

    def __init__(self, folder: Path, trainer: Trainer, failed: Callable[[OSError], object]) -> None:
        self._folder, self._trainer, self._failed = folder, trainer, failed
        self._writing: threading.Thread | None = None
        self._error: BaseException | None = None
        self._wanted = False
        self._last = time.monotonic()
        self._cost = self._held_up = 0.0
        self.saved_step = -1

    def after_step(self) -> None:
        """Begin to write one if it is due. To be called after every step."""
        if self._writing is not None and not self._writing.is_alive():
            self._finished()
        config, since = self._trainer.config, time.monotonic() - self._last
        by_steps = self._trainer.steps_done % config.checkpoint_every == 0
        self._wanted |= by_steps or since >= MINUTE * config.checkpoint_minutes
        if not self._trainer.pace.affords(self._held_up):
            return  # the one at the end comes as soon
        exact = by_steps and config.checkpoint_every != _EVERY
        affordable = self._writing is None and since * COST >= self._cost
        if (self._wanted and affordable) or exact:
            began = time.perf_counter()
            self._finished()
            ready = time.perf_counter()
            self._begin(copy=True)
            ended = time.perf_counter()
            self._cost += ended - ready
            self._held_up = ended - began

    def save(self) -> Path:
        """Write one of this step, and wait for it; one that is there already is not written anew.

        Raises:
            OSError: it cannot be written.
        """
        self._finished()
        path = checkpoint_file(self._folder, self._trainer)
        if self.saved_step != self._trainer.steps_done or not path.is_file():
            self._begin(copy=False)
            error = self._wait()
            if error is not None:
                raise error
        return path

    def _begin(self, *, copy: bool) -> None:
        path, step = checkpoint_file(self._folder, self._trainer), self._trainer.steps_done
        state = checkpoint_state(self._trainer, copy=copy)
        self._wanted, self._last, self._cost = False, time.monotonic(), 0.0

        def write(state: dict[str, Any]) -> None:
            began = time.thread_time()
            try:
                write_state(path, state)
                self.saved_step = step
            except BaseException as error:
                self._error = error
            self._cost += time.thread_time() - began

        # In a thread of its own also where nobody does anything else meanwhile: a signal that ends
        # the program would reach Python within torch's archive writer.
        self._writing = threading.Thread(target=write, args=(state,), name="checkpoint")
        self._writing.start()

    def _wait(self) -> BaseException | None:
        """Wait for the one that is being written; why it could not be."""
        if self._writing is not None:
            self._writing.join()
            self._writing = None
        error, self._error = self._error, None
        return error

    def _finished(self) -> None:
        """Wait for the one that is being written, and tell if it could not be."""
        error = self._wait()
        if isinstance(error, OSError):
            self._failed(error)
        elif error is not None:
            raise error
