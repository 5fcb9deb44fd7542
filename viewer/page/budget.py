"""Fewer bytes for a page: coarser numbers, then fewer harmonics, waves and splats, as much of each
as costs least."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

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
_FEWER = 4
"""Times as many splats as there are in another sample."""
_PROMISING = 3
"""Choices of harmonics and waves that are packed to see which is best."""
_FINER = "finer numbers"
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
        cameras: at least one; by their pictures it is decided what is left out.
        most: bytes.

    Raises:
        InputError: not even a hundredth of the splats fits.
    """
    for told, fineness in (("", USUAL), ("the finest numbers", COARSER), (_FINER, COARSE)):
        data = packed(splats, settings, metadata, fineness)
        if len(data) <= most:
            return Packed(data, told)
    search = _Search(splats, settings, metadata, cameras, most)
    fitting = (each for each in map(search.fitted, search.promising()) if each is not None)
    found = [*islice(fitting, _PROMISING)]
    if not found:
        raise InputError(f"--budget: {most:,} bytes are too few for {len(splats):,} splats")
    return min(found, key=lambda each: search.error(unpacked(each.data)))


class _Choice(NamedTuple):
    """What splats have, and how many of them there are."""

    degree: int
    waves: int
    splats: int


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

    def promising(self) -> list[_Choice]:
        """From that which shows most in so many bytes. How many splats these are is estimated by
        some of them; they are looked at before they are rounded."""
        every = -(-len(self._splats) // _SAMPLE)
        found: list[tuple[float, _Choice]] = []
        for degree, waves in self._kinds():
            thin = self._thin(degree, waves)
            some = thin.select(torch.arange(0, len(thin), every, device=self._order.device))
            count = min(self._count(some), len(thin))
            error = self.error(self._first(thin, count))
            found.append((error, _Choice(degree, waves, count)))
        found.sort(key=lambda each: each[0])
        return [choice for _, choice in found]

    def _count(self, some: Splats) -> int:
        """How many such splats fit. A palette takes some bytes, however few they are."""
        few = some.select(torch.arange(0, len(some), _FEWER, device=self._order.device))
        less, more = (len(self._packed(each)) for each in (few, some))
        each = max(1.0, (more - less) / max(1, len(some) - len(few)))
        return max(1, len(some) + int((_MARGIN * self._most - more) / each))

    def _packed(self, splats: Splats) -> bytes:
        return packed(splats, self._settings, self._metadata, COARSE)

    def _kinds(self) -> Iterator[tuple[int, int]]:
        """Degrees and numbers of waves that splats may have."""
        for waves in WAVE_COUNTS:
            if waves <= self._splats.waves:
                yield from ((degree, waves) for degree in range(self._splats.sh_degree + 1))

    def _thin(self, degree: int, waves: int) -> Splats:
        lower = with_sh_degree(self._splats, degree)
        return lower if waves == lower.waves else with_fewer_waves(lower, waves)

    def _first(self, splats: Splats, count: int) -> Splats:
        """Those that add most to pictures."""
        return splats.select(self._order[:count].sort().values)

    def fitted(self, choice: _Choice) -> Packed | None:
        """As many splats as fit; None if that is not even a hundredth of them."""
        thin, count, found = self._thin(choice.degree, choice.waves), choice.splats, None
        for _ in range(_COUNTS):
            if count < max(1, len(thin) // 100):
                break
            few = self._first(thin, count)
            data = self._packed(few)
            if len(data) <= self._most:
                found = Packed(data, _left_out(self._splats, few))
                if len(few) == len(thin) or len(data) >= _FULL * self._most:
                    break
            count = min(int(count * _MARGIN * self._most / len(data)), len(thin))
        return found


def _left_out(splats: Splats, few: Splats) -> str:
    """What there is no more, for people."""
    told = [_FINER]
    if few.sh_degree < splats.sh_degree:
        told.append(f"harmonics beyond degree {few.sh_degree}")
    if few.waves < splats.waves:
        told.append(f"all but {few.waves} waves a splat" if few.waves else "waves")
    if len(few) < len(splats):
        told.append(f"{len(splats) - len(few):,} of {len(splats):,} splats")
    return ", ".join(told)
