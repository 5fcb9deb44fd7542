"""Adding, moving and removing splats: what must stay the same, and what must not be exceeded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from gaborsplat.renderer.editing.order import morton_order
from gaborsplat.renderer.splats import Parameters, RawSplats
from gaborsplat.renderer.training.config import TrainConfig
from gaborsplat.renderer.training.density.default import WaveDefaultStrategy
from gaborsplat.renderer.training.density.mcmc import MCMCStrategy, share_opacity
from gaborsplat.renderer.training.gabor.waves import START_FREQUENCY, carry_waves, start_waves
from gaborsplat.renderer.training.schedule import Schedule
from gaborsplat.renderer.training.step.optimizer import (
    HARMONICS,
    Optimizers,
    make_optimizers,
    take_rows,
)

COUNT = 40


@dataclass
class Model:
    """Raw parameters of a few splats, with what Adam knows after some steps."""

    raw: Parameters
    optimizers: Optimizers

    def __len__(self) -> int:
        return len(self.raw["means"])


def model(count: int = COUNT, waves: int = 2, dtype: torch.dtype = torch.float32) -> Model:
    tensors = {
        "means": torch.randn(count, 3),
        "quats": 2 * torch.randn(count, 4),
        "scales": 0.3 * torch.randn(count, 3) - 2,
        "opacities": torch.randn(count),
        "sh0": torch.randn(count, 1, 3),
        "shN": torch.randn(count, 3, 3),
        "frequencies": 0.3 * torch.randn(count, waves, 3),
        "coefficients": 0.2 * torch.randn(count, waves, 2),
    }
    raw = {name: Parameter(tensor.to(dtype)) for name, tensor in tensors.items()}
    optimizers = make_optimizers(raw)
    for name, optimizer in optimizers.items():
        for moment in optimizer.state[raw[name]].values():
            moment.copy_(torch.randint(1, 100, moment.shape))
    return Model(raw, optimizers)


def rotations(quats: Tensor) -> Tensor:
    w, x, y, z = (quats / quats.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def world_waves(raw: Parameters, points: Tensor) -> Tensor:
    """Every wave's value [N, P, K] at world points, from the definition."""
    with torch.no_grad():
        offset = points[None] - raw["means"][:, None]  # [N, P, 3]
        inside = torch.einsum("nij,npi->npj", rotations(raw["quats"]), offset)
        whitened = inside / torch.exp(raw["scales"])[:, None]
        phase = 2 * math.pi * torch.einsum("npi,nki->npk", whitened, raw["frequencies"])
        a, b = raw["coefficients"][:, None].unbind(-1)
        return a * torch.cos(phase) + b * torch.sin(phase)


def info(gradient: Tensor) -> dict[str, Any]:
    """gsplat's description of a render in which splat i has this screen-space gradient."""
    means2d = torch.zeros(1, len(gradient), 2)
    means2d.grad = torch.stack([gradient, torch.zeros_like(gradient)], dim=-1)[None]
    radii = torch.full((1, len(gradient), 2), 5, dtype=torch.int32)
    size = {"width": 2, "height": 2, "n_cameras": 1, "gaussian_ids": None}
    return {"means2d": means2d, "radii": radii, **size}


def moments(given: Model, name: str) -> Tensor:
    state = given.optimizers[name].state[given.raw[name]]
    return state["quotients" if name in HARMONICS else "exp_avg"]


def test_a_child_carries_its_parents_waves_to_the_same_place_in_the_world() -> None:
    parent = model(dtype=torch.float64).raw
    child = {name: Parameter(tensor.detach().clone()) for name, tensor in parent.items()}
    with torch.no_grad():
        child["means"] += 0.3 * torch.randn(COUNT, 3)
        child["scales"] += torch.randn(COUNT, 3)
    carry_waves(RawSplats.of(child), parent["means"].detach(), parent["scales"].detach())
    points = torch.randn(20, 3, dtype=torch.float64)
    expected, actual = world_waves(parent, points), world_waves(child, points)
    assert expected.abs().max() > 0.1
    assert torch.allclose(actual, expected, atol=1e-9)


def test_splats_that_did_not_change_keep_their_waves_bit_for_bit() -> None:
    raw = model().raw
    before = {name: raw[name].detach().clone() for name in ("frequencies", "coefficients")}
    carry_waves(RawSplats.of(raw), raw["means"].detach().clone(), raw["scales"].detach().clone())
    assert torch.equal(raw["frequencies"], before["frequencies"])
    assert torch.equal(raw["coefficients"], before["coefficients"])


