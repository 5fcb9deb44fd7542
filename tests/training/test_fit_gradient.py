"""The training step's direct path through the passes, against autograd's."""

from __future__ import annotations

import pytest
import synthetic
import torch
from drawing import rasterized
from tolerances import GRADIENT, assert_gradients_close
from torch.nn import Parameter

from gaborsplat.renderer.losses import photometric_loss
from gaborsplat.renderer.parameters import activate, deactivate
from gaborsplat.renderer.raster.gradient import compare, draw
from gaborsplat.renderer.settings import RenderSettings

pytestmark = pytest.mark.usefixtures("device")

DEGREE = 2
WEIGHT = 0.3


@pytest.mark.parametrize("background", [(0.0, 0.0, 0.0), (0.2, 0.9, 0.4)])
@pytest.mark.parametrize("masked", [False, True])
def test_the_gradient_of_a_training_step_is_that_of_autograd(
    waves: int, background: tuple[float, float, float], masked: bool
):
    raw = {
        name: Parameter(tensor)
        for name, tensor in deactivate(synthetic.cloud(60, waves, degree=DEGREE)).items()
    }
    camera = synthetic.camera()
    width, height = camera.size
    image = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8)
    mask = torch.rand(height, width) > 0.2 if masked else None
    settings = RenderSettings(background=background)

    picture = draw(raw, camera, settings, sh_degree=DEGREE, waves=True)
    judgement, gradients = compare(picture, image, mask, WEIGHT)

    color, _, info = rasterized(
        activate(raw),
        [camera],
        packed=False,
        backgrounds=torch.tensor([background], dtype=torch.float64),
    )
    info["means2d"].retain_grad()
    loss = photometric_loss(color[0], image.double() / 255, mask, WEIGHT)
    loss.backward()

    assert judgement.loss.item() == pytest.approx(loss.item(), rel=1e-12)
    expected = {name: tensor.grad for name, tensor in raw.items() if tensor.numel()}
    actual = {name: gradient for name, gradient in gradients.items() if gradient.numel()}
    assert_gradients_close(actual, expected, GRADIENT)
    seen = {"means2d": picture.info["means2d"].grad}
    assert_gradients_close(seen, {"means2d": info["means2d"].grad}, GRADIENT)


def test_without_waves_the_splats_are_drawn_as_gaussians():
    splats = synthetic.cloud(40, 2)
    raw, plain = deactivate(splats), deactivate(splats.without_waves())
    camera, settings = synthetic.camera(), RenderSettings()
    bare = draw(raw, camera, settings, sh_degree=0, waves=False)
    assert torch.equal(bare.color, draw(plain, camera, settings, sh_degree=0, waves=True).color)
    assert not torch.equal(bare.color, draw(raw, camera, settings, sh_degree=0, waves=True).color)
