"""The step of a fit: torch's Adam on the gradient of autograd's passes, the terms of 3DGS-MCMC, and
what is left as it was."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from stepping import NO_RATES, RATES, Fitted, nothing_seen, parameters, photo, runner
from torch import Tensor
from torch.nn import Parameter

from gaborsplat.renderer import _native
from gaborsplat.renderer.backends.memory import Memory
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.training import data
from gaborsplat.renderer.training.step.fit import SplatFit, Terms
from gaborsplat.renderer.training.step.objective import Measured, PhotometricObjective, Picture
from gaborsplat.renderer.training.step.optimizer import HARMONICS, SplatOptimizer, packed_moments
from gaborsplat.renderer.training.step.runner import StepRunner

pytestmark = pytest.mark.usefixtures("device")

BETA1, BETA2, EPS = 0.9, 0.999, 1e-15


class Adam:
    """Of one parameter, in double."""

    def __init__(self, like: Tensor, rate: float) -> None:
        self.first, self.second = torch.zeros_like(like).double(), torch.zeros_like(like).double()
        self.rate, self.steps = rate, 0

    def change(self, gradient: Tensor) -> Tensor:
        """What a step adds."""
        self.steps += 1
        self.first = BETA1 * self.first + (1 - BETA1) * gradient.double()
        self.second = BETA2 * self.second + (1 - BETA2) * gradient.double() ** 2
        first = self.first / (1 - BETA1**self.steps)
        second = self.second / (1 - BETA2**self.steps)
        return -self.rate * first / (second.sqrt() + EPS)


def changes(fitted: Fitted, photos: list[data.Photo]) -> dict[str, tuple[Tensor, Tensor]]:
    """What each of some steps changed, and what Adam's would have, [steps, N, ...]."""
    adams = {name: Adam(t, RATES[name]) for name, t in fitted.fit.parameters.items()}
    ours: dict[str, list[Tensor]] = {name: [] for name in adams}
    theirs: dict[str, list[Tensor]] = {name: [] for name in adams}
    for each in photos:
        gradients, before = fitted.gradients(each), fitted.values()
        assert fitted.step(each).changed
        for name, value in fitted.values().items():
            ours[name].append((value - before[name]).double())
            gradient = gradients.get(name, torch.zeros_like(value))  # of no waves
            theirs[name].append(adams[name].change(gradient))
    return {name: (torch.stack(ours[name]), torch.stack(theirs[name])) for name in adams}


@pytest.mark.parametrize("waves", [0, 2])
def test_everything_but_harmonics_takes_the_steps_of_torchs_adam(waves: int) -> None:
    photos = [photo(index) for index in (0, 1, 2, 0, 1, 2)]
    for name, (ours, theirs) in changes(Fitted(parameters(waves=waves)), photos).items():
        if name in HARMONICS or ours.numel() == 0:
            continue
        # A few gradients are nothing but rounding, where signs differ.
        close = (ours - theirs).abs() < 0.01 * RATES[name]
        assert close.double().mean() > 0.995, name
        assert theirs.abs().max() > 0.5 * RATES[name], name


def test_harmonics_take_them_on_average() -> None:
    photos = [photo(index % 3) for index in range(12)]
    found = changes(Fitted(), photos)
    for name in HARMONICS:
        ours, theirs = (changed[3:].flatten() for changed in found[name])
        error = ours - theirs
        assert theirs.square().mean().sqrt() > 0.1 * RATES[name]
        assert error.square().mean() < 0.02 * theirs.square().mean(), name
        assert error.mean().abs() < 0.01 * theirs.abs().mean(), name


def test_the_terms_of_the_loss_pull_but_the_loss_that_is_told_is_the_photometric_one() -> None:
    terms = Terms(opacity_weight=0.3, scale_weight=2.0)
    with_terms, without = Fitted(), Fitted()
    raw = with_terms.fit.current()
    nothing = nothing_seen(photo())
    found = with_terms.step(nothing, terms=terms), without.step(nothing)
    assert found[0].loss == found[1].loss
    # Without another gradient the first step of Adam is the sign's.
    before, after = raw.tensors(), with_terms.values()
    for name in ("opacities", "scales"):
        assert torch.allclose(after[name] - before[name], torch.tensor(-RATES[name]), atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in without.values().items())


def test_steps_that_harmonics_miss_are_made_good_exactly() -> None:
    fitted, seen = Fitted(), photo()
    for _ in range(3):
        fitted.step(seen)
    moments = {name: decoded(fitted.fit, name) for name in HARMONICS}
    before, steps = fitted.values(), 40
    for number in range(steps):
        fitted.step(nothing_seen(seen))
        for name in HARMONICS:
            first, second = moments[name]
            first, second = first * BETA1 ** (number + 1), second * BETA2 ** (number + 1)
            time = 4 + number
            root = (second / (1 - BETA2**time)).sqrt() + EPS
            before[name] = before[name] - RATES[name] * first / (1 - BETA1**time) / root
        if number in (0, 6, steps - 1):
            for name in HARMONICS:
                assert torch.allclose(fitted.values()[name].double(), before[name], atol=1e-6), name
    untouched = fitted.fit.parameters["shN"].detach().clone()
    copied = fitted.values()["shN"]
    assert (copied - untouched).abs().max() > RATES["shN"]
    fitted.fit.catch_up()
    assert torch.equal(fitted.fit.parameters["shN"], copied)
    assert torch.equal(fitted.values()["shN"], copied)


