"""Adam and the noise of 3DGS-MCMC, as the backend's passes take them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from gaborsplat.renderer.raster.autograd import backend
from gaborsplat.renderer.training.optimizer import EPS, SplatAdam

pytestmark = pytest.mark.usefixtures("device")

TYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
GATE = (100.0, 0.005, -20.0)  # slope, faint, least


def randn(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@TYPES
@pytest.mark.parametrize("shape", [(1,), (7, 3), (20_000, 3), (300, 15, 3), (0, 3), (5, 0, 3)])
def test_adam_steps_as_torch_does(shape: tuple[int, ...], dtype: torch.dtype):
    ours = Parameter(randn(*shape, seed=0, dtype=dtype))
    theirs = Parameter(ours.detach().clone())
    optimizers = [SplatAdam([ours], lr=0.01, eps=EPS), torch.optim.Adam([theirs], 0.01, eps=EPS)]
    for step in range(20):
        ours.grad = randn(*shape, seed=1 + step, dtype=dtype) * 10.0 ** (step % 5 - 4)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    limit = 1e-12 if dtype == torch.float64 else 2e-6
    assert torch.allclose(ours, theirs, rtol=limit, atol=limit)


def test_the_state_of_adam_is_as_torchs():
    ours, theirs = Parameter(randn(4, 3, seed=0)), Parameter(randn(4, 3, seed=0))
    for parameter, kind in ((ours, SplatAdam), (theirs, torch.optim.Adam)):
        parameter.grad = randn(4, 3, seed=1)
        optimizer = kind([parameter], lr=0.01)
        optimizer.step()
        parameter.state = optimizer.state[parameter]  # type: ignore[attr-defined]
    assert ours.state.keys() == theirs.state.keys()  # type: ignore[attr-defined]
    for key, value in theirs.state.items():  # type: ignore[attr-defined]
        assert torch.allclose(ours.state[key], value)  # type: ignore[attr-defined]


@TYPES
def test_adam_leaves_what_is_not_visible_as_it_was(dtype: torch.dtype):
    parameter = Parameter(randn(5000, 4, seed=0, dtype=dtype))
    all_moved = Parameter(parameter.detach().clone())
    before = parameter.detach().clone()
    visible = randn(5000, seed=1) > 0.5
    sparse, dense = SplatAdam([parameter], lr=0.01), SplatAdam([all_moved], lr=0.01)
    for step in range(3):
        parameter.grad = all_moved.grad = randn(5000, 4, seed=2 + step, dtype=dtype)
        sparse.visible = visible
        sparse.step()
        dense.step()
    moments = sparse.state[parameter]
    assert torch.equal(parameter[visible], all_moved[visible])
    assert torch.equal(parameter[~visible], before[~visible])
    assert not moments["exp_avg"][~visible].any()
    assert not moments["exp_avg_sq"][~visible].any()


def philox(index: int, seed: int) -> list[int]:
    """Philox4x32-10, from its paper."""
    mask = 0xFFFFFFFF
    a, b, c, d = index & mask, index >> 32, 0, 0
    keys = [seed & mask, seed >> 32]
    for _ in range(10):
        left, right = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (
            (right >> 32) ^ b ^ keys[0],
            right & mask,
            (left >> 32) ^ d ^ keys[1],
            left & mask,
        )
        keys = [(keys[0] + 0x9E3779B9) & mask, (keys[1] + 0xBB67AE85) & mask]
    return [a, b, c, d]


def normals(count: int, seed: int) -> Tensor:
    words = np.array([philox(index, seed) for index in range(count)], dtype=np.float64) / 2.0**32
    radius = np.sqrt(-2 * np.log(words[:, ::2] + 0.5 / 2.0**32))
    angle = 2 * np.pi * words[:, 1::2]
    return torch.tensor(
        np.stack([radius[:, 0] * np.cos(angle[:, 0]), radius[:, 0] * np.sin(angle[:, 0]),
                  radius[:, 1] * np.cos(angle[:, 1])], axis=1)
    )  # fmt: skip


def test_the_oracle_of_random_words_knows_the_published_ones():
    assert philox(0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def covariance(quats: Tensor, log_scales: Tensor) -> Tensor:
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rotation = torch.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ],
        dim=-1,
    ).reshape(-1, 3, 3)  # fmt: skip
    basis = rotation * torch.exp(log_scales)[:, None]
    return basis @ basis.transpose(1, 2)


@TYPES
def test_noise_has_a_splats_covariance_and_fades_with_its_opacity(dtype: torch.dtype):
    count, seed, strength = 3000, 2**61 + 12345, 0.7
    quats, scales = randn(count, 4, seed=1, dtype=dtype), 0.5 * randn(count, 3, seed=2, dtype=dtype)
    opacities = 3 * randn(count, seed=3, dtype=dtype) - 4
    means = randn(count, 3, seed=4, dtype=dtype)
    moved = means.clone()
    backend(means.device).shake(moved, (quats, scales, opacities), strength, GATE, seed)

    logit = GATE[0] * (GATE[1] - torch.sigmoid(opacities.double()))
    gate = torch.where(logit > GATE[2], torch.sigmoid(logit), 0)
    noise = (covariance(quats.double(), scales.double()) @ normals(count, seed)[..., None])[..., 0]
    expected = means.double() + strength * gate[:, None] * noise
    limit = 1e-10 if dtype == torch.float64 else 2e-5
    assert (moved.double() - expected).abs().amax() < limit * noise.abs().amax()
    assert torch.equal(moved[logit < GATE[2]], means[logit < GATE[2]])


def test_noise_is_normal_and_another_one_for_every_seed():
    count = 200_000
    still = torch.zeros(count, 3)
    unit = torch.tensor([1.0, 0, 0, 0]).expand(count, 4).contiguous()
    faint = torch.full((count,), -30.0)
    one, two = still.clone(), still.clone()
    everywhere = (1e4, 0.005, -20.0)  # a gate of 1 for the faint
    backend(one.device).shake(one, (unit, still, faint), 1.0, everywhere, 1)
    backend(two.device).shake(two, (unit, still, faint), 1.0, everywhere, 2)
    together = torch.cat([one, two], dim=1).double()
    error = 5 / count**0.5
    assert together.mean(dim=0).abs().amax() < error
    assert (torch.cov(together.T) - torch.eye(6)).abs().amax() < 2 * error
    assert ((together**4).mean(dim=0) - 3).abs().amax() < 10 * error
    assert torch.isfinite(together).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e38])
def test_no_value_of_an_opacity_stops_the_noise_of_the_others(value: float):
    means, opacities = torch.zeros(3, 3), torch.tensor([-6.0, value, -6.0])
    quats = torch.ones(3, 4)
    backend(means.device).shake(means, (quats, torch.zeros(3, 3), opacities), 1.0, GATE, 5)
    assert torch.isfinite(means[::2]).all()
    assert means[::2].abs().min() > 0


def test_as_many_splats_as_there_are_must_be_called_visible():
    parameter = torch.zeros(4, 3)
    moments = torch.zeros(4, 3), torch.zeros(4, 3)
    rates = (0.1, 0.9, 0.999, 1.0, 1e-15)
    passes = backend(parameter.device)
    with pytest.raises(ValueError, match="visible holds 3 numbers, not 4"):
        passes.adam_step(
            (parameter, *moments), torch.ones(4, 3), torch.ones(3, dtype=torch.bool), rates
        )
