"""The numbers in the sections of an SPZ, which are the same in every container.

Format: https://github.com/nianticlabs/spz. A section has one kind of value of all splats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...raw_splats import RawSplats, as_bytes, gaussians, logits_of
from ..smallest_three import with_largest, without_largest

SH_DEGREE = 4
"""Highest degree of harmonics in files; `Splats` have 3."""

_COLOUR = 0.15  # bytes cover colours of a range three times as wide as what can be shown
_SMALL_BITS = 9  # of a component of a quaternion, besides its sign
_SMALL = ((1 << _SMALL_BITS) - 1) * np.sqrt(2.0)  # the three smallest are at most sqrt(1/2)


@dataclass(frozen=True)
class Layout:
    """What is in the sections.

    Attributes:
        version: 1 to 4.
        splats: how many.
        degree: of their harmonics, 0 to 4.
        fraction: bits behind the point of positions.
    """

    version: int
    splats: int
    degree: int
    fraction: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of a splat's position, opacity, colour, scale, rotation and harmonics."""
        position, rotation = 6 if self.version == 1 else 9, 3 if self.version < 3 else 4
        harmonics = 3 * ((self.degree + 1) ** 2 - 1)
        return (position, 1, 3, 3, rotation, harmonics)

    @property
    def sections(self) -> tuple[int, ...]:
        """Bytes of each section."""
        return tuple(self.splats * size for size in self.sizes)


def unpacked(layout: Layout, sections: list[NDArray[np.uint8]]) -> RawSplats:
    """The splats of six sections; of degree 4, the first three degrees."""
    places, alphas, colours, scales, rotations, harmonics = (
        each.reshape(layout.splats, size) for each, size in zip(sections, layout.sizes, strict=True)
    )
    coeffs = min((layout.degree + 1) ** 2, 16) - 1
    sh = np.empty((layout.splats, 1 + coeffs, 3), np.float32)
    sh[:, 0] = (colours / 255.0 - 0.5) / _COLOUR
    sh[:, 1:] = harmonics[:, : 3 * coeffs].reshape(layout.splats, coeffs, 3)
    sh[:, 1:] -= 128.0
    sh[:, 1:] /= 128.0
    return gaussians(
        means=_positions(layout, places),
        quats=_smallest_three(rotations) if layout.version >= 3 else _first_three(rotations),
        log_scales=(scales / 16.0 - 10.0).astype(np.float32),
        logits=logits_of(alphas[:, 0] / 255.0),
        sh=sh,
    )


def _positions(layout: Layout, places: NDArray[np.uint8]) -> NDArray[np.float32]:
    if layout.version == 1:
        return np.ascontiguousarray(places).view("<f2").astype(np.float32)
    parts = places.reshape(-1, 3, 3)
    wide = np.zeros((layout.splats, 3, 4), np.uint8)
    wide[:, :, 1:] = parts  # the sign stands in the highest bit: shifted down it stays
    fixed = wide.reshape(layout.splats, 12).view("<i4") >> 8
    return (fixed / (1 << layout.fraction)).astype(np.float32)


def _first_three(rotations: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[N, 4] wxyz of three bytes x, y and z."""
    xyz = rotations / np.float32(127.5) - np.float32(1.0)
    w = np.sqrt(np.maximum(0.0, 1.0 - (xyz * xyz).sum(axis=1, keepdims=True)))
    return np.concatenate([w, xyz], axis=1).astype(np.float32)


def _smallest_three(rotations: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[N, 4] wxyz of 32 bits: which of xyzw is the largest, and the others, the last one lowest."""
    bits = np.ascontiguousarray(rotations).view("<u4")[:, 0].copy()
    largest = bits >> 30
    small = np.empty((len(bits), 3), np.float32)
    for column in (2, 1, 0):
        size = (bits & ((1 << _SMALL_BITS) - 1)) / _SMALL
        small[:, column] = np.where(bits >> _SMALL_BITS & 1, -size, size)
        bits >>= _SMALL_BITS + 1
    return with_largest(largest, small)[:, [3, 0, 1, 2]]


def packed(raw: RawSplats, fraction: int) -> list[bytes]:
    """Six sections, as versions 3 and 4 have them."""
    most = (1 << 23) - 1
    fixed = np.rint(raw.means.astype(np.float64) * (1 << fraction)).clip(-most - 1, most)
    places = fixed.astype("<i4").view(np.uint8).reshape(-1, 3, 4)[:, :, :3]
    sections = (
        places,
        as_bytes(raw.opacities * 255.0),
        as_bytes((raw.sh[:, 0] * _COLOUR + 0.5) * 255.0),
        as_bytes((raw.log_scales + 10.0) * 16.0),
        _packed_rotations(raw.quats),
        as_bytes((raw.sh[:, 1:] + 1.0) * 128.0),
    )
    return [np.ascontiguousarray(each).tobytes() for each in sections]


def _packed_rotations(quats: NDArray[np.float32]) -> NDArray[np.uint32]:
    """[N] of quaternions [N, 4] wxyz of length 1."""
    largest, small = without_largest(quats[:, [1, 2, 3, 0]].astype(np.float64))
    sizes = np.rint(np.abs(small) * _SMALL).clip(0, (1 << _SMALL_BITS) - 1).astype(np.uint32)
    values = sizes | (small < 0).astype(np.uint32) << _SMALL_BITS
    bits = largest.astype(np.uint32)
    for column in range(3):
        bits = bits << (_SMALL_BITS + 1) | values[:, column]
    return bits.astype("<u4")
