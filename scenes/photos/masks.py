"""Which parts of photos count: alpha channels, and files with masks beside the photos.

A mask is a picture of the photo's shape, white where the photo counts and black where it does not,
named after it as COLMAP wants (masks/NAME.png, NAME with its own ending) or with another ending.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..colmap.model import ColmapModel
from ..errors import InputError, printable
from .decoding import ENDINGS, read_header
from .images import Photo, fits
from .names import parts_of, same_key

MaskMode = Literal["auto", "ignore", "transparent"]
"""What is masked out: no part of the scene that counts, or nothing at all, so that the scene stands
free. "auto": nothing at all for alpha channels of transforms.json, as its programs have it."""
MODES: tuple[MaskMode, ...] = ("auto", "ignore", "transparent")

FOLDERS = ("masks", "mask")
"""Where masks are looked for, beside the photos."""


@dataclass(frozen=True)
class MaskPlaces:
    """Where masks may be.

    Attributes:
        folder: the one that was named, if any.
        homes: folders of the capture, whose masks/ are taken without.
        stated: files by the names of photos, as far as the capture's own files state them.
        transparent: whether "auto" takes alpha channels for transparency.
    """

    folder: Path | None
    homes: Sequence[Path]
    stated: Mapping[str, Path]
    transparent: bool


def mask_places(
    model: ColmapModel, homes: Sequence[Path], named: Path | None, repairs: list[str]
) -> MaskPlaces:
    """Where masks of a capture are: those that its files state, or in `homes`, unless somebody has
    `named` a folder; `repairs` gets a line where some that are stated are not there."""
    stated: dict[str, Path] = {}
    missing: list[Path] = []
    for image in model.images if named is None else ():
        if image.mask is not None:
            path = model.folder / image.mask
            if os.path.isfile(path):
                stated[image.name] = path
            else:
                missing.append(path)
    if missing:
        repairs.append(
            f"{len(missing)} masks that {model.images_file} names are not there, first "
            f"{printable(str(missing[0]))}; used their photos whole"
        )
    distinct = list(dict.fromkeys(home.resolve() for home in homes))
    return MaskPlaces(named, distinct, stated, model.images_file.suffix.lower() == ".json")


def with_masks(
    photos: Mapping[str, Photo], places: MaskPlaces, mode: MaskMode, repairs: list[str]
) -> dict[str, Photo]:
    """The photos, each with the mask that was found for it; `repairs` gets a line for that."""
    files = dict(places.stated) or _files_of(photos, places, repairs)
    masked: dict[str, Photo] = {}
    taken: list[Path] = []
    unfit: list[str] = []
    for name, photo in photos.items():
        path = files.get(name)
        fault = None if path is None else _fault(path, photo)
        if fault is not None:
            unfit.append(fault)
        elif path is not None:
            taken.append(path)
            masked[name] = replace(photo, mask_file=path, is_masked=True)
            continue
        if photo.header.alpha:
            masked[name] = replace(photo, is_masked=True)
    if unfit:
        more = f"; and {len(unfit) - 1} more" if len(unfit) > 1 else ""
        repairs.append(f"{unfit[0]}; used the photo whole{more}")
    if masked:
        by_alpha = mode == "auto" and places.transparent
        for name, photo in masked.items():
            transparent = mode == "transparent" or (by_alpha and photo.mask_file is None)
            masked[name] = replace(photo, is_transparent=transparent)
        _say(masked.values(), taken, len(photos), repairs)
    return {**photos, **masked}


def _say(masked: Collection[Photo], taken: Sequence[Path], total: int, repairs: list[str]) -> None:
    by_alpha = sum(photo.header.alpha for photo in masked)
    sources = [f"{by_alpha} alpha channels"] if by_alpha else []
    sources += [f"{len(taken)} files, the first {taken[0]}"] if taken else []
    empty = sum(photo.is_transparent for photo in masked)
    of_these = "" if empty in (0, len(masked)) else f" of {empty} photos"
    meaning = (
        f"what they mask out{of_these} is empty: trained before changing backgrounds"
        if empty
        else "what they mask out counts nowhere (to have the scene stand free: "
        "--mask-mode transparent)"
    )
    repairs.append(
        f"masks of {len(masked)} of {total} photos ({'; '.join(sources)}): {meaning}; "
        "--masks none does without"
    )


def _fault(path: Path, photo: Photo) -> str | None:
    """Why a mask cannot be that of the photo, or None."""
    try:
        size = read_header(path).size
    except InputError as error:
        return str(error)
    turned = max(photo.orientation, photo.header.orientation) >= 5
    if fits(size, photo.lens.size) or (turned and fits((size[1], size[0]), photo.lens.size)):
        return None
    return (
        f"{path}: the mask is {size[0]} x {size[1]}, which its photo, {photo.size[0]} x "
        f"{photo.size[1]}, does not have at any scale"
    )


def _files_of(
    names: Mapping[str, Photo], places: MaskPlaces, repairs: list[str]
) -> dict[str, Path]:
    """The mask of each name, as far as there is one that no other has."""
    folders = [home / each for home in places.homes for each in FOLDERS]
    for folder in folders if places.folder is None else [places.folder]:
        files = _Files(folder)
        found = {name: path for name in names if (path := files.mask_of(name)) is not None}
        claims = Counter(found.values())
        shared = [path for path, count in claims.items() if count > 1]
        if shared:
            repairs.append(
                f"{shared[0]}: would be the mask of {claims[shared[0]]} photos; used none of "
                f"{len(shared)} such masks; put them into folders as the photos are"
            )
        if found:
            return {name: path for name, path in found.items() if claims[path] == 1}
    if places.folder is not None and names:
        raise InputError(
            f"{places.folder}: has no mask for any photo; a mask is named after its photo, "
            f"such as {min(names)}.png"
        )
    return {}


class _Files:
    """The files in a folder and below, by what masks may be called."""

    def __init__(self, folder: Path) -> None:
        self._by_path: dict[str, Path] = {}
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for parent, folders, files in os.walk(folder):
            folders.sort()
            for file in sorted(files):
                path = Path(parent, file)
                if path.suffix.lower() not in ENDINGS:
                    continue
                key = same_key(path.relative_to(folder).as_posix())
                self._by_path[key] = path
                self._by_stem[key.rpartition(".")[0]].append(path)

    def mask_of(self, name: str) -> Path | None:
        """By the whole name, then without the folders that lead to the photo, one after another."""
        parts = [same_key(part) for part in parts_of(name)]
        for first in range(len(parts)):
            wanted = "/".join(parts[first:])
            stem = wanted.rpartition(".")[0]
            candidates = [self._by_path.get(f"{wanted}.png"), self._by_path.get(wanted)]
            candidates += self._by_stem.get(wanted, []) + self._by_stem.get(stem, [])
            found = next((path for path in candidates if path is not None), None)
            if found is not None:
                return found
        return None
