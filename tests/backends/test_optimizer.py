"""Adam and the noise of 3DGS-MCMC, as the backend's passes take them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from gaborsplat.renderer._native import AdamArguments, NoiseArguments
from gaborsplat.renderer.backends.registry import backend_for
from gaborsplat.renderer.training.optimizer import EPS, SplatAdam

pytestmark = pytest.mark.usefixtures("device")

TYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
SLOPE, THRESHOLD, MIN_LOGIT = 100.0, 0.005, -20.0


def randn(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def inject_noise(
    means: Tensor, others: tuple[Tensor, Tensor, Tensor], strength: float, slope: float, seed: int
) -> None:
    """The backend's pass; `others` are quaternions, logarithms of scales and logits of opacity."""
    quats, log_scales, opacity_logits = others
    arguments = NoiseArguments(
        splats=len(means),
        seed=seed,
        strength=strength,
        slope=slope,
        opacity_threshold=THRESHOLD,
        min_logit=MIN_LOGIT,
        means=means,
        quats=quats,
        log_scales=log_scales,
        opacity_logits=opacity_logits,
    )
    backend_for(means.device).inject_noise(arguments)


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
        assert torch.allclose(torch.as_tensor(ours.state[key]), value)  # type: ignore[attr-defined]


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
def test_noise_is_covariance_times_a_normal_vector_and_fades_with_opacity(dtype: torch.dtype):
    count, seed, strength = 3000, 2**61 + 12345, 0.7
    quats, scales = randn(count, 4, seed=1, dtype=dtype), 0.5 * randn(count, 3, seed=2, dtype=dtype)
    opacities = 3 * randn(count, seed=3, dtype=dtype) - 4
    means = randn(count, 3, seed=4, dtype=dtype)
    moved = means.clone()
    inject_noise(moved, (quats, scales, opacities), strength, SLOPE, seed)

    logit = SLOPE * (THRESHOLD - torch.sigmoid(opacities.double()))
    share = torch.where(logit > MIN_LOGIT, torch.sigmoid(logit), 0)
    noise = (covariance(quats.double(), scales.double()) @ normals(count, seed)[..., None])[..., 0]
    expected = means.double() + strength * share[:, None] * noise
    limit = 1e-10 if dtype == torch.float64 else 2e-5
    assert (moved.double() - expected).abs().amax() < limit * noise.abs().amax()
    assert torch.equal(moved[logit < MIN_LOGIT], means[logit < MIN_LOGIT])


def test_noise_is_normal_and_another_one_for_every_seed():
    count = 200_000
    still = torch.zeros(count, 3)
    unit = torch.tensor([1.0, 0, 0, 0]).expand(count, 4).contiguous()
    faint = torch.full((count,), -30.0)
    one, two = still.clone(), still.clone()
    steep = 1e4  # all of the noise for the faint
    inject_noise(one, (unit, still, faint), 1.0, steep, 1)
    inject_noise(two, (unit, still, faint), 1.0, steep, 2)
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
    inject_noise(means, (quats, torch.zeros(3, 3), opacities), 1.0, SLOPE, 5)
    assert torch.isfinite(means[::2]).all()
    assert means[::2].abs().min() > 0


def test_as_many_splats_as_there_are_must_be_called_visible():
    with pytest.raises(ValueError, match="visible holds 3 numbers, not 4"):
        AdamArguments(
            splats=4,
            size=3,
            step_size=0.1,
            beta1=0.9,
            beta2=0.999,
            bias_correction2_sqrt=1.0,
            eps=EPS,
            values=torch.zeros(4, 3),
            exp_avg=torch.zeros(4, 3),
            exp_avg_sq=torch.zeros(4, 3),
            gradients=torch.ones(4, 3),
            visible=torch.ones(3, dtype=torch.bool),
        )
