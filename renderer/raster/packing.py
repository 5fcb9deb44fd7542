"""Dropping the splats that nobody sees, before they are blended."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..backends.stages import Projected, Tiles


@dataclass(frozen=True)
class Packing:
    """Which (camera, splat) pairs are left when the culled ones are dropped.

    Attributes:
        visible: [C, N] bool.
        camera_ids: [nnz] int64.
        gaussian_ids: [nnz] int64.
    """

    visible: Tensor
    camera_ids: Tensor
    gaussian_ids: Tensor

    @classmethod
    def of(cls, visible: Tensor) -> Packing:
        """Those that are `visible` [C, N] uint8. Waits for the GPU."""
        visible = visible.bool()
        return cls(visible, *torch.where(visible))

    def pick(self, tensor: Tensor) -> Tensor:
        """Rows [nnz, ...] of a tensor [C, N, ...]."""
        return tensor[self.camera_ids, self.gaussian_ids]

    def drop_culled(self, dense: Projected) -> Projected:
        """What is left of all splats."""
        return dense.map(self.pick)

    def renumber(self, tiles: Tiles) -> Tiles:
        """The same lists, of the rows that are left. Waits for the GPU."""
        tiles, visible = tiles.trimmed(), self.visible.flatten()
        row_of = visible.cumsum(0) - 1
        ids, begins, ends = row_of[tiles.splat_ids.long()].int(), tiles.slot_begins, tiles.slot_ends
        if begins is not None and ends is not None:
            begins, ends = begins[visible], ends[visible]
        return tiles._replace(splat_ids=ids, slot_begins=begins, slot_ends=ends)
