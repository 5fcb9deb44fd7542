"""The examples of the docs run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from fitting import small_capture

import gaborsplat as gs

DOCS = Path(__file__).resolve().parents[2] / "docs"


def examples(page: str) -> list[str]:
    """The blocks of Python of a page."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", range(len(examples("training.md"))))
def test_an_example_of_training_runs_and_learns(number: int) -> None:
    known: dict[str, object] = {"gs": gs, "torch": torch, "capture": small_capture()}
    exec(examples("training.md")[number], known)  # what the page says
    if number == 0:
        result = known["result"]
        assert isinstance(result, gs.TrainResult)
        assert result.evaluation.psnr is not None
    else:
        learnt = known["learnt"]
        assert isinstance(learnt, dict)
        assert len(learnt) == len(small_capture().train)
        assert any(any(row) for row in learnt.values())


def test_there_are_examples() -> None:
    assert len(examples("training.md")) == 2
