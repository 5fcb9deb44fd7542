"""Which splats are put together, kept and dropped."""

from __future__ import annotations

import math

import pytest
import synthetic
import torch
from tolerances import EXACT, assert_frames_close
from torch import Tensor

from gaborsplat.renderer.editing.choosing import cropped, outliers, pruned
from gaborsplat.renderer.editing.merging import merged, with_sh_degree, with_waves
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.splats import Splats


def cloud(means: Tensor, scale: float | Tensor = 0.01) -> Splats:
    """Round splats."""
    count = len(means)
    sizes = torch.as_tensor(scale).expand(count)[:, None].expand(count, 3)
    return Splats(
        means=means,
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(count, 4),
        scales=sizes.to(means),
        opacities=torch.full((count,), 0.5),
        sh=torch.zeros(count, 1, 3),
        frequencies=torch.zeros(count, 0, 3),
        coefficients=torch.zeros(count, 0, 2),
    )


def ball(count: int) -> Tensor:
    return torch.randn(count, 3)


def shell(count: int, radius: float) -> Tensor:
    return radius * torch.nn.functional.normalize(torch.randn(count, 3), dim=1)


def test_merged_clouds_of_any_degree_and_waves_look_as_they_do_together():
    first = synthetic.cloud(20, 1, degree=3, seed=1)
    second = synthetic.cloud(30, 4, degree=1, seed=2).scaled(1.001)  # no two at one depth
    third = synthetic.cloud(10, 0, degree=0, seed=3).scaled(0.999)
    found = merged([first, second, third])
    assert (len(found), found.sh_degree, found.waves) == (60, 3, 4)
    together = synthetic.join(
        *(with_waves(with_sh_degree(each, 3), 4) for each in (third, first, second))
    )
    camera = synthetic.camera()
    assert_frames_close(render(found, camera), render(together, camera), EXACT)
    for part, original in ((found.select(torch.arange(20, 50)), second),):
        assert_frames_close(render(part, camera), render(original, camera), EXACT)


def test_clouds_that_do_not_fit_each_other_are_not_merged():
    cloud = synthetic.cloud(3)
    with pytest.raises(ValueError, match="one type"):
        merged([cloud, cloud.to(torch.float32)])
    with pytest.raises(ValueError, match="no splats"):
        merged([])


def test_lower_harmonics_are_those_that_there_were():
    splats = synthetic.cloud(5, 1, degree=3)
    lower = with_sh_degree(splats, 1)
    assert lower.sh_degree == 1
    assert torch.equal(lower.sh, splats.sh[:, :4])
    with pytest.raises(ValueError, match="0 to 3, not 4"):
        with_sh_degree(splats, 4)


def test_a_box_keeps_the_centres_in_it_and_on_its_border():
    splats = cloud(torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.1]]))
    kept = cropped(splats, (0, 0, 0), (1, 2, 3))
    assert torch.equal(kept.means, splats.means[:2])


@pytest.mark.parametrize(
    ("low", "high", "fact"),
    [
        ((0, 0, 0), (1, 0, 1), "y0 below y1, not y0 = 0 and y1 = 0"),
        ((0, 0, math.nan), (1, 1, 1), "six finite numbers"),
        ((0, 0), (1, 1), "six finite numbers"),
    ],
)
def test_corners_that_are_no_box_are_refused(
    low: tuple[float, ...], high: tuple[float, ...], fact: str
):
    with pytest.raises(ValueError, match=fact):
        cropped(cloud(ball(3)), low, high)


def test_faint_and_large_splats_are_pruned():
    splats = synthetic.cloud(60, 1)
    kept = pruned(splats, min_opacity=0.6, max_scale=0.3)
    expected = [
        index
        for index, (opacity, scales) in enumerate(zip(splats.opacities, splats.scales, strict=True))
        if opacity >= 0.6 and max(scales) <= 0.3
    ]
    assert 0 < len(expected) < 60
    assert torch.equal(kept.means, splats.means[expected])
    assert pruned(splats).means.shape == splats.means.shape
    for wrong in ({"min_opacity": 1.1}, {"max_scale": 0.0}, {"max_scale": math.nan}):
        with pytest.raises(ValueError, match="must be"):
            pruned(splats, **wrong)


@pytest.mark.parametrize("distance", [1e3, 1e6, 1e15, 1e30, math.inf])
@pytest.mark.parametrize("count", [60, 4000])
def test_one_far_splat_is_a_stray_and_no_other(distance: float, count: int):
    means = ball(count)
    means[7, 0] = distance
    assert outliers(cloud(means)).nonzero().flatten().tolist() == [7]


def test_a_long_thread_from_far_away_is_a_stray():
    splats = cloud(ball(4000))
    splats.means[0, 0] = 1e4
    scales = splats.scales.clone()
    scales[0] = torch.tensor([1e4, 0.03, 0.01])
    assert outliers(Splats(**{**splats.tensors(), "scales": scales})).sum() == 1


@pytest.mark.parametrize("radius", [15.0, 100.0, 1e3, 1e4])
@pytest.mark.parametrize("share", [0.002, 0.05, 0.4])
def test_sky_is_no_stray_however_far_and_however_many(radius: float, share: float):
    """Splats of sky are as large as their distance from each other, or finer."""
    count = 20_000
    sky = int(share * count)
    means = torch.cat([ball(count - sky), shell(sky, radius)])
    for size in (radius / math.sqrt(sky), 1e-4 * radius):
        scales = torch.full((count,), 0.01)
        scales[count - sky :] = size
        assert not outliers(cloud(means, scales)).any()


def test_five_large_splats_of_sky_are_no_strays():
    means = torch.cat([ball(20_000), shell(5, 500.0)])
    scales = torch.full((20_005,), 0.01)
    scales[-5:] = 300.0
    assert not outliers(cloud(means, scales)).any()


@pytest.mark.parametrize("tail", [3.0, 2.0, 1.0])
def test_scenes_that_thin_out_slowly_lose_next_to_nothing(tail: float):
    """Distances by a power law, P(r > R) ~ R^-tail: with 1, a share of 1e-4 is beyond 10,000."""
    count = 50_000
    means = shell(count, 1.0) * (torch.rand(count, 1) ** (-1 / tail))
    found = outliers(cloud(means))
    assert int(found.sum()) <= {3.0: 2, 2.0: 8, 1.0: 50}[tail]
    distances = means.norm(dim=1)
    assert not found[distances < 10 * distances.quantile(0.9)].any()


def test_a_scene_without_extent_has_no_strays():
    assert not outliers(cloud(torch.ones(5, 3))).any()
    assert not outliers(cloud(torch.zeros(0, 3))).any()
    assert not outliers(cloud(torch.tensor([[0.0, 0, 0], [1, 0, 0]]))).any()
