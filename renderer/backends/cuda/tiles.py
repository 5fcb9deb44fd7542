"""The CUDA backend's lists of the splats that touch a tile. Sorting and running sums are torch's.

How long the lists are is known on the GPU alone. Waiting for the number would leave the GPU idle,
so they get room for as many as the last picture of this size needed, and a margin; the number is
read when everything that uses them has been queued. Where they were too short, `Tiles.whole` says
so, and the picture is drawn again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ... import _native
from ...settings import RenderSettings
from ..stages import Projected, Tiles
from .kernels import blocks, run

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
    """As `cpu.bin_to_tiles`, but the lists may be too short, which `Tiles.whole` finds out; and
    places for the gradient are listed only if it has to be deterministic. Waits for the GPU when
    there was no picture of this size before."""
    p = projected
    (cameras, splats), (width, height) = p.depths.shape, size
    everything, real = p.depths.numel(), p.depths.dtype
    tile_count = cameras * blocks(width, _TILE) * blocks(height, _TILE)
    empty = p.radii.new_empty(0)
    if everything == 0:
        offsets = p.radii.new_zeros(tile_count + 1, dtype=torch.int64)
        return Tiles(empty, offsets, empty, offsets[:1])
    slotted = gradient and torch.are_deterministic_algorithms_enabled()
    arguments: dict[str, object] = {
        "radii": p.radii,
        "means2d": p.means2d,
        "conics": p.conics,
        "cutoffs": p.cutoffs,
        "order": _front_to_back(p.depths),
        "all": everything,
        "splats": splats,
        "width": width,
        "height": height,
        "exact": int(settings.extent == "exact"),
    }
    grid = (blocks(everything, _THREADS), 1)
    counts = p.radii.new_empty(everything, dtype=torch.int64)
    of_splat = torch.empty_like(counts) if slotted else None
    counted = {"counts": counts, "of_splat": of_splat}
    run("tiles", "count_tiles", grid, arguments | counted, real=real)
    ends = counts.cumsum(0)
    key = (p.depths.device, cameras, size)
    length = _reader(ends[-1:], key)
    room = int(MARGIN * _needed[key]) if key in _needed else length()
    room = min(room, everything * tile_count)

    first_slot = empty.long()
    if of_splat is not None:
        first_slot = torch.nn.functional.pad(of_splat.cumsum(0), (1, 0))
    lists = _Lists.empty(room, tile_count, p.radii, slotted=slotted)
    listed = {"ends": ends, "first_slot": first_slot, "room": room, "tiles": tile_count}
    if room:
        run("tiles", "list_tiles", grid, arguments | listed | vars(lists), real=real)
    return lists.by_tile(tile_count, first_slot, real, length)


@dataclass(frozen=True)
class _Lists:
    """Pairs of splat and tile in the order of depth, and room for more."""

    keys: Tensor  # [room] number of the tile among those of all cameras
    splat_ids: Tensor  # [room] int32
    slots: Tensor | None  # [room] int32

    @classmethod
    def empty(cls, room: int, tile_count: int, like: Tensor, *, slotted: bool) -> _Lists:
        """To be filled."""
        # Keys of two bytes are sorted in half the time.
        keys = like.new_empty(room, dtype=torch.int16 if tile_count < 2**15 else torch.int32)
        ids = like.new_empty(room, dtype=torch.int32)
        return cls(keys, ids, torch.empty_like(ids) if slotted else None)

    def by_tile(
        self, tile_count: int, first_slot: Tensor, real: torch.dtype, length: Callable[[], int]
    ) -> Tiles:
        """The same pairs by tile; of one tile, still in the order of depth."""
        room = len(self.keys)
        keys, places = self.keys.sort(stable=True)
        ids = torch.empty_like(self.splat_ids)
        slots = None if self.slots is None else torch.empty_like(self.slots)
        offsets = places.new_empty(tile_count + 1)
        values = {
            "keys": keys,
            "places": places,
            "splat_ids": self.splat_ids,
            "slots": self.slots,
            "sorted_ids": ids,
            "sorted_slots": slots,
            "offsets": offsets,
            "room": room,
            "tiles": tile_count,
        }
        grid = (blocks(max(room, tile_count + 1), 2 * _THREADS), 1)
        run("tiles", "sort_lists", grid, values, real=real)
        return Tiles(ids, offsets, ids.new_empty(0) if slots is None else slots, first_slot, length)


def _reader(total: Tensor, key: tuple[object, ...]) -> Callable[[], int]:
    """What gives the number in `total` [1], once the GPU has it, and remembers it for `key`.

    It is on its way to the host from now on, behind what is queued already and nothing else.
    """
    if total.is_cuda:
        number = torch.empty(1, dtype=total.dtype, device="cpu", pin_memory=True)
        number.copy_(total, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record(torch.cuda.current_stream(total.device))
        wait = arrived.synchronize
    else:
        number, wait = total, lambda: None

    @cache
    def length() -> int:
        wait()
        pairs = int(number)
        if pairs >= 2**31:
            raise ValueError("the splats touch more than 2^31 tiles")
        _needed[key] = max(pairs, FADING * _needed.get(key, 0.0))
        return pairs

    return length


def _front_to_back(depths: Tensor) -> Tensor:
    """Indices [C, N] of each camera's splats by depth; those of equal depth in their own order.
    Where the culled ones come does not matter: they have no tiles."""
    # The bits of positive numbers have their order; sorting integers is a radix sort.
    bits = depths.view(torch.int32 if depths.dtype == torch.float32 else torch.int64)
    return bits.sort(dim=-1, stable=True).indices