def test_waves_start_faintly_across_the_two_longest_axes_in_different_directions() -> None:
    raw = model(waves=4).raw
    start_waves(RawSplats.of(raw), torch.Generator().manual_seed(0))
    frequencies = raw["frequencies"].detach()
    shortest = raw["scales"].argmin(dim=-1)[:, None, None].expand(-1, 4, 1)
    assert not frequencies.gather(2, shortest).any()
    assert torch.allclose(frequencies.norm(dim=-1), torch.tensor(START_FREQUENCY))
    units = frequencies / START_FREQUENCY
    # 45 degrees apart, up to sign.
    neighbours = (units[:, :-1] * units[:, 1:]).sum(-1).abs()
    assert torch.allclose(neighbours, torch.tensor(math.sqrt(0.5)), atol=1e-5)
    assert 0 < raw["coefficients"].abs().max() < 0.02


def test_plain_gaussians_have_no_waves_to_start_or_carry() -> None:
    raw = model(waves=0).raw
    start_waves(RawSplats.of(raw), torch.Generator())
    carry_waves(RawSplats.of(raw), raw["means"].detach() + 1, raw["scales"].detach())
    assert raw["frequencies"].shape == (COUNT, 0, 3)


def test_rows_move_with_their_moments_and_fresh_ones_start_from_zero() -> None:
    given = model()
    values = {name: tensor.detach().clone() for name, tensor in given.raw.items()}
    before = {name: moments(given, name).clone() for name in given.raw}
    rows = torch.tensor([3, 0, 3, 7])
    fresh = torch.tensor([False, False, True, False])
    take_rows(given.raw, given.optimizers, rows, fresh)
    for name, parameter in given.raw.items():
        assert torch.equal(parameter, values[name][rows])
        assert torch.equal(moments(given, name)[:2], before[name][[3, 0]])
        assert not moments(given, name)[2].any()
        assert given.optimizers[name].param_groups[0]["params"][0] is parameter


def test_shared_opacity_follows_the_double_sum_of_the_paper() -> None:
    opacities, copies = torch.tensor([0.9, 0.5, 0.05, 0.999]), torch.tensor([2, 5, 3, 10])
    shared, factor = share_opacity(opacities, copies)
    for old, n, new, scale in zip(
        opacities.double().tolist(), copies.tolist(), shared, factor, strict=True
    ):
        each = 1 - (1 - old) ** (1 / n)
        total = sum(
            math.comb(i - 1, k) * (-1) ** k * each ** (k + 1) / math.sqrt(k + 1)
            for i in range(1, n + 1)
            for k in range(i)
        )
        assert new.item() == pytest.approx(each, rel=1e-5)
        assert scale.item() == pytest.approx(old / total, rel=1e-5)


def test_a_splat_alone_keeps_its_opacity_and_scale() -> None:
    opacities = torch.tensor([0.01, 0.5, 0.99])
    shared, factor = share_opacity(opacities, torch.ones(3, dtype=torch.int64))
    assert torch.allclose(shared, opacities)
    assert torch.allclose(factor, torch.ones(3))


def mcmc_run(given: Model, config: TrainConfig, seed: int = 0) -> list[int]:
    """Counts after every step of density control alone."""
    strategy = MCMCStrategy(config, torch.Generator().manual_seed(seed))
    state = strategy.initialize_state(1.0)
    counts: list[int] = []
    for step in range(config.steps):
        strategy.step_post_backward(given.raw, given.optimizers, state, step, {})
        counts.append(len(given))
    return counts


