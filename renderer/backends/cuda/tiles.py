"""Lists of the splats that touch a tile, on a GPU. Sorting and running sums are torch's.

How long the lists are is known on the GPU alone. Waiting for the number would leave the GPU idle,
so they get room for as many as the last picture of this size needed, and a margin; the number is
read when everything that uses them has been queued. Where they were too short, `Tiles.overflowed`
says so, and the picture is drawn again.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..._native import ListTilesArguments, constants
from ..memory import Memory, Workspace
from ..stages import SplatsToBin, Tiles
from .launcher import Launcher

MARGIN = 1.25
"""Room per number of pairs that was needed."""
FADING = 0.95
"""What is left of an earlier need after each picture: views of one scene differ."""
ROOM_DIGITS = 4
"""Binary digits of a room: most pictures find the tensors that the last one left."""
NARROW_KEYS = 2**15
"""Fewer tiles than this are numbered in 16 bits, which sort in half the time."""


class TileLister:
    """Lists pairs of splat and tile, and remembers how many there were.

    Attributes:
        needed: pairs that pictures needed lately, by device, number and size of the pictures.
    """

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self.needed: dict[tuple[object, ...], float] = {}

    def list(self, splats: SplatsToBin, memory: Memory, workspace: Workspace) -> Tiles:
        """See `CudaBackend.bin`. What is not part of the result lies in `workspace`."""
        device, (cameras, count) = splats.visible.device, splats.visible.shape
        everything, (width, height) = cameras * count, splats.size
        size = constants.TILE_SIZE
        tiles = cameras * -(-width // size) * -(-height // size)
        slotted = splats.gradient and torch.are_deterministic_algorithms_enabled()
        if everything == 0:
            return _no_pairs(tiles, device, slotted=slotted)
        order = _front_to_back(splats.projected.depths, workspace)
        key = (device, cameras, splats.size)

        def prepare(room: int) -> tuple[_ByDepth, Tiles, ListTilesArguments]:
            narrow = tiles < NARROW_KEYS
            by_depth = workspace.keep(
                "by depth", _ByDepth.empty, everything, room, slotted, narrow, device
            )
            lists = memory.keep("lists", _empty_lists, everything, tiles, room, slotted, device)
            return by_depth, lists, _arguments(splats, order, by_depth, lists)

        if key not in self.needed:
            by_depth, _, arguments = prepare(0)
            self._count(by_depth, arguments, key, memory)()
        room = min(_rounded_up(MARGIN * self.needed[key]), everything * tiles)
        by_depth, lists, arguments = prepare(room)
        count_pairs = self._count(by_depth, arguments, key, memory)
        if lists.first_slot is not None and by_depth.of_splat is not None:
            torch.cumsum(by_depth.of_splat, 0, out=lists.first_slot[1:])
        if room:
            self._launcher.launch([("list_tiles", arguments)])
            torch.sort(by_depth.keys, stable=True, out=(by_depth.sorted_keys, by_depth.places))
        self._launcher.launch([("sort_lists", arguments)])
        return Tiles(lists.splat_ids, lists.offsets, lists.slots, lists.first_slot, count_pairs)

    def _count(
        self,
        by_depth: _ByDepth,
        arguments: ListTilesArguments,
        key: tuple[object, ...],
        memory: Memory,
    ) -> _PairCount:
        """Count the tiles of all splats and add them up; what this gives waits for their number."""
        self._launcher.launch([("count_tiles", arguments)])
        torch.cumsum(by_depth.counts, 0, out=by_depth.ends)
        arrival = memory.keep("pairs", _Arrival, by_depth.ends.device)
        arrival.begin(by_depth.total)
        return _PairCount(arrival, self.needed, key)


def _arguments(
    splats: SplatsToBin, order: Tensor, by_depth: _ByDepth, lists: Tiles
) -> ListTilesArguments:
    """Of the three kernels."""
    p, (cameras, count) = splats.projected, splats.visible.shape
    narrow = by_depth.keys.dtype == torch.int16
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
        room=lists.splat_ids.shape[0],
        order=order,
        counts=by_depth.counts,
        of_splat=by_depth.of_splat,
        ends=by_depth.ends,
        first_slot=lists.first_slot,
        narrow_keys=by_depth.keys if narrow else None,
        wide_keys=None if narrow else by_depth.keys,
        pair_ids=by_depth.pair_ids,
        pair_slots=by_depth.pair_slots,
        sorted_narrow_keys=by_depth.sorted_keys if narrow else None,
        sorted_wide_keys=None if narrow else by_depth.sorted_keys,
        places=by_depth.places,
        splat_ids=lists.splat_ids,
        slots=lists.slots,
        offsets=lists.offsets,
    )


class _Arrival:
    """Room on the host for a number that a GPU will know."""

    def __init__(self, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self.number = torch.empty(1, dtype=torch.int64, pin_memory=on_gpu)
        self._device = device
        self._event = torch.cuda.Event() if on_gpu else None

    def begin(self, total: Tensor) -> None:
        """Send `total` [1] here, behind what is queued already and nothing else."""
        self.number.copy_(total, non_blocking=True)
        if self._event is not None:
            self._event.record(torch.cuda.current_stream(self._device))

    def wait(self) -> int:
        """The number, once it is here."""
        if self._event is not None:
            self._event.synchronize()
        return int(self.number)


class _PairCount:
    """Waits for a number of pairs, and notes it as needed."""

    def __init__(
        self, arrival: _Arrival, needed: dict[tuple[object, ...], float], key: tuple[object, ...]
    ) -> None:
        self._arrival, self._needed, self._key, self._pairs = arrival, needed, key, -1

    def __call__(self) -> int:
        if self._pairs < 0:
            self._pairs = self._arrival.wait()
            if self._pairs >= 2**31:
                raise ValueError("the splats touch more than 2^31 tiles")
            earlier = FADING * self._needed.get(self._key, 0.0)
            self._needed[self._key] = max(self._pairs, earlier)
        return self._pairs


class _ByDepth(NamedTuple):
    """What lists are made from, in the order of depth. R is the room for pairs.

    Attributes:
        counts: [C * N] int64, tiles of each splat.
        ends: [C * N] int64, their running totals.
        total: [1] the last of these.
        of_splat: [C * N] int64, the counts by splat; None without slots.
        keys: [R] int16 or int32, tiles of pairs.
        sorted_keys: [R] the same in order.
        places: [R] int64, where these were.
        pair_ids: [R] int32, splats of pairs.
        pair_slots: [R] int32, slots of pairs; None without.
    """

    counts: Tensor
    ends: Tensor
    total: Tensor
    of_splat: Tensor | None
    keys: Tensor
    sorted_keys: Tensor
    places: Tensor
    pair_ids: Tensor
    pair_slots: Tensor | None

    @classmethod
    def empty(
        cls, splats: int, room: int, slotted: bool, narrow: bool, device: torch.device
    ) -> _ByDepth:
        """To be filled, for C * N splats."""

        def empty(dtype: torch.dtype, size: int) -> Tensor:
            return torch.empty(size, dtype=dtype, device=device)

        key = torch.int16 if narrow else torch.int32
        ends = empty(torch.int64, splats)
        return cls(
            counts=empty(torch.int64, splats),
            ends=ends,
            total=ends[-1:],
            of_splat=empty(torch.int64, splats) if slotted else None,
            keys=empty(key, room),
            sorted_keys=empty(key, room),
            places=empty(torch.int64, room),
            pair_ids=empty(torch.int32, room),
            pair_slots=empty(torch.int32, room) if slotted else None,
        )


def _empty_lists(splats: int, tiles: int, room: int, slotted: bool, device: torch.device) -> Tiles:
    """Lists to be filled."""

    def empty(dtype: torch.dtype, size: int) -> Tensor:
        return torch.empty(size, dtype=dtype, device=device)

    first_slot = torch.zeros(splats + 1, dtype=torch.int64, device=device)
    return Tiles(
        splat_ids=empty(torch.int32, room),
        offsets=empty(torch.int64, tiles + 1),
        slots=empty(torch.int32, room) if slotted else None,
        first_slot=first_slot if slotted else None,
    )


def _front_to_back(depths: Tensor, workspace: Workspace) -> Tensor:
    """Indices [C, N] of each camera's splats by depth; those of equal depth in their own order.
    Where the culled ones come does not matter: they have no tiles."""
    # The bits of positive numbers have their order; sorting integers is a radix sort.
    bits = depths.view(torch.int32 if depths.dtype == torch.float32 else torch.int64)
    found = workspace.keep("order", _empty_order, depths.shape, bits.dtype, depths.device)
    torch.sort(bits, dim=-1, stable=True, out=found)
    return found[1]


def _empty_order(
    shape: torch.Size, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Sorted values, and where they were."""
    return (
        torch.empty(shape, dtype=dtype, device=device),
        torch.empty(shape, dtype=torch.int64, device=device),
    )


def _no_pairs(tiles: int, device: torch.device, *, slotted: bool) -> Tiles:
    empty = torch.empty(0, dtype=torch.int32, device=device)
    offsets = torch.zeros(tiles + 1, dtype=torch.int64, device=device)
    return Tiles(empty, offsets, *((empty, offsets[:1]) if slotted else (None, None)))


def _rounded_up(number: float) -> int:
    """The next number of `ROOM_DIGITS` binary digits."""
    unit = 1 << max(0, math.ceil(number).bit_length() - ROOM_DIGITS)
    return math.ceil(number / unit) * unit
