"""Lists of the splats that touch a tile, on a GPU.

How long the lists are is known on the GPU alone. Waiting for the number would leave the GPU idle,
so they get room for as many as the last picture of this size needed, and a margin; the number is
read when everything that uses them has been queued. Where they were too short, `Tiles.overflowed`
says so, and the picture is drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..._native import ClearArguments, ListTilesArguments, constants, list_blocks
from ..memory import Arrival, Memory, Workspace
from ..stages import SplatsToBin, Tiles
from .launcher import Launch
from .sort import DepthOrder, Items, SortPlan, depth_plan

MARGIN = 1.25
"""Room per number of pairs that was needed."""
FADING = 0.95
"""What is left of an earlier need after each picture: views of one scene differ."""
ROOM_DIGITS = 4
"""Binary digits of a room: most pictures find the tensors that the last one left."""
NARROW_KEYS = 2**16
"""No more tiles than this are numbered in 16 bits, which sort faster."""
MOST_PAIRS = 2**31 - 1
"""What is counted in 32 bits."""


class TileLister:
    """Lists pairs of splat and tile, and remembers how many there were.

    Attributes:
        needed: pairs that pictures needed lately, by device, number and size of the pictures.
    """

    def __init__(self, launch: Callable[[Sequence[Launch]], None]) -> None:
        self._launch = launch
        self.needed: dict[tuple[object, ...], float] = {}

    def list(
        self, splats: SplatsToBin, memory: Memory, workspace: Workspace
    ) -> tuple[Tiles, PairCount | None]:
        """See `CudaBackend.bin`; the lists, and the number of pairs where that is not known. What
        is not part of the result lies in `workspace`."""
        device, (cameras, count) = splats.visible.device, splats.visible.shape
        everything, (width, height) = cameras * count, splats.size
        size = constants.TILE_SIZE
        tiles = cameras * -(-width // size) * -(-height // size)
        slotted = splats.gradient and torch.are_deterministic_algorithms_enabled()
        if everything == 0:
            return _no_pairs(tiles, device, slotted=slotted), None
        order = workspace.keep("order", DepthOrder.empty, depth_plan(splats), device)
        key = (device, cameras, splats.size)
        launches = order.launches(splats)

        def prepare(room: int) -> tuple[_Pairs, Tiles, ListTilesArguments]:
            pairs = workspace.keep("pairs", _Pairs.empty, everything, tiles, room, slotted, device)
            lists = memory.keep("lists", _empty_lists, everything, tiles, room, slotted, device)
            return pairs, lists, _arguments(splats, order, pairs, lists)

        if key not in self.needed:
            pairs, _, arguments = prepare(0)
            self._launch([*launches, *_counting(arguments)])
            self._counted(pairs, key, memory).begin()()
            launches.clear()
        room = min(_rounded_up(MARGIN * self.needed[key]), everything * tiles, MOST_PAIRS - 1)
        pairs, lists, arguments = prepare(room)
        launches += _counting(arguments)
        if lists.slot_begins is not None and lists.slot_ends is not None:
            launches += [_clearing(lists.slot_begins), _clearing(lists.slot_ends)]
        launches.append(("list_tiles", arguments))
        launches += pairs.sorting(lists)
        launches.append(("find_offsets", arguments))
        self._launch(launches)
        lists = lists._replace(pair_count=pairs.pair_count)
        return lists, self._counted(pairs, key, memory)

    def _counted(self, pairs: _Pairs, key: tuple[object, ...], memory: Memory) -> PairCount:
        """The number of pairs, not sent for yet."""
        arrival = memory.keep("arrival", Arrival, (1,), torch.int32, pairs.pair_count.device)
        return PairCount(pairs.pair_count, pairs.plan.room, arrival, self.needed, key)


def _arguments(
    splats: SplatsToBin, order: DepthOrder, pairs: _Pairs, lists: Tiles
) -> ListTilesArguments:
    """Of the kernels that count and list."""
    p, (cameras, count), slotted = splats.projected, splats.visible.shape, lists.slots is not None
    listed, by_tile = pairs.listed, pairs.by_tile
    return ListTilesArguments(
        cameras=cameras,
        splats=count,
        width=splats.size[0],
        height=splats.size[1],
        exact=splats.exact,
        visible=splats.visible,
        radii=p.radii,
        means2d=p.means2d,
        conics=p.conics,
        cutoffs=p.cutoffs,
        tiles=lists.offsets.shape[0] - 1,
        room=pairs.plan.room,
        key_size=pairs.plan.key_size,
        blocks=pairs.block_counts.shape[0],
        order=order.splats,
        splat_count=order.visible_count,
        warp_counts=pairs.warp_counts,
        block_counts=pairs.block_counts,
        pair_count=pairs.pair_count,
        keys=listed.keys,
        values=listed.values,
        pair_ids=pairs.ids if slotted else None,
        slot_begins=lists.slot_begins,
        slot_ends=lists.slot_ends,
        sorted_keys=by_tile,
        slots=lists.slots,
        splat_ids=lists.splat_ids,
        offsets=lists.offsets,
    )


def _counting(arguments: ListTilesArguments) -> list[Launch]:
    """Kernels that find how many pairs there are."""
    return [("count_tiles", arguments), ("scan_tiles", arguments)]


def _clearing(tensor: Tensor) -> Launch:
    return "clear", ClearArguments(size=tensor.nbytes, bytes=tensor.view(torch.uint8))


class PairCount:
    """The number of pairs that kernels find, and whether lists have room for it."""

    def __init__(
        self,
        found: Tensor,
        room: int,
        arrival: Arrival,
        needed: dict[tuple[object, ...], float],
        key: tuple[object, ...],
    ) -> None:
        self._found, self._room, self._arrival = found, room, arrival
        self._needed, self._key, self._pairs = needed, key, -1

    def begin(self) -> PairCount:
        """Send for it, once the kernels that find it are queued."""
        self._pairs = -1
        self._arrival.begin(self._found)
        return self

    def fits(self) -> bool:
        """Waits for it; whether the lists have room."""
        return self() <= self._room

    def take(self, pairs: int) -> bool:
        """Note that so many were needed; whether the lists have room."""
        if pairs >= MOST_PAIRS:
            raise ValueError("the splats touch 2^31 tiles or more")
        self._needed[self._key] = max(pairs, FADING * self._needed.get(self._key, 0.0))
        return pairs <= self._room

    def __call__(self) -> int:
        """Waits for it, and notes it as needed."""
        if self._pairs < 0:
            self._pairs = int(self._arrival.wait())
            self.take(self._pairs)
        return self._pairs


class _Pairs(NamedTuple):
    """What lists are made from, of C * N splats.

    Attributes:
        warp_counts: [B, W] int32, pairs that each warp lists.
        block_counts: [B] int32, pairs of earlier blocks.
        pair_count: [1] int32, of all pairs.
        listed: pairs in the order of depth; the second room is for between sorts.
        spare: likewise.
        by_tile: keys in the order of tiles.
        ids: [R] int32, splats of pairs, in the order of depth; None without slots.
        counters: what the sort counts in.
        plan: how pairs are sorted.
    """

    warp_counts: Tensor
    block_counts: Tensor
    pair_count: Tensor
    listed: Items
    spare: Items
    by_tile: Tensor
    ids: Tensor | None
    counters: tuple[Tensor, Tensor]
    plan: SortPlan

    @classmethod
    def empty(
        cls, splats: int, tiles: int, room: int, slotted: bool, device: torch.device
    ) -> _Pairs:
        """To be filled, with room for so many pairs."""
        key_size, blocks = 2 if tiles <= NARROW_KEYS else 4, list_blocks(splats)
        plan = SortPlan.of(room, key_size, (tiles - 1).bit_length())

        def empty(*shape: int) -> Tensor:
            return torch.empty(shape, dtype=torch.int32, device=device)

        return cls(
            warp_counts=empty(blocks, constants.LIST_WARPS),
            block_counts=empty(blocks),
            pair_count=empty(1),
            listed=Items.empty(room, key_size, device),
            spare=Items.empty(room, key_size, device),
            by_tile=torch.empty((room, key_size), dtype=torch.uint8, device=device),
            ids=empty(room) if slotted else None,
            counters=plan.counters(device),
            plan=plan,
        )

    def sorting(self, lists: Tiles) -> list[Launch]:
        """Kernels that put pairs, or with slots their places, in the order of tiles."""
        given = {
            "keys": self.listed.keys,
            "values": self.listed.values,
            "item_count": self.pair_count,
        }
        result = (self.by_tile, lists.splat_ids if lists.slots is None else lists.slots)
        between = (self.spare, self.listed)
        return self.plan.launches(given, self.pair_count, between, result, self.counters)


def _empty_lists(splats: int, tiles: int, room: int, slotted: bool, device: torch.device) -> Tiles:
    """Lists to be filled."""

    def empty(dtype: torch.dtype, size: int) -> Tensor:
        return torch.empty(size, dtype=dtype, device=device)

    return Tiles(
        splat_ids=empty(torch.int32, room),
        offsets=empty(torch.int64, tiles + 1),
        slots=empty(torch.int32, room) if slotted else None,
        slot_begins=empty(torch.int64, splats) if slotted else None,
        slot_ends=empty(torch.int64, splats) if slotted else None,
    )


def _no_pairs(tiles: int, device: torch.device, *, slotted: bool) -> Tiles:
    ids = torch.empty(0, dtype=torch.int32, device=device)
    offsets = torch.zeros(tiles + 1, dtype=torch.int64, device=device)
    if not slotted:
        return Tiles(ids, offsets)
    return Tiles(ids, offsets, slots=ids, slot_begins=offsets[:0], slot_ends=offsets[:0])


def _rounded_up(number: float) -> int:
    """The next number of `ROOM_DIGITS` binary digits."""
    unit = 1 << max(0, math.ceil(number).bit_length() - ROOM_DIGITS)
    return math.ceil(number / unit) * unit
