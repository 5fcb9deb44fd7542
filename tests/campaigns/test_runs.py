"""Short campaigns that try to lose a run; `python -m benchmarks.campaigns.runs` has long ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("campaign", "number"),
    [("kills", 4), ("interrupts", 8), ("starts", 2), ("flips", 30), ("disk", 6)],
)
def test_no_run_is_lost(campaign: str, number: int, tmp_path: Path):
    # A process of its own: it forks, and threads of others must not be there.
    words = [sys.executable, "-m", "benchmarks.campaigns.runs", campaign]
    words += ["--number", str(number), "--keep", str(tmp_path)]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{campaign}: 0 wrong" in done.stdout
