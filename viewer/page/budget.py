"""Fewer bytes for a page: coarser numbers, then fewer harmonics, waves and splats, as much of each
as costs least."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...renderer.bake import with_fewer_waves
from ...renderer.cameras import Camera
from ...renderer.editing.decimating import contributions
from ...renderer.editing.merging import with_sh_degree
from ...renderer.raster.render import render
from ...renderer.settings import RenderSettings
from ...renderer.splats import WAVE_COUNTS, Splats
from ...scenes import InputError, SplatMetadata
from .packing import USUAL, Fineness, packed
from .unpacking import unpacked

COARSER = Fineness(splats_per_entry=16, levels=64, error=0.06)
COARSE = Fineness(splats_per_entry=32, levels=48, error=0.1)
_MARGIN = 0.98
"""Of the bytes that there may be, for which splats are counted: few pack worse than many."""
_FULL = 0.95
"""Of the bytes that there may be, from which on there is no use in counting again."""
_COUNTS = 5
"""Times that splats are counted."""
_SAMPLE = 20_000
"""Splats, at most, of which it is estimated how many bytes all take."""
_PROMISING = 3
"""Choices of harmonics and waves that are packed to see which is best."""
_LOOKS = 8
"""Views, at most, in which it is compared what to leave out."""


@dataclass(frozen=True)
class Packed:
    """Splats as a page holds them.

    Attributes:
        data: packed.
        told: what was left out, for people; empty where nothing was.
    """

    data: bytes
    told: str = ""


@torch.no_grad()
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
    for told, fineness in (("", USUAL), ("coarser numbers", COARSER), ("coarse numbers", COARSE)):
        data = packed(splats, settings, metadata, fineness)
        if len(data) <= most:
            return Packed(data, told)
    search = _Search(splats, settings, metadata, cameras, most)
    found = [each for each in map(search.fitted, search.promising()) if each is not None]
    if not found:
        raise InputError(f"--budget: {most:,} bytes are too few for {len(splats):,} splats")
    return min(found, key=lambda each: search.error(unpacked(each.data)))


class _Search:
    """What to leave out of splats."""

    def __init__(
        self,
        splats: Splats,
        settings: RenderSettings,
        metadata: SplatMetadata,
        cameras: Sequence[Camera],
        most: int,
    ) -> None:
        self._splats, self._settings, self._metadata = splats, settings, metadata
        self._most = most
        added = contributions(splats, cameras, settings)
        self._order = added.argsort(descending=True, stable=True)
        looks = cameras[:: -(-len(cameras) // _LOOKS)]
        self._cameras = [camera.to(splats.means.device) for camera in looks]
        self._wanted = self._pictures(splats)

    def _pictures(self, splats: Splats) -> list[Tensor]:
        return [render(splats, camera, self._settings).color for camera in self._cameras]

    def error(self, splats: Splats) -> float:
        """Mean square, of the pictures of splats on any device."""
        drawn = self._pictures(splats.to(self._splats.means.device))
        pairs = zip(drawn, self._wanted, strict=True)
        squares = [float((one - other).square().mean()) for one, other in pairs]
        return sum(squares) / len(squares)

    def promising(self) -> list[tuple[Splats, int]]:
        """Splats with as many harmonics and waves as look best in so many bytes, and about how many
        of them these are, from the best. It is estimated by some, which are not rounded."""
        every = -(-len(self._splats) // _SAMPLE)
        found: list[tuple[float, Splats, int]] = []
        for thin in _thinner(self._splats):
            some = thin.select(torch.arange(0, len(thin), every, device=self._order.device))
            size = len(packed(some, self._settings, self._metadata, COARSE))
            count = min(max(1, int(_MARGIN * self._most * len(some) / size)), len(thin))
            found.append((self.error(self._first(thin, count)), thin, count))
        found.sort(key=lambda each: each[0])
        return [(thin, count) for _, thin, count in found[:_PROMISING]]

    def _first(self, splats: Splats, count: int) -> Splats:
        """Those that add most to pictures."""
        return splats.select(self._order[:count].sort().values)

    def fitted(self, candidate: tuple[Splats, int]) -> Packed | None:
        """As many splats as fit; None if that is not even a hundredth of them."""
        thin, count = candidate
        found = None
        for _ in range(_COUNTS):
            if count < max(1, len(thin) // 100):
                break
            few = self._first(thin, count)
            data = packed(few, self._settings, self._metadata, COARSE)
            if len(data) <= self._most:
                found = Packed(data, _left_out(self._splats, few))
                if len(few) == len(thin) or len(data) >= _FULL * self._most:
                    break
            count = min(int(count * _MARGIN * self._most / len(data)), len(thin))
        return found


def _thinner(splats: Splats) -> Iterator[Splats]:
    """With as many harmonics and waves as they have, or fewer."""
    for degree in range(splats.sh_degree + 1):
        lower = with_sh_degree(splats, degree)
        for waves in WAVE_COUNTS:
            if waves <= splats.waves:
                yield with_fewer_waves(lower, waves) if waves < splats.waves else lower


def _left_out(splats: Splats, few: Splats) -> str:
    """What there is no more, for people."""
    told = ["finer numbers"]
    if few.sh_degree < splats.sh_degree:
        told.append(f"harmonics beyond degree {few.sh_degree}")
    if few.waves < splats.waves:
        told.append(f"all but {few.waves} waves a splat" if few.waves else "waves")
    if len(few) < len(splats):
        told.append(f"{len(splats) - len(few):,} of {len(splats):,} splats")
    return ", ".join(told)
