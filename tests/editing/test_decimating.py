"""The splats that add most to pictures are kept, and fitted to what all of them showed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import synthetic
import torch
from fitting import blobs, looking_at_origin
from torch import Tensor

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.editing.decimating import contributions, decimated
from gaborsplat.renderer.editing.merging import merged
from gaborsplat.renderer.losses import psnr
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.reference import render_reference
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import SH_C0, Splats
from gaborsplat.renderer.training import refitted

SETTINGS = RenderSettings(background=(0.3, 0.2, 0.1))


def around() -> list[Camera]:
    places = [(0.0, 0.0, -4.0), (4.0, 0.5, 0.0), (0.0, 1.0, 4.0), (-4.0, -0.5, 0.0)]
    return [looking_at_origin(place) for place in places]


@pytest.mark.usefixtures("device")
def test_what_a_splat_adds_is_the_sum_of_its_weights_over_the_pixels(waves: int):
    splats = synthetic.cloud(30, waves, degree=1)
    cameras = [synthetic.camera(), synthetic.camera(size=(20, 30))]
    found = contributions(splats, cameras, SETTINGS)
    dc = torch.zeros(30, 1, 3, dtype=torch.float64, requires_grad=True)
    plain = replace(splats, sh=dc)
    red = sum(render_reference(plain, camera, SETTINGS).color[..., 0].sum() for camera in cameras)
    assert isinstance(red, Tensor)
    red.backward()
    assert dc.grad is not None
    assert torch.allclose(found, dc.grad[:, 0, 0] / SH_C0, rtol=1e-9, atol=1e-9)


def scene() -> Splats:
    """Blobs, and as many that cannot be seen: they are inside, behind or next to nothing."""
    seen = blobs(60)
    faint = replace(blobs(60, seed=1), opacities=torch.full((60,), 0.004))
    return merged([faint, seen])


@pytest.mark.usefixtures("device")
def test_what_nobody_sees_is_dropped_first():
    kept = decimated(scene(), around(), 60, SETTINGS)
    assert torch.equal(kept.means, scene().means[60:])
    for camera in around():
        before, after = (render(each, camera, SETTINGS).color for each in (scene(), kept))
        assert psnr(after, before) > 40


def test_nothing_is_dropped_where_there_is_nothing_to_drop():
    splats = scene()
    assert decimated(splats, around(), 120) is splats
    with pytest.raises(ValueError, match="at least 1 splat"):
        decimated(splats, around(), 0)
    with pytest.raises(ValueError, match="no cameras"):
        decimated(splats, [], 5)


@pytest.mark.parametrize("count", [0, 2])
def test_what_is_left_is_fitted_to_what_there_was(count: int):
    original = synthetic.with_idle_waves(blobs(80), count)
    few = decimated(original, around(), 50, SETTINGS)
    fitted = refitted(few, original, around(), SETTINGS, steps=60)
    assert (len(fitted), fitted.waves, fitted.sh_degree) == (50, count, few.sh_degree)

    def quality(splats: Splats) -> float:
        images = [
            [render(each, c, SETTINGS).color for each in (splats, original)] for c in around()
        ]
        return sum(float(psnr(one, other)) for one, other in images) / len(images)

    assert quality(fitted) > quality(few) + 2
