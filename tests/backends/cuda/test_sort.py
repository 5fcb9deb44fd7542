"""The sort of the CUDA backend, by the emulator or a GPU, against torch's."""

from __future__ import annotations

import emulated
import pytest
import torch
from torch import Tensor

from gaborsplat.renderer._native import ListTilesArguments, constants, list_blocks
from gaborsplat.renderer.backends.cuda.launcher import Launcher
from gaborsplat.renderer.backends.cuda.sort import DepthOrder, Items, SortPlan, depth_plan
from gaborsplat.renderer.backends.stages import Projected, SplatsToBin
from gaborsplat.renderer.raster.inputs import project_options
from gaborsplat.renderer.settings import RenderSettings

pytestmark = pytest.mark.skipif(not emulated.available(), reason="no C++ compiler")
NUMBERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


@pytest.fixture(scope="module")
def launcher() -> Launcher:
    return emulated.Emulator()


def sort(keys: Tensor, count: int, bits: int, launcher: Launcher) -> tuple[Tensor, Tensor]:
    """The first `count` of keys, sorted, and where they were."""
    plan = SortPlan.of(len(keys), keys.itemsize, bits)
    device = keys.device
    between = (Items.empty(plan.room, plan.key_size, device),) * 2
    spare, result = between[0], Items.empty(plan.room, plan.key_size, device)
    given = Items(
        keys.view(torch.uint8).reshape(-1, keys.itemsize).clone(),
        torch.arange(len(keys), dtype=torch.int32),
    )
    number = torch.tensor([count], dtype=torch.int32)
    first = {"keys": given.keys, "values": given.values, "item_count": number}
    launcher.launch(plan.launches(first, number, (spare, given), result, plan.counters(device)))
    kept = min(count, len(keys))
    return result.keys.view(keys.dtype).flatten()[:kept], result.values[:kept].long()


@pytest.mark.parametrize("count", [0, 1, 2, 33, 2047, 2048, 2049, 5000])
def test_items_come_in_the_order_of_their_keys_and_equal_ones_in_their_own(
    count: int, launcher: Launcher
):
    keys = torch.randint(0, 1000, (max(1, count),), dtype=torch.int32)
    found, places = sort(keys, count, 10, launcher)
    expected, order = torch.sort(keys[:count], stable=True)
    assert torch.equal(found, expected)
    assert torch.equal(places, order)


@pytest.mark.parametrize(("size", "bits"), [(2, 1), (2, 11), (2, 15), (4, 29), (4, 31), (8, 58)])
def test_keys_of_any_size_take_as_many_passes_as_their_bits_need(
    size: int, bits: int, launcher: Launcher
):
    keys = torch.randint(0, 2**bits, (3000,)).to(NUMBERS[size])
    found, places = sort(keys, len(keys), bits, launcher)
    expected, order = torch.sort(keys, stable=True)
    assert torch.equal(found, expected)
    assert torch.equal(places, order)


def test_blocks_by_the_dozen_sort_together(launcher: Launcher):
    keys = torch.randint(0, 4000, (70_000,), dtype=torch.int16)
    found, places = sort(keys, 69_999, 12, launcher)
    expected, order = torch.sort(keys[:69_999], stable=True)
    assert torch.equal(found, expected)
    assert torch.equal(places, order)


def test_what_has_no_room_is_left_out(launcher: Launcher):
    keys = torch.randint(0, 2**16, (2500,), dtype=torch.int32)
    found, _ = sort(keys, 10_000, 16, launcher)
    assert torch.equal(found, keys.sort().values)


def test_equal_keys_by_the_thousand_stay_in_order(launcher: Launcher):
    keys = torch.zeros(4500, dtype=torch.int16)
    _, places = sort(keys, len(keys), 13, launcher)
    assert torch.equal(places, torch.arange(4500))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("near", "far"), [(0.01, 1e10), (0.0, 1e30), (2.0, 3.0), (-1.0, 50.0)])
def test_visible_splats_are_ordered_by_depth_between_any_planes(
    dtype: torch.dtype, near: float, far: float, launcher: Launcher
):
    low, high = max(near, 1e-6), min(far, 1e6)
    depths = (low + (high - low) * torch.rand(2, 1500, dtype=dtype) ** 8).clamp(low, high)
    depths[:, ::7] = depths[0, 0]
    depths[0, 3], depths[1, 4] = low, high
    projected = Projected.empty(2, 1500, 0, dtype, torch.device("cpu"))._replace(depths=depths)
    visible = (torch.rand(2, 1500) < 0.6).to(torch.uint8)
    options = project_options(RenderSettings()).replaced(near_plane=near, far_plane=far)
    splats = SplatsToBin(projected, visible, (64, 64), options, True, False)
    order = DepthOrder.empty(depth_plan(splats), torch.device("cpu"))
    launcher.launch(order.launches(splats))
    seen = visible.flatten().nonzero().squeeze(-1)
    expected = seen[depths.flatten()[seen].sort(stable=True).indices]
    assert int(order.visible_count) == len(seen)
    assert torch.equal(order.splats[: len(seen)].long(), expected)


def test_no_visible_splat_makes_an_empty_order(launcher: Launcher):
    projected = Projected.empty(1, 40, 0, torch.float32, torch.device("cpu"))
    visible = torch.zeros(1, 40, dtype=torch.uint8)
    options = project_options(RenderSettings())
    splats = SplatsToBin(projected, visible, (64, 64), options, True, False)
    order = DepthOrder.empty(depth_plan(splats), torch.device("cpu"))
    launcher.launch(order.launches(splats))
    assert int(order.visible_count) == 0


def test_more_pairs_than_are_counted_are_said_to_be_that_many(launcher: Launcher):
    blocks = 300
    splats, size = blocks * 256 - 5, (64, 64)
    assert list_blocks(splats) == blocks
    projected = Projected.empty(1, splats, 0, torch.float32, torch.device("cpu"))
    numbers = {"tiles": 16, "room": 8, "key_size": 2, "blocks": blocks, "exact": 1}
    pairs = torch.zeros(1, dtype=torch.int32)
    arguments = ListTilesArguments(
        cameras=1,
        splats=splats,
        width=size[0],
        height=size[1],
        **numbers,
        visible=projected.visible,
        radii=projected.radii,
        means2d=projected.means2d,
        conics=projected.conics,
        cutoffs=projected.cutoffs,
        order=torch.zeros(splats, dtype=torch.int32),
        splat_count=torch.tensor([splats], dtype=torch.int32),
        warp_counts=torch.zeros(blocks, constants.LIST_WARPS, dtype=torch.int32),
        block_counts=torch.full((blocks,), 2**24, dtype=torch.int32),
        pair_count=pairs,
        keys=torch.zeros(8, 2, dtype=torch.uint8),
        values=torch.zeros(8, dtype=torch.int32),
        sorted_keys=torch.zeros(8, 2, dtype=torch.uint8),
        splat_ids=torch.zeros(8, dtype=torch.int32),
        offsets=torch.zeros(17, dtype=torch.int64),
    )
    launcher.launch([("scan_tiles", arguments)])
    assert int(pairs) == 2**31 - 1
