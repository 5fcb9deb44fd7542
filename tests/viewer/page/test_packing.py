"""Splats in the bytes of a page."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from scene_page import camera_around
from synthetic import ball

from gaborsplat.renderer.bake import bake, with_fewer_waves
from gaborsplat.renderer.editing.decimating import decimated
from gaborsplat.renderer.editing.merging import with_sh_degree
from gaborsplat.renderer.editing.order import morton_order
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.training import psnr
from gaborsplat.scenes import InputError, SplatMetadata
from gaborsplat.viewer.page.budget import COARSE, packed_within
from gaborsplat.viewer.page.packing import USUAL, Fineness, packed
from gaborsplat.viewer.page.unpacking import unpacked

SETTINGS = RenderSettings()
NOTHING_KNOWN = SplatMetadata()


@pytest.mark.parametrize("waves", [0, 1, 2, 4])
def test_packed_splats_look_as_before(waves: int):
    splats = ball(2000, waves)
    shown = unpacked(packed(splats, SETTINGS, NOTHING_KNOWN))
    for seed in range(3):
        camera = camera_around(seed, (160, 120))
        pictures = [render(each, camera, SETTINGS).color for each in (splats, shown)]
        assert float(psnr(*pictures)) > 34


def test_other_frames_carry_the_same_waves():
    """Half a turn and another naming of axes change numbers, not what is seen."""
    splats = ball(300, 2)
    fine = Fineness(splats_per_entry=0.01, levels=256, error=1e-4)
    shown = unpacked(packed(splats, SETTINGS, NOTHING_KNOWN, fine))
    order = morton_order(splats.means)
    plain, waves = (
        render(each, camera_around(5, (160, 120)), SETTINGS).color
        for each in (splats.select(order).without_waves(), splats.select(order))
    )
    ours_plain, ours = (
        render(each, camera_around(5, (160, 120)), SETTINGS).color
        for each in (shown.without_waves(), shown)
    )
    pair = torch.stack([(waves - plain).flatten(), (ours - ours_plain).flatten()])
    assert float(torch.corrcoef(pair)[0, 1]) > 0.99


def test_the_same_splats_give_the_same_bytes():
    splats = ball(500, 1)
    assert packed(splats, SETTINGS, NOTHING_KNOWN) == packed(splats, SETTINGS, NOTHING_KNOWN)


def test_one_splat_is_a_scene():
    splats = ball(1, 2)
    shown = unpacked(packed(splats, SETTINGS, NOTHING_KNOWN))
    torch.testing.assert_close(shown.means, splats.means)
    torch.testing.assert_close(shown.opacities, splats.opacities, atol=0.003, rtol=0)


def test_flat_splats_and_far_ones_do_not_coarsen_the_others():
    splats = ball(2000, 0)
    means, scales = splats.means.clone(), splats.scales.clone()
    means[0], scales[1, 0] = 1e4, 0
    odd = dataclasses.replace(splats, means=means, scales=scales)
    shown = unpacked(packed(odd, SETTINGS, NOTHING_KNOWN))
    camera = camera_around(2, (160, 120))
    pictures = [render(each, camera, SETTINGS).color for each in (splats, shown)]
    assert float(psnr(*pictures)) > 34


@pytest.mark.parametrize("fineness", [USUAL, COARSE])
def test_splats_without_waves_get_none_and_a_few_with_waves_keep_theirs(fineness: Fineness):
    splats = ball(3000, 2)
    coefficients = torch.zeros_like(splats.coefficients)
    coefficients[7] = torch.tensor([[0.8, -0.3], [0.2, 0.5]])
    few = dataclasses.replace(splats, coefficients=coefficients)
    shown = unpacked(packed(few, SETTINGS, NOTHING_KNOWN, fineness)).coefficients
    assert (shown.abs().sum(dim=(1, 2)) > 0).sum() == 1
    assert shown.abs().max() == pytest.approx(0.8, rel=0.05)


def test_a_budget_is_kept_and_costs_more_the_smaller_it_is():
    splats = ball(3000, 2)
    cameras = [camera_around(seed, (120, 90)) for seed in range(4)]
    whole = len(packed(splats, SETTINGS, NOTHING_KNOWN))
    errors: list[float] = []
    told: list[str] = []
    for share in (1.0, 0.7, 0.3, 0.1):
        found = packed_within(splats, SETTINGS, NOTHING_KNOWN, cameras, int(share * whole))
        assert len(found.data) <= share * whole
        shown = unpacked(found.data)
        pictures = [render(each, cameras[0], SETTINGS).color for each in (splats, shown)]
        errors.append(float((pictures[0] - pictures[1]).square().mean()))
        told.append(found.told)
    assert errors == sorted(errors)
    assert not told[0] and all(told[1:])


def test_a_budget_for_nothing_is_refused():
    splats = ball(500, 0, degree=0)
    with pytest.raises(InputError, match="--budget"):
        packed_within(splats, SETTINGS, NOTHING_KNOWN, [camera_around(0, (40, 30))], 50)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_strongest_waves_are_kept_and_from_far_away_nothing_changes(count: int):
    splats = ball(200, 4)
    few = with_fewer_waves(splats, count)
    strongest = splats.coefficients.norm(dim=-1).argsort(dim=1, descending=True)[:, :count]
    rows = torch.arange(len(splats))[:, None]
    torch.testing.assert_close(few.frequencies, splats.frequencies[rows, strongest])
    # Which is what bake leaves; an opacity above 1 would have had to be cut.
    within = few.opacities < 1
    assert within.sum() > 150
    torch.testing.assert_close(bake(few).opacities[within], bake(splats).opacities[within])


@pytest.mark.parametrize("waves", [0, 2])
@pytest.mark.parametrize("share", [0.6, 0.35])
def test_what_a_budget_leaves_out_costs_no_more_than_what_else_could_be_left_out(
    waves: int, share: float
):
    splats = ball(3000, waves)
    cameras = [camera_around(seed, (120, 90)) for seed in range(4)]
    most = int(share * len(packed(splats, SETTINGS, NOTHING_KNOWN)))
    wanted = [render(splats, camera, SETTINGS).color for camera in cameras]

    def quality(data: bytes) -> float:
        shown = unpacked(data)
        pictures = [render(shown, camera, SETTINGS).color for camera in cameras]
        return float(psnr(torch.cat(pictures), torch.cat(wanted)))

    found = packed_within(splats, SETTINGS, NOTHING_KNOWN, cameras, most)
    for degree, fewer in ((3, waves), (0, waves), (0, 0)):
        thin = few = with_sh_degree(with_fewer_waves(splats, fewer), degree)
        while len(data := packed(few, SETTINGS, NOTHING_KNOWN, COARSE)) > most:
            few = decimated(thin, cameras, int(0.95 * len(few)), SETTINGS)
        assert quality(found.data) > quality(data) - 0.5
