"""What stands between tests, whose tensors are on the CPU, and a GPU; here the emulator is behind
it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import emulated
import pytest
import torch
from on_gpu import Bridge

from gaborsplat.renderer._native import LossArguments
from gaborsplat.renderer.backends.cuda.backend import CudaBackend
from gaborsplat.renderer.backends.cuda.launcher import Launch

pytestmark = [
    pytest.mark.skipif(not emulated.available(), reason="needs a C++ compiler"),
    pytest.mark.slow,
]


@pytest.mark.parametrize("before", [math.nan, math.inf, 1.0])
def test_what_a_kernel_writes_comes_back_whatever_was_there(before: float):
    image, photo = torch.rand(2, 7, 12, 3)
    gradient, means = torch.full_like(image, before), torch.full((4,), before, dtype=torch.float64)
    arguments = LossArguments(
        width=12,
        height=7,
        ssim_weight=0.2,
        image=image,
        photo=photo,
        mask=torch.zeros(7, 12, dtype=torch.bool),
        gradient=gradient,
        means=means,
    )
    CudaBackend(Bridge(emulated.Emulator(), torch.device("cpu"))).photometric_loss(arguments)
    assert not gradient.any()
    assert not means.any()


def test_a_kernel_works_on_copies():
    image, photo = torch.rand(2, 7, 12, 3)
    means = torch.zeros(4, dtype=torch.float64)

    class Watcher(emulated.Emulator):
        def launch(self, launches: Sequence[Launch], /) -> None:
            super().launch(launches)
            assert not means.any(), "written before it was copied back"

    arguments = LossArguments(
        width=12, height=7, ssim_weight=0.2, image=image, photo=photo, means=means
    )
    CudaBackend(Bridge(Watcher(), torch.device("cpu"))).photometric_loss(arguments)
    assert means.all()
