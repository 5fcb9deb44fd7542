"""Fixtures and settings that all tests share."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest
import torch

from renderer.types import WAVE_COUNTS

DEVICES = ("cpu",)
"""Devices that the kernels run on in these tests."""

hypothesis.settings.register_profile(
    "repeatable", derandomize=True, deadline=None, max_examples=25, database=None
)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Every test sees the same random numbers, alone or in a full run."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real captures and splat files, kept beside the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data is kept in {folder}, which this machine does not have")
    return folder


@pytest.fixture(params=WAVE_COUNTS, ids=lambda waves: f"K{waves}")
def waves(request: pytest.FixtureRequest) -> int:
    """Number of Gabor waves per splat; 0 is a plain Gaussian."""
    return request.param


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    """Where the kernels under test run."""
    return torch.device(request.param)