@pytest.mark.parametrize("steps", [100, 1500])
def test_mcmc_grows_evenly_and_reaches_the_cap_when_growth_shall_stop(steps: int) -> None:
    config = TrainConfig(steps=steps, max_splats=90)
    counts = mcmc_run(model(), config)
    schedule = Schedule.of(config)
    assert counts[schedule.refine_start] == COUNT
    assert counts == sorted(counts)
    assert COUNT < counts[steps // 6] < 90
    assert max(counts) == counts[schedule.grow_stop] == counts[-1] == 90


def test_mcmc_moves_dead_splats_onto_living_ones_and_keeps_the_number() -> None:
    given = model()
    with torch.no_grad():
        given.raw["opacities"][:10] = -8.0
    living = given.raw["means"][10:].detach().clone()
    mcmc_run(given, TrainConfig(steps=60, max_splats=COUNT))
    assert len(given) == COUNT
    same = (given.raw["means"][:, None] == living).all(dim=-1)
    assert bool(same.any(dim=1).all())  # everybody is where a living one was,
    assert bool(same.any(dim=0).all())  # who all are still there
    assert torch.sigmoid(given.raw["opacities"]).min() >= 0.0049


def refined(given: Model, survey: Tensor, config: TrainConfig) -> dict[str, Any]:
    """The state of MCMC after the first refinement, for which photos gave `survey`."""
    strategy = MCMCStrategy(config, torch.Generator().manual_seed(0))
    state, schedule = strategy.initialize_state(1.0), Schedule.of(config)
    step = next(step for step in range(config.steps) if schedule.refines(step))

    def ask(photos: int) -> Tensor:
        return survey.clone()

    strategy.step_post_backward(given.raw, given.optimizers, state, step, {"survey": ask})
    return state


def test_mcmc_moves_what_adds_least_to_a_photo_to_where_photos_are_wrong() -> None:
    given, before = model(waves=0), model(waves=0)
    with torch.no_grad():
        given.raw["opacities"].fill_(2.0)
        for name, tensor in given.raw.items():
            before.raw[name].copy_(tensor)
    survey = torch.zeros(COUNT, 3)
    survey[:, 0], survey[:, 1] = 2.0, 50.0
    survey[3] = torch.tensor([2.0, 50.0, 1.0])  # where all the error is
    survey[5] = torch.tensor([8.0, 4.0, 0.0])  # adds least to a photo
    survey[6] = torch.tensor([1.0, 2.0, 0.0])  # the least in all, but not to a photo
    survey[7] = 0.0  # not seen, which says nothing of what it adds
    config = TrainConfig(steps=4000, max_splats=COUNT, exchange=0.4)
    assert 1 <= COUNT * config.exchange * Schedule.of(config).exchanged(200) < 2
    state = refined(given, survey, config)
    means = before.raw["means"].detach()
    there = (given.raw["means"].detach()[:, None] == means).all(dim=-1).sum(dim=0)
    expected = torch.ones(COUNT, dtype=torch.int64)
    expected[3], expected[5] = 2, 0
    assert there.tolist() == expected.tolist()
    twins = (given.raw["means"].detach() == means[3]).all(dim=1)
    kept = 1 - (1 - torch.sigmoid(given.raw["opacities"].detach()[twins])).prod()
    assert kept.item() == pytest.approx(torch.sigmoid(torch.tensor(2.0)).item(), abs=1e-5)
    assert state["survey"][twins].tolist() == [[2.0, 25.0, 0.5]] * 2


def test_mcmc_grows_where_photos_are_wrong_and_by_opacity_where_none_are() -> None:
    for wrong in (True, False):
        given = model(waves=0)
        survey = torch.tensor([[1.0, 1.0, 0.0]]).repeat(COUNT, 1)
        survey[3, 2] = float(wrong)
        place = given.raw["means"][3].detach().clone()
        refined(given, survey, TrainConfig(steps=40, max_splats=4 * COUNT, exchange=1e-6))
        new = len(given) - COUNT
        assert new > 2
        there = (given.raw["means"] == place).all(dim=1).sum()
        assert (there == 1 + new) == wrong


def test_without_exchange_no_photo_is_asked() -> None:
    given, survey = model(), torch.full((COUNT, 3), math.nan)
    state = refined(given, survey, TrainConfig(steps=60, max_splats=90, exchange=0.0))
    assert len(given) > COUNT
    assert state["survey"] is None
    assert all(bool(tensor.isfinite().all()) for tensor in given.raw.values())


def test_mcmc_with_nothing_but_dead_splats_leaves_them() -> None:
    given = model()
    with torch.no_grad():
        given.raw["opacities"].fill_(-20.0)
    assert mcmc_run(given, TrainConfig(steps=60, max_splats=90))[-1] == COUNT


def test_the_noise_of_mcmc_is_in_scene_scales_and_fades_with_the_rate() -> None:
    config = TrainConfig(steps=30_000)
    strategy = MCMCStrategy(config, torch.Generator())
    one, large = (strategy.initialize_state(scale) for scale in (1.0, 4.0))
    first, last = strategy.noise(one, 0), strategy.noise(one, 30_000)
    assert first == pytest.approx(config.noise * config.learning_rates.means)
    assert last == pytest.approx(first * config.learning_rates.means_final)
    assert strategy.noise(large, 0) == pytest.approx(first / 4)
    assert strategy.terms(large).scale_weight == config.scale_weight / 4
    assert strategy.terms(large).opacity_weight == config.opacity_weight


def test_after_a_refinement_neighbours_in_memory_are_neighbours_in_space() -> None:
    given = model(count=2000, waves=0)
    with torch.no_grad():
        given.raw["means"][7] = 1e6  # far away, and none of the others' business
        given.raw["opacities"].fill_(2.0)
    paired = torch.cat([given.raw["means"], given.raw["sh0"][:, 0]], dim=1).detach()

    def apart(means: Tensor) -> float:
        return float((means[1:] - means[:-1]).norm(dim=-1).median())

    before = apart(given.raw["means"].detach())
    mcmc_run(given, TrainConfig(steps=60, max_splats=2000))
    assert apart(given.raw["means"].detach()) < before / 5
    after = torch.cat([given.raw["means"], given.raw["sh0"][:, 0]], dim=1).detach()
    assert sorted(after.tolist()) == sorted(paired.tolist())


@pytest.mark.parametrize("count", [0, 1, 5])
def test_points_in_one_place_or_nowhere_keep_their_order(count: int) -> None:
    assert morton_order(torch.zeros(count, 3)).tolist() == list(range(count))
    assert morton_order(torch.full((count, 3), math.nan)).tolist() == list(range(count))


def test_the_order_of_points_is_that_of_their_interleaved_bits() -> None:
    # Symmetric about the median: x decides last, z first.
    corners = torch.tensor([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)])
    shuffled = torch.randperm(8)
    points = corners[shuffled].double()
    order = morton_order(torch.cat([points, torch.zeros(1, 3)]))
    found = [int(shuffled[index]) for index in order if index < 8]
    assert found == list(range(8))


