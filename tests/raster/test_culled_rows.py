"""What passes leave in the rows of splats that are not in the picture."""

from __future__ import annotations

import pytest
import torch
from fitting import blobs, looking_at_origin

from gaborsplat.renderer.backends.memory import Workspace
from gaborsplat.renderer.backends.registry import backend_for
from gaborsplat.renderer.cameras import Cameras
from gaborsplat.renderer.raster.backward import backward
from gaborsplat.renderer.raster.forward import Rasterized, RasterOptions, forward
from gaborsplat.renderer.raster.inputs import SplatsInView
from gaborsplat.renderer.raster.passes import Passes
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Harmonics

pytestmark = pytest.mark.usefixtures("device")

OPTIONS = RasterOptions.of(RenderSettings(), gradient=True)
NEAR, FAR = (0.1, 0.2, -0.5), (3.0, 1.0, -4.0)
"""From the first of these, most splats are not in the picture."""


def seen_from(centre: tuple[float, float, float]) -> SplatsInView:
    splats = blobs()
    cameras = Cameras.of(looking_at_origin(centre))
    return SplatsInView(splats.geometry, Harmonics(splats.sh), 0, cameras, OPTIONS.project)


def drawn_and_back(
    passes: Passes, view: SplatsInView
) -> tuple[Rasterized, dict[str, torch.Tensor]]:
    with torch.no_grad():
        drawn = forward(passes, view, OPTIONS)
        upstream = torch.linspace(-1, 1, drawn.image.numel()).reshape(drawn.image.shape)
        _, v = backward(passes, view, drawn, (upstream, None), OPTIONS)
    gradients = {name: getattr(v, name).clone() for name in ("means", "quats", "scales", "sh0")}
    return drawn, gradients


def test_nothing_of_an_earlier_picture_gets_into_a_later_one():
    backend = backend_for(torch.device("cpu"))
    passes = Passes(backend, Workspace(), skip_culled=True)
    for centre in (FAR, NEAR, FAR, NEAR):
        view = seen_from(centre)
        drawn, gradients = drawn_and_back(passes, view)
        expected, expected_gradients = drawn_and_back(Passes(backend), view)
        assert torch.equal(drawn.image, expected.image)
        assert torch.equal(drawn.shaded.projected.radii, expected.shaded.projected.radii)
        for name, gradient in expected_gradients.items():
            assert torch.allclose(gradients[name], gradient, rtol=1e-4, atol=1e-5), name


def test_rows_that_are_handed_out_are_zero():
    drawn, gradients = drawn_and_back(Passes(backend_for(torch.device("cpu"))), seen_from(NEAR))
    culled = drawn.shaded.visible[0] == 0
    assert 20 < culled.sum() < 120
    p = drawn.shaded.projected
    for rows in (p.means2d, p.depths, p.conics, p.opacities, p.cutoffs, p.radii):
        assert not rows[0][culled].any()
    assert drawn.shaded.colors is not None
    assert not drawn.shaded.colors[0][culled].any()
    for name, gradient in gradients.items():
        assert not gradient[culled].any(), name
