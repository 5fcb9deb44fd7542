"""Losses that others bring: any function in torch of a picture's colour, alpha and depth."""

from __future__ import annotations

import pytest
import torch
from fitting import SmallCapture, small_capture
from stepping import RATES, Fitted, parameters, photo
from synthetic import camera, cloud
from tolerances import GRADIENT, assert_gradients_close
from torch import Tensor
from torch.nn import Parameter

import gaborsplat as gs
from gaborsplat.renderer.splats import RawSplats
from gaborsplat.renderer.training.data import Photo
from gaborsplat.renderer.training.step.objective import Objective, Picture, TorchObjective
from gaborsplat.renderer.training.step.runner import StepRunner

WEIGHT = 0.3
SETTINGS = gs.RenderSettings(background=(0.2, 0.9, 0.4))


def photometric(picture: Picture, photo: Photo) -> Tensor:
    """What the fused objective finds."""
    return gs.photometric_loss(picture.color, photo.image, photo.mask, WEIGHT)


def seen_whole(picture: Picture, photo: Photo) -> dict[str, Tensor]:
    """Terms that look at all there is of a picture."""
    assert picture.depth is not None
    depth = picture.depth / (picture.alpha + 1e-3)
    return {
        "color": (picture.color - photo.image.to(picture.color) / 255).square().mean(),
        "alpha": 0.1 * (picture.alpha - 0.5).square().mean(),
        "depth": 0.01 * depth.mean(),
    }


def photo_of(raw: RawSplats, masked: bool = False) -> Photo:
    width, height = camera().size
    image = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8)
    mask = torch.rand(height, width) > 0.2 if masked else None
    return Photo(camera().to(raw.means.dtype), image, mask)


def raw_cloud(waves: int) -> tuple[RawSplats, dict[str, Parameter]]:
    tensors = RawSplats.standing_for(cloud(60, waves, degree=2)).tensors()
    found = {name: Parameter(tensor) for name, tensor in tensors.items()}
    return RawSplats.of(found), found


def gradients(raw: RawSplats, seen: Photo, objective: Objective) -> dict[str, Tensor]:
    runner = StepRunner(raw.means.device, SETTINGS, objective)
    picture = runner.forward(raw, seen.camera, sh_degree=2)
    found = runner.backward(picture, seen)[1]
    return {name: each.clone() for name, each in found.items() if each.numel()}


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("masked", [False, True])
def test_the_photometric_loss_in_torch_has_the_gradients_of_the_fused_one(
    waves: int, masked: bool
) -> None:
    raw, _ = raw_cloud(waves)
    seen = photo_of(raw, masked)
    fused = gradients(raw, seen, gs.PhotometricObjective(WEIGHT))
    assert_gradients_close(gradients(raw, seen, TorchObjective(photometric)), fused, GRADIENT)


@pytest.mark.usefixtures("device")
def test_terms_of_colour_alpha_and_depth_have_the_gradients_of_autograd(waves: int) -> None:
    raw, known = raw_cloud(waves)
    seen = photo_of(raw)
    frame = gs.render(raw.activated(), seen.camera, SETTINGS)
    expected_depth = frame.depth
    assert expected_depth is not None
    # `gs.render` gives the mean depth of what is seen, an objective its sum.
    drawn = Picture(frame.color, 1 - frame.alpha, expected_depth * frame.alpha)
    torch.stack([*seen_whole(drawn, seen).values()]).sum().backward()
    expected = {n: each.grad for n, each in known.items() if each.numel() and each.grad is not None}
    found = gradients(raw, seen, TorchObjective(seen_whole, depth=True))
    assert_gradients_close(found, expected, 10 * GRADIENT)


@pytest.mark.usefixtures("device")
def test_a_step_follows_such_a_loss() -> None:
    seen, fitted = photo(), Fitted(parameters(waves=0))
    fitted.runner = StepRunner(torch.device("cpu"), gs.RenderSettings(), TorchObjective(deep))
    raw, before = fitted.fit.current(), fitted.values()
    picture = fitted.runner.forward(raw, seen.camera, sh_degree=2)
    gradient = fitted.runner.backward(picture, seen)[1]["means"].clone()
    outcome = fitted.step(seen)
    assert outcome.changed
    assert outcome.terms.keys() == {"nearer"}
    assert outcome.loss == pytest.approx(outcome.terms["nearer"])
    # The first step of Adam is the sign's; some gradients are nothing but rounding.
    moved = (fitted.values()["means"] - before["means"]) / -RATES["means"]
    clear = gradient.abs() > 1e-4 * gradient.abs().max()
    assert clear.double().mean() > 0.5
    assert torch.allclose(moved[clear], gradient.sign()[clear], atol=1e-2)


def deep(picture: Picture, photo: Photo) -> dict[str, Tensor]:
    assert photo.rgb.max() <= 1
    return {"nearer": picture.alpha.mean() + picture.color.square().mean()}


def test_a_run_with_a_loss_in_torch_ends_where_the_fused_one_does() -> None:
    capture = small_capture()
    config = gs.TrainConfig(steps=40, max_splats=150, gabor=0, noise=0.0, ssim_weight=WEIGHT)
    fused = gs.train(capture, config, device="cpu")
    found = gs.train(capture, config, device="cpu", objective=TorchObjective(photometric))
    assert found.evaluation.psnr == pytest.approx(fused.evaluation.psnr, abs=0.1)


def test_a_loss_that_forgets_the_picture_moves_nothing() -> None:
    fitted = Fitted()
    apart = TorchObjective(lambda picture, photo: torch.tensor(1.0))
    fitted.runner = StepRunner(torch.device("cpu"), gs.RenderSettings(), apart)
    before = fitted.values()
    assert fitted.step(photo()).loss == 1
    assert all(torch.equal(value, before[name]) for name, value in fitted.values().items())


@pytest.mark.parametrize(
    ("gives", "message"),
    [
        (lambda picture, photo: picture.color, r"loss of an objective must be a scalar, not \["),
        (lambda picture, photo: {"a": picture.alpha}, r"a of an objective must be a scalar"),
        (lambda picture, photo: {}, "at least one term"),
    ],
)
def test_what_is_no_loss_is_refused_in_one_line(gives: object, message: str) -> None:
    fitted = Fitted()
    wrong = TorchObjective(gives)  # pyright: ignore[reportArgumentType]
    fitted.runner = StepRunner(torch.device("cpu"), gs.RenderSettings(), wrong)
    with pytest.raises(ValueError, match=message):
        fitted.step(photo())


@pytest.fixture
def capture() -> SmallCapture:
    return small_capture()


def test_a_report_names_the_terms(capture: SmallCapture) -> None:
    config = gs.TrainConfig(steps=4, max_splats=150, gabor=0)
    ours = gs.Trainer(capture, config).step()
    assert ours.terms == {"photometric": ours.loss}
    theirs = gs.Trainer(capture, config, objective=TorchObjective(seen_whole, depth=True)).step()
    assert theirs.terms.keys() == {"color", "alpha", "depth"}
    assert sum(theirs.terms.values()) == pytest.approx(theirs.loss, rel=1e-5)
