"""log.jsonl of a run: what training says of itself, a line every few steps."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..scenes import replacing


class Tested(NamedTuple):
    """A measurement on the test views: PSNR [dB], after so many steps, with so many splats."""

    test_psnr: float
    step: int
    splats: int


@dataclass(frozen=True)
class TrainingLog:
    """The file, which may not be there."""

    path: Path

    def lines(self) -> list[dict[str, Any]]:
        """What it says, as far as it can be read."""
        if not self.path.is_file():
            return []
        found: list[dict[str, Any]] = []
        for text in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = dict(json.loads(text))
            except (ValueError, TypeError, RecursionError):
                continue  # damaged
            if isinstance(line.get("step"), int):
                found.append(line)
        return found

    def best_test(self) -> Tested | None:
        """The best measurement on the test views, the first of equals; None if there is none."""
        tested = [
            Tested(line["test_psnr"], line["step"], line["splats"])
            for line in self.lines()
            if isinstance(line.get("test_psnr"), float) and isinstance(line.get("splats"), int)
        ]
        return max(tested, key=lambda each: each.test_psnr, default=None)

    def go_on_after(self, step: int) -> None:
        """Cut off what an interrupted run did beyond `step`."""
        kept = [json.dumps(line) for line in self.lines() if line["step"] <= step]
        with replacing(self.path) as draft:
            draft.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def write(self, **values: Any) -> None:
        """Append one line, or nothing.

        Raises:
            OSError: there is no room for it.
        """
        line = (json.dumps(values) + "\n").encode()
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            before = os.fstat(handle).st_size
            try:
                written = os.write(handle, line)
                if written < len(line):
                    os.write(handle, line[written:])
            except OSError as error:
                os.ftruncate(handle, before)
                raise OSError(error.errno, error.strerror, str(self.path)) from error
        finally:
            os.close(handle)
