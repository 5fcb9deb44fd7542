"""Photos for the names in a model: which can be used, how they are turned, and what is white."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, printable
from .decoding import Header, read_header, turned, white_level
from .finding import Found
from .images import Photo, check_size, fit_within, fits
from .lenses import Lens

MIN_PHOTOS = 3
"""Fewer photos than this are not a capture."""
_SAMPLED = 12
"""Photos of more than 8 bits that are asked for their brightest pixel."""


@dataclass(frozen=True)
class _Candidate:
    path: Path
    header: Header
    lens: Lens

    def fits(self, orientation: int) -> bool:
        """Whether the photo has the shape of its camera when it is turned like this."""
        return fits(turned(self.header.size, orientation), self.lens.size)


def fewest(total: int) -> int:
    """How many of `total` photos must be left for a capture to be worth training on."""
    return max(MIN_PHOTOS, (total + 1) // 2)


def choose_photos(
    found: Found, lenses: Mapping[str, Lens], max_size: int | None, repairs: list[str]
) -> dict[str, Photo]:
    """The photos that can be used, by name; why others cannot is added to `found.reasons`.

    Args:
        found: files by name.
        lenses: of every name.
        max_size: photos are shrunk to this many pixels on their longest side.
        repairs: gets a line for what was done to them.
    """
    candidates: dict[str, _Candidate] = {}
    for name, path in found.paths.items():
        try:
            candidates[name] = _Candidate(path, read_header(path), lenses[name])
        except InputError as error:
            found.reasons[name] = str(error)
    orientations = _orientations(candidates, found.folder, repairs)
    whites = _whites(list(candidates.values()), found.folder, repairs)
    photos: dict[str, Photo] = {}
    for name, each in candidates.items():
        size = turned(each.header.size, orientations[name])
        try:
            check_size(each.path, size, each.lens.size)
        except InputError as error:
            found.reasons[name] = str(error)
            continue
        lens = each.lens.resized(fit_within(size, each.lens.longest_side(max_size)))
        white = whites.get(each.header.bits, 255.0)
        photos[name] = Photo(each.path, each.header, lens, orientations[name], white)
    return photos


def check_enough(
    folder: Path, reasons: Mapping[str, str], left: int, total: int, masks: Path | None = None
) -> None:
    """Checks that enough of `total` photos are left of those in `folder`.

    Args:
        folder: where photos were looked for.
        reasons: why others cannot be used, by name.
        left: how many can.
        total: how many there are in the model.
        masks: a folder of masks, which was not looked into.

    Raises:
        InputError: less than half are left, or fewer than three.
    """
    if left >= fewest(total):
        return
    name, reason = min(reasons.items())
    aside = f" ({masks} was not looked into: masks are no photos)" if masks else ""
    raise InputError(
        f"{folder}: {total - left} of {total} photos of the model are missing or cannot be used, "
        f"and {fewest(total)} are needed; first {printable(name)}: {reason}{aside}; "
        "put them there, or name their folder with --images"
    )


def _orientations(
    candidates: Mapping[str, _Candidate], folder: Path, repairs: list[str]
) -> dict[str, int]:
    """How each photo is turned: not at all, as COLMAP sees them, unless its camera has the shape
    that EXIF gives it. Where that holds for all photos whose shape tells, it holds for others."""
    oriented = {name: each for name, each in candidates.items() if each.header.orientation != 1}
    by_exif = {
        name: each.header.orientation
        for name, each in oriented.items()
        if each.fits(each.header.orientation) and not each.fits(1)
    }
    as_stored = [
        name
        for name, each in oriented.items()
        if each.fits(1) and not each.fits(each.header.orientation)
    ]
    if by_exif and not as_stored:
        by_exif = {
            name: each.header.orientation
            for name, each in oriented.items()
            if each.fits(each.header.orientation)
        }
    if by_exif:
        repairs.append(
            f"{folder}: turned {len(by_exif)} photos as their EXIF says: so their cameras have them"
        )
    return {name: by_exif.get(name, 1) for name in candidates}


def _whites(candidates: Sequence[_Candidate], folder: Path, repairs: list[str]) -> dict[int, float]:
    """What is white in photos of more than 8 bits, by their bits; one value for a capture, whose
    photos may be of different brightness."""
    whites: dict[int, float] = {}
    for bits in sorted({each.header.bits for each in candidates} - {8}):
        paths = [each.path for each in candidates if each.header.bits == bits]
        sampled = paths[:: max(1, len(paths) // _SAMPLED)]
        white, brightest = white_level(sampled, bits)
        whites[bits] = white
        if white not in (1, 65535):
            repairs.append(
                f"{folder}: values of {bits}-bit photos go up to {brightest:g} only; "
                f"took {white:g} for white"
            )
    return whites