def decoded(fit: SplatFit, name: str) -> tuple[Tensor, Tensor]:
    """Adam's moments that bytes stand for, in double."""
    optimizer = fit.optimizers[name]
    assert isinstance(optimizer, SplatOptimizer)
    quotients, roots = (optimizer.moments[key].int() for key in ("quotients", "roots"))
    root = torch.tensor(_native.moment_roots(), dtype=torch.float64)[roots]
    sizes = torch.tensor(_native.moment_quotients(), dtype=torch.float64)[quotients & 127]
    return torch.where(quotients > 127, -sizes, sizes) * root, root**2


def test_a_picture_shows_harmonics_with_the_steps_that_they_missed() -> None:
    fitted, seen = Fitted(), photo()
    for index in range(20):
        fitted.step(seen if index < 5 else nothing_seen(seen))
    raw, current = fitted.fit.raw, fitted.fit.current()
    assert not torch.equal(raw.sh_rest, current.sh_rest)
    expected = runner().forward(current, seen.camera, sh_degree=2).color.clone()
    started = fitted.runner.start(fitted.fit, seen, fitted.fit.wanted(NO_RATES), sh_degree=2)
    drawn = started.outcome()
    mse = (expected.double() - seen.image.double() / 255).square().mean()
    assert drawn.mse == pytest.approx(float(mse), rel=1e-6)


def test_moments_in_bytes_decay_as_they_should_on_average() -> None:
    count, fades = 4000, 10
    first, second = 3.1e-6, 2.7e-10
    fitted = Fitted(parameters(count, waves=0, degree=0))
    fit = fitted.fit
    optimizer = fit.optimizers["sh0"]
    assert isinstance(optimizer, SplatOptimizer)
    like = fit.parameters["sh0"].detach()
    packed = packed_moments(torch.full_like(like, first), torch.full_like(like, second))
    optimizer.fill(optimizer.fresh() | packed)
    start = decoded(fit, "sh0")
    for _ in range(fades):
        fitted.step(nothing_seen(photo()))
        fit.catch_up()
    for before, after, beta in zip(start, decoded(fit, "sh0"), (BETA1, BETA2), strict=True):
        expected = beta**fades * before.flatten()[0]
        spread = float(after.std()) / math.sqrt(after.numel())
        # The root is what is right on average, so that its square is a little large.
        assert abs(float(after.mean() - expected)) < 5 * spread + 0.01 * float(expected)
    assert len(decoded(fit, "sh0")[1].unique()) > 1


def test_moments_are_packed_to_the_nearest_byte() -> None:
    for table in (_native.moment_roots(), _native.moment_quotients()):
        numbers = torch.tensor(table)
        assert numbers[0] == 0
        growth = numbers[2:] / numbers[1:-1]
        assert growth.min() > 1
        assert growth.max() <= 1.125
    second = 10.0 ** (-16 * torch.rand(1000, 3) - 3)
    first = torch.randn(1000, 3) * second.sqrt()
    packed = packed_moments(first, second)
    fit = SplatFit(parameters(1000, degree=0), 1)
    optimizer = fit.optimizers["sh0"]
    assert isinstance(optimizer, SplatOptimizer)
    optimizer.fill(optimizer.fresh() | {key: value[:, None] for key, value in packed.items()})
    for found, given in zip(decoded(fit, "sh0"), (first, second), strict=True):
        error = (found[:, 0] - given).abs() / given.abs()
        assert error.median() < 0.08
        assert error.max() < 0.2


def test_only_what_is_visible_steps_where_that_is_asked() -> None:
    fitted = Fitted(visible_only=True)
    hidden = torch.arange(150) % 3 == 0
    with torch.no_grad():
        fitted.fit.parameters["means"][hidden] += 1000
    for index in range(4):
        before = fitted.values()
        seen = fitted.runner.forward(fitted.fit.current(), photo(index % 2).camera, sh_degree=2)
        visible = seen.info["visible"][0].bool().clone()
        assert visible.any()
        fitted.step(photo(index % 2))
        for name, value in fitted.values().items():
            assert torch.equal(value[~visible], before[name][~visible]), name
            assert not torch.equal(value[visible], before[name][visible]), name


