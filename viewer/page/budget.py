"""Fewer bytes for a page: coarser numbers, then fewer harmonics, fewer waves, fewer splats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ...renderer.bake import with_fewer_waves
from ...renderer.cameras import Camera
from ...renderer.editing.decimating import decimated
from ...renderer.editing.merging import with_sh_degree
from ...renderer.settings import RenderSettings
from ...renderer.splats import WAVE_COUNTS, Splats
from ...scenes import InputError, SplatMetadata
from .packing import USUAL, Fineness, packed

COARSER = Fineness(splats_per_entry=16, levels=64, error=0.06)
COARSE = Fineness(splats_per_entry=32, levels=48, error=0.1)
_MARGIN = 0.96
"""Of the bytes that there may be, for which splats are counted: few pack worse than many."""
_PRUNINGS = 4
"""Times that splats are counted again."""


@dataclass(frozen=True)
class Packed:
    """Splats as a page holds them.

    Attributes:
        data: packed.
        told: what was left out, for people; empty where nothing was.
    """

    data: bytes
    told: str = ""


def packed_within(
    splats: Splats,
    settings: RenderSettings,
    metadata: SplatMetadata,
    cameras: Sequence[Camera],
    most: int,
) -> Packed:
    """Splats in at most so many bytes, with as little left out as that takes.

    Args:
        splats: on the device that renders them.
        settings: how they are to be rendered.
        metadata: name and direction that is up, as far as they are known.
        cameras: by whose pictures it is decided which splats are left out.
        most: bytes.

    Raises:
        InputError: not even a hundredth of the splats fits.
    """
    smallest = splats
    size = 0
    for told, candidate, fineness in _candidates(splats):
        data = packed(candidate, settings, metadata, fineness)
        if len(data) <= most:
            return Packed(data, told)
        smallest, size = candidate, len(data)
    count = len(smallest)
    for _ in range(_PRUNINGS):
        count = int(count * _MARGIN * most / size)
        if count < max(1, len(splats) // 100):
            break
        few = decimated(smallest, cameras, count, settings)
        data = packed(few, settings, metadata, COARSE)
        if len(data) <= most:
            told = f"{len(splats) - len(few):,} of {len(splats):,} splats, waves and harmonics"
            return Packed(data, told)
        size = len(data)
    raise InputError(f"--budget: {most:,} bytes are too few for {len(splats):,} splats")


@torch.no_grad()
def _candidates(splats: Splats) -> Iterator[tuple[str, Splats, Fineness]]:
    """From the best: what is left out, what there is then, and how finely it is packed."""
    yield "", splats, USUAL
    yield "coarser numbers", splats, COARSER
    yield "coarse numbers", splats, COARSE
    for degree in range(splats.sh_degree - 1, -1, -1):
        few = with_sh_degree(splats, degree)
        yield f"harmonics beyond degree {degree}", few, COARSE
    plain = with_sh_degree(splats, 0)
    for waves in sorted((each for each in WAVE_COUNTS if each < splats.waves), reverse=True):
        few = with_fewer_waves(plain, waves)
        left = f", and all but {waves} waves a splat" if waves else " and waves"
        yield f"harmonics{left}", few, COARSE
