"""What gsplat's `rasterization` returns besides pictures: `info`, by gsplat's names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor

from .._native import constants
from ..backends.stages import Projected, Tiles
from ..raster.packing import Packing
from .batches import Batch


class Info(MutableMapping[str, Any]):
    """gsplat's dictionary of intermediate results.

    What takes a pass over all pairs of splat and tile is found when somebody asks for it: gsplat's
    strategies do not, and it costs more than some of the stages.

    Args:
        projected: what was blended: fields [..., C, N, *], or [nnz, *] where it was packed.
        visible: of the same splats, whether they are seen.
        tiles: lists of the same splats.
        batch: the pictures.
        packing: the splats that are left; None for all.
    """

    def __init__(
        self,
        projected: Projected,
        visible: Tensor,
        tiles: Tiles,
        batch: Batch,
        packing: Packing | None,
    ) -> None:
        size = constants.TILE_SIZE
        across, down = (math.ceil(pixels / size) for pixels in batch.size)
        cameras = batch.cameras
        self._known: dict[str, Any] = {
            "gaussian_ids": None if packing is None else packing.gaussian_ids,
            "means2d": projected.means2d,
            "depths": projected.depths,
            "conics": projected.conics,
            "opacities": projected.opacities,
            "tile_width": across,
            "tile_height": down,
            "flatten_ids": tiles.splat_ids,
            "width": batch.size[0],
            "height": batch.size[1],
            "tile_size": size,
            "n_batches": batch.scenes,
            "n_cameras": cameras,
        }
        self._later: dict[str, Callable[[], Any]] = {
            "radii": lambda: projected.radii * visible.reshape(*projected.depths.shape, 1),
            "batch_ids": lambda: None if packing is None else _scenes_of(packing, batch),
            "camera_ids": lambda: None if packing is None else _cameras_of(packing, batch),
            "tiles_per_gauss": lambda: _tiles_per_splat(projected, tiles),
            "isect_ids": lambda: _sort_keys(projected, tiles, across * down),
            "isect_offsets": lambda: (
                tiles.offsets[:-1].int().reshape(*batch.pictures, down, across)
            ),
        }

    def __getitem__(self, key: str) -> Any:
        if key in self._later:
            self._known[key] = self._later.pop(key)()
        return self._known[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._later.pop(key, None)
        self._known[key] = value

    def __delitem__(self, key: str) -> None:
        if self._later.pop(key, None) is None:
            del self._known[key]

    def __contains__(self, key: object) -> bool:
        return key in self._known or key in self._later

    def __iter__(self) -> Iterator[str]:
        return iter([*self._known, *self._later])

    def __len__(self) -> int:
        return len(self._known) + len(self._later)

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**self, **other}

    def __reduce__(self) -> Any:  # a file gets a plain dictionary
        return dict, (dict(self),)


def _scenes_of(packing: Packing, batch: Batch) -> Tensor:
    """[nnz] the scene of each row; pictures are numbered through all scenes."""
    pictures = packing.camera_ids
    return pictures // batch.cameras if batch.dims else torch.zeros_like(pictures)


def _cameras_of(packing: Packing, batch: Batch) -> Tensor:
    """[nnz] the camera of each row, within its scene."""
    return packing.camera_ids % batch.cameras if batch.dims else packing.camera_ids


def _tiles_per_splat(projected: Projected, tiles: Tiles) -> Tensor:
    everything = projected.depths.numel()
    counts = torch.bincount(tiles.splat_ids, minlength=everything)
    return counts.int().reshape(projected.depths.shape)


def _sort_keys(projected: Projected, tiles: Tiles, tiles_of_camera: int) -> Tensor:
    """gsplat's, of every pair of splat and tile: image, tile, then the depth's bits."""
    tile_bits = int(math.log2(tiles_of_camera)) + 1
    counts = tiles.offsets.diff()
    tile = torch.arange(len(counts), device=counts.device)
    tile = tile.repeat_interleave(counts, output_size=len(tiles.splat_ids))
    image = torch.div(tile, tiles_of_camera, rounding_mode="floor")
    depth_bits = projected.depths.detach().float().view(torch.int32).long().flatten()
    key = (image << (32 + tile_bits)) | (tile % tiles_of_camera << 32)
    return key | depth_bits[tiles.splat_ids.long()]