def before_refinement() -> Model:
    """Firm splats of which gsplat splits 0-4 and clones 5-9, if their gradients are large."""
    given = model()
    with torch.no_grad():
        given.raw["scales"][:5] = -1.0
        given.raw["scales"][5:10] = -6.0
        given.raw["opacities"].fill_(1.0)
    return given


def refine_once(given: Model, max_splats: int = 1000) -> dict[str, Any]:
    """gsplat's strategy up to its first refinement; splats 0-9 have falling gradients."""
    config = TrainConfig(steps=400, max_splats=max_splats, strategy="default")
    schedule = Schedule.of(config)
    strategy = WaveDefaultStrategy(config, torch.Generator().manual_seed(0))
    state = strategy.initialize_state(1.0)
    gradient = torch.zeros(len(given))
    gradient[:10] = torch.arange(10, 0, -1).float()
    first = next(step for step in range(config.steps) if schedule.refines(step))
    for step in range(first + 1):
        strategy.step_post_backward(given.raw, given.optimizers, state, step, info(gradient))
    return state


def test_splitting_keeps_the_parents_waves_in_the_world() -> None:
    given, before = before_refinement(), before_refinement()
    for name, tensor in given.raw.items():
        before.raw[name].data.copy_(tensor)
    state = refine_once(given)
    assert len(given) == COUNT + 10
    # gsplat puts the two children of each split last.
    parents = torch.arange(5).repeat(2)
    points = torch.randn(20, 3)
    expected = world_waves(before.raw, points)[parents]
    assert torch.allclose(world_waves(given.raw, points)[-10:], expected, atol=1e-4)
    assert not torch.equal(given.raw["means"][-10:], before.raw["means"][parents])
    assert set(state) == {"grad2d", "count", "scene_scale"}


def test_the_cap_lets_only_the_largest_gradients_grow() -> None:
    given = before_refinement()
    fifth = given.raw["means"][4].detach().clone()
    refine_once(given, max_splats=COUNT + 4)
    assert len(given) == COUNT + 4
    # 0-3 were split; 4 and the clones 5-9 had to wait.
    assert bool((given.raw["means"] == fifth).all(dim=1).any())
    assert torch.exp(given.raw["scales"]).amax(dim=1).eq(math.exp(-6.0)).sum() == 5


def test_no_splat_grows_when_the_cap_is_reached() -> None:
    given = before_refinement()
    refine_once(given, max_splats=COUNT)
    assert len(given) == COUNT


def test_density_control_leaves_the_global_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    given = before_refinement()
    torch.set_rng_state(before)
    refine_once(given)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("strategy", ["mcmc", "default"])
def test_the_same_seed_gives_the_same_splats(strategy: str) -> None:
    results: list[Tensor] = []
    for _ in range(2):
        torch.manual_seed(0)
        given = before_refinement()
        torch.manual_seed(torch.seed())
        if strategy == "mcmc":
            mcmc_run(given, TrainConfig(steps=60, max_splats=90))
        else:
            refine_once(given)
        results.append(given.raw["means"].detach())
    assert len(results[0]) > COUNT
    assert torch.equal(*results)
