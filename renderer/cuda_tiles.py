"""The CUDA backend's lists of the splats that touch a tile. Sorting and running sums are torch's.

How long the lists are is known on the GPU alone. Waiting for the number would leave the GPU idle,
so they get room for as many as the last picture of this size needed, and a margin; the number is
read when everything that uses them has been queued. Where they were too short, `Tiles.whole` says
so, and the picture is drawn again.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from . import _native
from .kernels import blocks, run
from .stages import Projected, Tiles
from .types import RenderSettings

MARGIN = 1.25
"""Room per number of pairs that was needed."""
FADING = 0.95
"""What is left of an earlier need after each picture: views of one scene differ."""
_TILE = _native.constants.TILE_SIZE  # [px]
_THREADS = 128
_needed: dict[tuple[object, ...], float] = {}
"""Pairs of splat and tile that pictures needed lately, by device, number and size of pictures."""


def bin_to_tiles(
    projected: Projected, size: tuple[int, int], settings: RenderSettings, *, gradient: bool
) -> Tiles:
    """As `cpu.bin_to_tiles`, but the lists may be too short, which `Tiles.whole` finds out. Waits
    for the GPU when there was no picture of this size before."""
    p = projected
    cameras, splats = p.depths.shape
    width, height = size
    everything = p.depths.numel()
    arguments: dict[str, object] = {
        "radii": p.radii,
        "means2d": p.means2d,
        "conics": p.conics,
        "cutoffs": p.cutoffs,
        "all": everything,
        "width": width,
        "height": height,
        "exact": int(settings.extent == "exact"),
    }
    grid = (blocks(everything, _THREADS), 1)
    counts = p.radii.new_empty(everything, dtype=torch.int64)
    run("tiles", "count_tiles", grid, arguments | {"counts": counts}, real=p.depths.dtype)
    first_slot = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    key = (p.depths.device, cameras, size)
    length = _reader(first_slot[-1:], key)
    tile_count = cameras * blocks(width, _TILE) * blocks(height, _TILE)
    room = int(MARGIN * _needed[key]) if key in _needed else length()
    room = min(room, everything * tile_count)

    order = _front_to_back(p)
    ends = counts[order].cumsum(0)
    # What is not listed belongs to a tile after the last.
    tiles = p.radii.new_full((room,), tile_count)
    ids, slots = torch.zeros_like(tiles), torch.empty_like(tiles) if gradient else None
    listed = {"order": order, "ends": ends, "first_slot": first_slot, "splats": splats}
    written = {"tiles": tiles, "splat_ids": ids, "slots": slots, "room": room}
    if room:
        run("tiles", "list_tiles", grid, arguments | listed | written, real=p.depths.dtype)
    keys = tiles if tile_count >= 2**15 else tiles.to(torch.int16)
    keys, places = keys.sort(stable=True)
    ends_of = torch.arange(tile_count + 1, device=keys.device, dtype=torch.int32).to(keys.dtype)
    none = tiles.new_empty(0)
    return Tiles(
        splat_ids=ids[places],
        offsets=torch.searchsorted(keys, ends_of),
        slots=none if slots is None else slots[places],
        first_slot=first_slot if gradient else none.to(torch.int64),
        length=length,
    )


def _reader(total: Tensor, key: tuple[object, ...]) -> Callable[[], int]:
    """What gives the number in `total` [1], once the GPU has it, and remembers it for `key`.

    It is on its way to the host from now on, behind what is queued already and nothing else.
    """
    if total.is_cuda:
        number = torch.empty(1, dtype=total.dtype, pin_memory=True)
        number.copy_(total, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record(torch.cuda.current_stream(total.device))
        wait = arrived.synchronize
    else:
        number, wait = total, lambda: None

    def length() -> int:
        wait()
        pairs = int(number)
        if pairs >= 2**31:
            raise ValueError("the splats touch more than 2^31 tiles")
        _needed[key] = max(pairs, FADING * _needed.get(key, 0.0))
        return pairs

    return length


def _front_to_back(p: Projected) -> Tensor:
    """Indices [M] into the splats of all cameras, camera by camera and then by depth; those of
    equal depth in the order of their indices."""
    culled = p.radii[..., 0] == 0
    # The bits of positive numbers have their order; sorting integers is a radix sort.
    bits = p.depths.view(torch.int32 if p.depths.dtype == torch.float32 else torch.int64)
    keys = bits.masked_fill(culled, torch.iinfo(bits.dtype).max)
    order = keys.sort(dim=-1, stable=True).indices
    starts = torch.arange(p.depths.shape[0], device=order.device) * p.depths.shape[1]
    return (order + starts[:, None]).flatten()