class Broken(PhotometricObjective):
    """Whose gradient or loss is not a number."""

    gradient, loss = 1.0, 1.0

    def measure(self, picture: Picture, photo: data.Photo, memory: Memory) -> Measured:
        result = super().measure(picture, photo, memory)
        result.v_color[3, 4] *= self.gradient
        result.means[3] *= self.loss
        return result


@pytest.mark.parametrize(("gradient", "loss"), [(math.nan, 1), (math.inf, 1), (1, math.nan)])
def test_a_step_that_is_not_finite_changes_nothing(gradient: float, loss: float) -> None:
    fitted = Fitted()
    for _ in range(3):
        fitted.step(photo())
    good, broken = fitted.runner, Broken()
    broken.gradient, broken.loss = gradient, loss
    fitted.runner = StepRunner(torch.device("cpu"), RenderSettings(), broken)
    before = fitted.fit.state_dict()
    outcome = fitted.step(photo())
    assert not outcome.changed
    assert outcome.fitted
    after = fitted.fit.state_dict()
    for part in ("raw", "moments"):
        assert same(before[part], after[part])
    fitted.runner = good
    assert fitted.step(photo()).changed
    assert not same(before["raw"], fitted.fit.state_dict()["raw"])


def same(first: Any, second: Any) -> bool:
    if isinstance(first, dict):
        return all(same(first[key], second[key]) for key in first)
    return torch.equal(first, second)


def test_a_splat_that_is_not_finite_has_no_gradient_and_is_told() -> None:
    fitted = Fitted()
    fitted.step(photo())
    with torch.no_grad():
        fitted.fit.parameters["scales"][7] = math.nan
        fitted.fit.parameters["opacities"][9] = math.inf
    before = fitted.values()
    outcome = fitted.step(photo(), terms=Terms(opacity_weight=0.1, scale_weight=0.1))
    assert (outcome.changed, outcome.broken) == (True, True)
    assert math.isfinite(outcome.loss)
    after = fitted.values()
    others = torch.arange(150) != 7
    assert torch.isfinite(after["means"]).all()
    assert all(
        torch.isfinite(value[others]).all() for name, value in after.items() if name != "opacities"
    )
    assert not torch.equal(after["means"], before["means"])
    assert not Fitted().step(photo()).broken


def test_a_fit_goes_on_from_its_state_to_the_bit() -> None:
    fitted, seen = Fitted(), photo()
    for index in range(9):
        fitted.step(seen if index < 4 else nothing_seen(seen))
    other = Fitted(parameters(20))
    other.fit.load_state_dict(fitted.fit.state_dict())
    other.steps = fitted.steps
    for each in (photo(0), seen, photo(2)):
        fitted.step(each)
        other.step(each)
    first, second = fitted.fit.state_dict(), other.fit.state_dict()
    assert all(same(first[part], second[part]) for part in ("raw", "moments", "missed"))
    assert first["adam_steps"] == second["adam_steps"] == [12, 12]


def test_more_steps_than_were_planned_make_room_for_themselves() -> None:
    planned, short = Fitted(), Fitted()
    short.fit = SplatFit(parameters(), 2)
    for index in range(9):
        for fitted in (planned, short):
            fitted.step(photo() if index % 3 == 0 else nothing_seen(photo()))
    assert same(planned.values(), short.values())
    other = SplatFit(parameters(), 1)
    other.load_state_dict(short.fit.state_dict())
    assert not other.full
    assert same(other.current().tensors(), short.values())


def test_waves_have_a_clock_of_their_own() -> None:
    fitted = Fitted()
    for _ in range(30):
        wanted = fitted.fit.wanted(RATES)
        fitted.runner.start(fitted.fit, photo(), wanted, sh_degree=2, waves=False).outcome()
    before = fitted.values()
    fitted.step(photo())
    for name in ("frequencies", "coefficients"):
        change = (fitted.values()[name] - before[name]).abs()
        assert change.max() == pytest.approx(RATES[name], rel=1e-3)  # the first step of Adam
    assert fitted.fit.state_dict()["adam_steps"] == [31, 1]


def test_state_that_is_not_a_fits_is_refused() -> None:
    state = SplatFit(parameters(), 5).state_dict()
    del state["moments"]["shN"]["roots"]
    with pytest.raises(ValueError, match="shN has quotients, not quotients, roots"):
        SplatFit(parameters(), 5).load_state_dict(state)
    state = SplatFit(parameters(), 5).state_dict()
    state["moments"]["means"]["exp_avg"] = torch.zeros(4, 3)
    message = r"exp_avg of means must be \[150, 3\], not \[4, 3\]"
    with pytest.raises(ValueError, match=message):
        SplatFit(parameters(), 5).load_state_dict(state)


def test_an_empty_cloud_takes_a_step() -> None:
    empty = {name: Parameter(tensor[:0].detach()) for name, tensor in parameters().items()}
    outcome = Fitted(empty).step(photo())
    assert outcome.changed
    assert outcome.loss > 0
