"""The training step's direct path through the passes, against autograd's."""

from __future__ import annotations

import pytest
import synthetic
import torch
from drawing import rasterized
from tolerances import GRADIENT, assert_gradients_close
from torch.nn import Parameter

from gaborsplat.renderer.losses import photometric_loss
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import RawSplats
from gaborsplat.renderer.training.data import Photo
from gaborsplat.renderer.training.step.objective import PhotometricObjective
from gaborsplat.renderer.training.step.runner import StepRunner

pytestmark = pytest.mark.usefixtures("device")

DEGREE = 2
WEIGHT = 0.3


@pytest.mark.parametrize("background", [(0.0, 0.0, 0.0), (0.2, 0.9, 0.4)])
@pytest.mark.parametrize("masked", [False, True])
def test_the_gradient_of_a_training_step_is_that_of_autograd(
    waves: int, background: tuple[float, float, float], masked: bool
):
    splats = synthetic.cloud(60, waves, degree=DEGREE)
    parameters = {
        name: Parameter(tensor) for name, tensor in RawSplats.standing_for(splats).tensors().items()
    }
    raw = RawSplats.of(parameters)
    camera = synthetic.camera()
    width, height = camera.size
    image = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8)
    mask = torch.rand(height, width) > 0.2 if masked else None
    settings = RenderSettings(background=background)

    runner = StepRunner(raw.means.device, settings, PhotometricObjective(WEIGHT))
    picture = runner.forward(raw, camera, sh_degree=DEGREE)
    result, gradients = runner.backward(picture, Photo(camera, image, mask))

    color, _, info = rasterized(
        raw.activated(),
        [camera],
        packed=False,
        backgrounds=torch.tensor([background], dtype=torch.float64),
    )
    info["means2d"].retain_grad()
    loss = photometric_loss(color[0], image.double() / 255, mask, WEIGHT)
    loss.backward()

    assert float(result.means[3]) == pytest.approx(loss.item(), rel=1e-12)
    expected = {name: tensor.grad for name, tensor in parameters.items() if tensor.numel()}
    actual = {name: gradient for name, gradient in gradients.items() if gradient.numel()}
    assert_gradients_close(actual, expected, GRADIENT)
    seen = {"means2d": picture.info["means2d"].grad}
    assert_gradients_close(seen, {"means2d": info["means2d"].grad}, GRADIENT)


def test_without_waves_the_splats_are_drawn_as_gaussians():
    splats = synthetic.cloud(40, 2)
    camera, runner = synthetic.camera(), StepRunner(splats.means.device, RenderSettings())

    def color(raw: RawSplats) -> torch.Tensor:
        return runner.forward(raw, camera, sh_degree=0).color.clone()

    raw, plain = RawSplats.standing_for(splats), RawSplats.standing_for(splats.without_waves())
    bare = color(raw.without_waves())
    assert torch.equal(bare, color(plain))
    assert not torch.equal(bare, color(raw))
