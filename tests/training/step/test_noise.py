"""The noise of 3DGS-MCMC, which ends a step of a fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stepping import NO_RATES, Fitted, nothing_seen, parameters, photo
from torch import Tensor
from torch.nn import Parameter

from gaborsplat.renderer.splats import Parameters
from gaborsplat.renderer.training.step.fit import Terms

pytestmark = pytest.mark.usefixtures("device")

SLOPE, THRESHOLD, MIN_LOGIT = 100.0, 0.005, -20.0
NOISE = Terms(noise_slope=SLOPE, opacity_threshold=THRESHOLD, noise_min_logit=MIN_LOGIT)


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


def test_the_oracle_of_random_words_knows_the_published_ones() -> None:
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


def moved_by_noise(given: Parameters, strength: float, seed: int, terms: Terms = NOISE) -> Tensor:
    """Centres after a step that does nothing else."""
    fitted = Fitted(given)
    fitted.step(nothing_seen(photo()), NO_RATES, noise=strength, terms=terms, seed=seed)
    return fitted.fit.parameters["means"].detach()


def test_noise_is_covariance_times_a_normal_vector_and_fades_with_opacity() -> None:
    count, seed, strength = 3000, 2**52 + 12345, 0.7
    given = parameters(count, waves=0, degree=0)
    with torch.no_grad():
        given["opacities"].mul_(3).sub_(4)
        given["scales"].add_(2)
    names = ("quats", "scales", "opacities")
    quats, scales, opacities = (given[name].detach().double() for name in names)
    before = given["means"].detach().clone()
    moved = moved_by_noise(given, strength, seed)
    logit = SLOPE * (THRESHOLD - torch.sigmoid(opacities))
    share = torch.where(logit > MIN_LOGIT, torch.sigmoid(logit), 0)
    noise = (covariance(quats, scales) @ normals(count, seed)[..., None])[..., 0]
    expected = before.double() + strength * share[:, None] * noise
    assert (moved.double() - expected).abs().amax() < 2e-5 * noise.abs().amax()
    assert torch.equal(moved[logit < MIN_LOGIT], before[logit < MIN_LOGIT])


def still(count: int) -> Parameters:
    """Splats in one place, of unit size, and so faint that all noise is theirs."""
    zeros = {name: torch.zeros_like(value) for name, value in parameters(count, 0, 0).items()}
    zeros["quats"][:, 0] = 1
    zeros["opacities"].fill_(-30)
    return {name: Parameter(value) for name, value in zeros.items()}


def test_noise_is_normal_and_another_one_for_every_seed() -> None:
    count = 100_000
    all_noise = NOISE._replace(noise_slope=1e4)
    one, two = (moved_by_noise(still(count), 1.0, seed, all_noise) for seed in (1, 2))
    together = torch.cat([one, two], dim=1).double()
    error = 5 / count**0.5
    assert together.mean(dim=0).abs().amax() < error
    assert (torch.cov(together.T) - torch.eye(6)).abs().amax() < 2 * error
    assert ((together**4).mean(dim=0) - 3).abs().amax() < 10 * error
    assert torch.isfinite(together).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e38])
def test_no_value_of_an_opacity_stops_the_noise_of_the_others(value: float) -> None:
    given = still(3)
    with torch.no_grad():
        given["opacities"][:] = torch.tensor([-6.0, value, -6.0])
    moved = moved_by_noise(given, 1.0, 5)
    assert torch.isfinite(moved[::2]).all()
    assert moved[::2].abs().min() > 0
