"""Lists of the splats that touch a tile, on a GPU. Sorting and running sums are torch's.

How long the lists are is known on the GPU alone. Waiting for the number would leave the GPU idle,
so they get room for as many as the last picture of this size needed, and a margin; the number is
read when everything that uses them has been queued. Where they were too short, `Tiles.overflowed`
says so, and the picture is drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ... import _native
from ..memory import Memory, Workspace
from ..stages import SplatsToBin, Tiles
from .driver import Launcher

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
        cameras, count = splats.visible.shape
        tile = _native.constants.TILE_SIZE
        tiles = cameras * math.prod(-(-pixels // tile) for pixels in splats.size)
        slotted = splats.gradient and torch.are_deterministic_algorithms_enabled()
        if cameras * count == 0:
            return _no_pairs(tiles, splats.visible.device, slotted=slotted)
        inputs = _inputs(splats, workspace)
        ends, first_slot = self._count(inputs, slotted, memory, workspace)
        key = (splats.visible.device, cameras, splats.size)
        count_pairs = self._reader(ends[-1:], key)
        wanted = _rounded_up(MARGIN * self.needed[key]) if key in self.needed else count_pairs()
        room = min(wanted, cameras * count * tiles)
        pairs = _Pairs(room, tiles, workspace, ends.device, slotted=slotted)
        if room:
            listed = _native.ListTilesArguments(
                **inputs,
                room=room,
                tiles=tiles,
                ends=ends,
                first_slot=first_slot,
                splat_ids=pairs.splat_ids,
                slots=pairs.slots,
                narrow_keys=pairs.narrow(pairs.keys),
                wide_keys=pairs.wide(pairs.keys),
            )
            self._launcher.launch([("list_tiles", listed)], ends.device)
        return self._by_tile(pairs, tiles, first_slot, memory, count_pairs)

    def _count(
        self, inputs: dict[str, Any], slotted: bool, memory: Memory, workspace: Workspace
    ) -> tuple[Tensor, Tensor | None]:
        """Running totals of tiles by depth [C * N] and, if slotted, by splat [C * N + 1]."""
        everything, device = inputs["visible"].numel(), inputs["visible"].device
        counts = workspace.empty("counts", (everything,), torch.int64, device)
        of_splat = torch.empty_like(counts) if slotted else None
        counted = _native.CountTilesArguments(**inputs, counts=counts, of_splat=of_splat)
        self._launcher.launch([("count_tiles", counted)], device)
        ends = workspace.empty("ends", (everything,), torch.int64, device)
        torch.cumsum(counts, 0, out=ends)
        if of_splat is None:
            return ends, None
        first_slot = memory.empty("first_slot", (everything + 1,), torch.int64, device)
        first_slot[0] = 0
        torch.cumsum(of_splat, 0, out=first_slot[1:])
        return ends, first_slot

    def _by_tile(
        self,
        pairs: _Pairs,
        tiles: int,
        first_slot: Tensor | None,
        memory: Memory,
        count_pairs: Callable[[], int],
    ) -> Tiles:
        """The pairs by tile; of one tile, still in the order of depth."""
        device, room = pairs.keys.device, len(pairs.keys)
        ids = memory.empty("splat_ids", (room,), torch.int32, device)
        slots = None
        if pairs.slots is not None:
            slots = memory.empty("slots", (room,), torch.int32, device)
        offsets = memory.empty("offsets", (tiles + 1,), torch.int64, device)
        keys, places = pairs.sorted_keys()
        by_tile = _native.SortListsArguments(
            room=room,
            tiles=tiles,
            places=places,
            splat_ids=pairs.splat_ids,
            slots=pairs.slots,
            sorted_ids=ids,
            sorted_slots=slots,
            offsets=offsets,
            narrow_keys=pairs.narrow(keys),
            wide_keys=pairs.wide(keys),
        )
        self._launcher.launch([("sort_lists", by_tile)], device)
        return Tiles(ids, offsets, slots, first_slot, count_pairs)

    def _reader(self, total: Tensor, key: tuple[object, ...]) -> Callable[[], int]:
        """What gives the number in `total` [1], once the GPU has it, and remembers it for `key`.

        It is on its way to the host from now on, behind what is queued already and nothing else.
        """
        number, wait = torch.empty(1, dtype=total.dtype, pin_memory=total.is_cuda), _no_wait
        number.copy_(total, non_blocking=True)
        if total.is_cuda:
            arrived = torch.cuda.Event()
            arrived.record(torch.cuda.current_stream(total.device))
            wait = arrived.synchronize

        @cache
        def count_pairs() -> int:
            wait()
            pairs = int(number)
            if pairs >= 2**31:
                raise ValueError("the splats touch more than 2^31 tiles")
            self.needed[key] = max(pairs, FADING * self.needed.get(key, 0.0))
            return pairs

        return count_pairs


class _Pairs:
    """Room for pairs of splat and tile in the order of depth."""

    def __init__(
        self, room: int, tiles: int, workspace: Workspace, device: torch.device, *, slotted: bool
    ) -> None:
        self._workspace = workspace
        self._narrow = tiles < NARROW_KEYS
        key_type = torch.int16 if self._narrow else torch.int32
        self.keys = workspace.empty("keys", (room,), key_type, device)
        self.splat_ids = workspace.empty("pair_ids", (room,), torch.int32, device)
        self.slots = (
            workspace.empty("pair_slots", (room,), torch.int32, device) if slotted else None
        )

    def narrow(self, keys: Tensor) -> Tensor | None:
        """The keys, if they have 16 bits."""
        return keys if self._narrow else None

    def wide(self, keys: Tensor) -> Tensor | None:
        """The keys, if they have 32 bits."""
        return None if self._narrow else keys

    def sorted_keys(self) -> tuple[Tensor, Tensor]:
        """The keys in order, and where they were; equal ones stay in the order they had."""
        shape, device = tuple(self.keys.shape), self.keys.device
        keys = self._workspace.empty("sorted_keys", shape, self.keys.dtype, device)
        places = self._workspace.empty("places", shape, torch.int64, device)
        torch.sort(self.keys, stable=True, out=(keys, places))
        return keys, places


def _inputs(splats: SplatsToBin, workspace: Workspace) -> dict[str, Any]:
    """What counting and listing share."""
    p, (cameras, count), (width, height) = splats.projected, splats.visible.shape, splats.size
    return {
        "cameras": cameras,
        "splats": count,
        "width": width,
        "height": height,
        "exact": splats.exact,
        "visible": splats.visible,
        "radii": p.radii,
        "means2d": p.means2d,
        "conics": p.conics,
        "cutoffs": p.cutoffs,
        "order": _front_to_back(p.depths, workspace),
    }


def _front_to_back(depths: Tensor, workspace: Workspace) -> Tensor:
    """Indices [C, N] of each camera's splats by depth; those of equal depth in their own order.
    Where the culled ones come does not matter: they have no tiles."""
    # The bits of positive numbers have their order; sorting integers is a radix sort.
    bits = depths.view(torch.int32 if depths.dtype == torch.float32 else torch.int64)
    shape = tuple(depths.shape)
    values = workspace.empty("sorted_depths", shape, bits.dtype, depths.device)
    order = workspace.empty("order", shape, torch.int64, depths.device)
    torch.sort(bits, dim=-1, stable=True, out=(values, order))
    return order


def _no_pairs(tiles: int, device: torch.device, *, slotted: bool) -> Tiles:
    empty = torch.empty(0, dtype=torch.int32, device=device)
    offsets = torch.zeros(tiles + 1, dtype=torch.int64, device=device)
    return Tiles(empty, offsets, *((empty, offsets[:1]) if slotted else (None, None)))


def _no_wait() -> None:
    """For numbers that are there."""


def _rounded_up(number: float) -> int:
    """The next number of `ROOM_DIGITS` binary digits."""
    unit = 1 << max(0, math.ceil(number).bit_length() - ROOM_DIGITS)
    return math.ceil(number / unit) * unit
