"""Sorting on a GPU: a stable radix sort, as a list of kernels."""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..._native import SortPassArguments, constants, sort_blocks
from ..stages import SplatsToBin
from .launcher import Launch

DIGIT_BITS = constants.MOST_BINS.bit_length() - 1
"""Most bits of a key by which one pass sorts."""
KERNELS = ("count_digits", "scan_digits", "place_items")
"""Of a pass."""


class Items(NamedTuple):
    """Room for items that are sorted, R of them.

    Attributes:
        keys: [R, B] uint8, B bytes a key.
        values: [R] int32.
    """

    keys: Tensor
    values: Tensor

    @classmethod
    def empty(cls, room: int, key_size: int, device: torch.device) -> Items:
        """For keys of so many bytes."""
        keys = torch.empty((room, key_size), dtype=torch.uint8, device=device)
        return cls(keys, torch.empty(room, dtype=torch.int32, device=device))


class SortPlan(NamedTuple):
    """How keys of some bits are sorted.

    Attributes:
        room: most items.
        key_size: of a key [bytes].
        passes: how many there are.
        digit_bits: bits of a key by which each of them sorts.
    """

    room: int
    key_size: int
    passes: int
    digit_bits: int

    @classmethod
    def of(cls, room: int, key_size: int, bits: int) -> SortPlan:
        """For keys below 2^bits: in as few passes as can be, by digits of one size."""
        passes = max(1, math.ceil(bits / DIGIT_BITS))
        return cls(room, key_size, passes, math.ceil(bits / passes))

    def counters(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Memory that the passes count in."""
        bins, blocks = 1 << self.digit_bits, sort_blocks(self.room)
        return (
            torch.empty((bins, blocks), dtype=torch.int32, device=device),
            torch.empty(bins, dtype=torch.int32, device=device),
        )

    def launches(
        self,
        given: dict[str, Any],
        count: Tensor,
        between: tuple[Items, Items],
        result: tuple[Tensor | None, Tensor],
        counters: tuple[Tensor, Tensor],
    ) -> list[Launch]:
        """The kernels of all passes.

        Args:
            given: where the first pass finds items: fields of `SortPassArguments`.
            count: [1] int32, how many there are; known once the first pass is done.
            between: where passes but the last leave them in turn, the first one first.
            result: where the last pass leaves keys, if they are wanted, and values; not what the
                last but one uses.
            counters: of this plan.
        """
        launches: list[Launch] = []
        for number in range(self.passes):
            to = result if number == self.passes - 1 else between[number % 2]
            arguments = SortPassArguments(
                room=self.room,
                key_size=self.key_size,
                bins=1 << self.digit_bits,
                blocks=sort_blocks(self.room),
                shift=number * self.digit_bits,
                **given,
                counts=counters[0],
                totals=counters[1],
                sorted_keys=to[0],
                sorted_values=to[1],
            )
            launches += [(kernel, arguments) for kernel in KERNELS]
            given = {"keys": to[0], "values": to[1], "item_count": count}
        return launches


class DepthOrder(NamedTuple):
    """Splats of all cameras by depth; those of equal depth in their own order.

    Attributes:
        splats: [C * N] int32, the visible ones first, the nearest of them first.
        visible_count: [1] int32, how many are visible.
        items: what they are sorted in.
        counters: what the sort counts in.
        plan: how they are sorted.
    """

    splats: Tensor
    visible_count: Tensor
    items: tuple[Items, Items]
    counters: tuple[Tensor, Tensor]
    plan: SortPlan

    @classmethod
    def empty(cls, plan: SortPlan, device: torch.device) -> DepthOrder:
        """To be found by a plan."""
        first, second = (Items.empty(plan.room, plan.key_size, device) for _ in range(2))
        last = (first, second)[(plan.passes - 1) % 2]
        count = torch.empty(1, dtype=torch.int32, device=device)
        return cls(last.values, count, (first, second), plan.counters(device), plan)

    def launches(self, splats: SplatsToBin) -> list[Launch]:
        """The kernels that find it."""
        given = {
            "nearest": max(0.0, splats.options["near_plane"]),
            "depths": splats.projected.depths,
            "visible": splats.visible,
            "sorted_count": self.visible_count,
        }
        result = (None, self.splats)
        return self.plan.launches(given, self.visible_count, self.items, result, self.counters)


def depth_plan(splats: SplatsToBin) -> SortPlan:
    """How the depths of splats are sorted, which are between the planes where they are visible."""
    depths, (near, far) = splats.projected.depths, ("near_plane", "far_plane")
    bits = _bits_between(splats.options[near], splats.options[far], depths.dtype)
    return SortPlan.of(depths.numel(), depths.itemsize, bits)


@lru_cache
def _bits_between(near: float, far: float, dtype: torch.dtype) -> int:
    """How many bits it takes to number the positive numbers between two."""
    number, whole = ("<f", "<i") if dtype == torch.float32 else ("<d", "<q")
    first, last = (
        struct.unpack(whole, struct.pack(number, max(0.0, min(end, torch.finfo(dtype).max))))[0]
        for end in (near, far)
    )
    return (last - first).bit_length()
