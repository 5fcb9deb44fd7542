"""The libraries of NVRTC that the tests' requirements bring."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gaborsplat.renderer.backends.cuda.nvrtc import Surroundings, candidates


def installed_nvrtc(cuda: int) -> str:
    """That of a CUDA version. Skips the test where there is none."""
    found = candidates(replace(Surroundings.here(), cuda=cuda))[0]
    if not Path(found).is_absolute():
        pytest.skip(f"needs NVRTC of CUDA {cuda}: pip install -e '.[test]'")
    return found
