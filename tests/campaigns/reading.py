"""Reads files in a process with little memory, and says what that took; see test_fuzz.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.campaigns.fuzz_trial import Trial, limit_memory, warmed


def main() -> None:
    """Takes [reader, folder, file] from stdin; prints for each what was found, by their order."""
    files = json.load(sys.stdin)
    found: list[dict[str, object]] = []
    trials: dict[str, Trial] = {}
    for name, folder, _ in files:
        if name not in trials:
            trials[name] = warmed(name, Path(folder).parent / f"warm-{name}")
    limit_memory()
    for name, folder, member in files:
        trial = trials[name]
        trial.folder = Path(folder)
        size = sum(path.stat().st_size for path in trial.folder.iterdir())
        with trial.watching():
            trial.rest()
            fault = trial.fault_of(member, size)
        found.append({"fault": fault, "taken": trial.taken, "line": trial.line, "size": size})
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
