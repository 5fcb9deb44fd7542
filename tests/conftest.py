"""Fixtures and settings that all tests share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import emulated
import hypothesis
import pytest
import torch
from on_gpu import bridged_cuda

from gaborsplat.renderer.splats import WAVE_COUNTS

DEVICES = ("cpu", "cuda-emulated", "cuda")
"""What runs the kernels in these tests: the CPU backend, or the CUDA backend by the emulator or,
where there is one, by a GPU."""

hypothesis.settings.register_profile(
    "repeatable", derandomize=True, deadline=None, max_examples=25, database=None
)
hypothesis.settings.load_profile("repeatable")


QUICK_EMULATED = ("test_fit_gradient.py", "test_optimizer.py")
"""What the quick run has of the emulator: every pass, for two waves. Compiling takes its time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Most tests on emulated kernels are slow."""
    for item in items:
        chosen = item.path.name in QUICK_EMULATED and not re.search(r"K[014]", item.name)
        if "cuda-emulated" in item.name and not chosen:
            item.add_marker(pytest.mark.slow)


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
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Where the tensors of a test are, with the backend that `DEVICES` names behind it."""
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("this machine has no GPU")
        context: AbstractContextManager[object] = bridged_cuda()
        if "forked" in request.node.name:
            pytest.skip("CUDA does not survive a fork")
    elif request.param == "cuda-emulated":
        if not emulated.available():
            pytest.skip("the emulator needs a C++ compiler")
        context = emulated.emulated_cuda()
    else:
        context = nullcontext()
    with context:
        yield torch.device("cpu")
