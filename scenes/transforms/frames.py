"""The frames of one document: photos by name, their cameras and poses."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..document import Entry, Fault
from ..errors import InputError
from ..photos.decoding import read_header
from .intrinsics import Intrinsics, intrinsics_of, size_of
from .poses import Pose, pose_of

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""Of photos, in the order in which they are tried where a name has none."""


@dataclass(frozen=True)
class Frame:
    """One photo, as the document states it."""

    name: str  # relative to the document's folder, with its ending
    size: tuple[int, int]  # [px]
    intrinsics: Intrinsics
    pose: Pose
    held_out: bool | None  # None where the document does not say
    mask: str | None = None  # path of its mask, relative to the document's folder


def read_frames(
    path: Path, document: Entry, held_out: bool | None, repairs: list[str]
) -> list[Frame]:
    """The frames of `document`, which was read from `path`; those that cannot be used are left out.

    `held_out` is what the document's name says of all its frames.

    Raises:
        InputError: there are no frames, or none can be used.
    """
    try:
        entries = document.items("frames")
        split = _Split.of(document, held_out)
    except Fault as fault:
        raise InputError(f"{path}: {fault}") from fault
    if not entries:
        raise InputError(f"{path}: has no frames: the list of photos and their poses")
    frames: dict[str, Frame] = {}
    faults, first_fault = 0, ""
    unlisted, first_unlisted = 0, ""
    for index, values in enumerate(entries):
        try:
            entry = _entry(index, values)
            name = name_on_disk(_file_path(entry), path.parent)
            if name in frames:
                raise Fault(f"{entry.at('file_path')} is {name}, which an earlier frame has")
            if not split.has(name):
                unlisted, first_unlisted = unlisted + 1, first_unlisted or name
                continue
            frames[name] = _frame(name, entry.over(document), path.parent, split.holds_out(name))
        except Fault as fault:
            faults, first_fault = faults + 1, first_fault or str(fault)
    if faults and not frames:
        raise InputError(f"{path}: none of {len(entries)} frames can be used; {first_fault}")
    if faults:
        repairs.append(f"{path}: left out {faults} of {len(entries)} frames; {first_fault}")
    if unlisted:
        repairs.append(
            f"{path}: left out {unlisted} of {len(entries)} frames that are neither in "
            f"train_filenames nor among those to test on (the first is {first_unlisted})"
        )
    return list(frames.values())


def _entry(index: int, values: object) -> Entry:
    if not isinstance(values, dict):
        raise Fault(f"frames[{index}] must be an object")
    return Entry(f"frames[{index}]", cast("dict[str, Any]", values))


def _file_path(entry: Entry) -> str:
    stated = entry.text("file_path")
    if stated is None:
        raise Fault(f"{entry.at('file_path')} is missing")
    return stated


def _frame(name: str, entry: Entry, folder: Path, held_out: bool | None) -> Frame:
    size = size_of(entry)
    if size is None:
        if not os.path.isfile(folder / name):
            raise Fault(f"{entry.place} states no w and h, and its photo {name} is not there")
        try:
            size = read_header(folder / name).size
        except InputError as error:
            raise Fault(str(error)) from error
    mask = _mask(entry, folder)
    return Frame(name, size, intrinsics_of(entry, size), pose_of(entry), held_out, mask)


def _mask(entry: Entry, folder: Path) -> str | None:
    try:
        stated = entry.text("mask_path")
    except Fault:  # some write an empty text for none
        return None
    return None if stated is None else name_on_disk(stated, folder)


def name_on_disk(stated: str, folder: Path) -> str:
    """The name of a photo, relative to `folder` where it lies below; with the ending of the file
    that is there, where Blender's writers leave it out."""
    name = stated.strip().replace("\\", "/")
    if posixpath.isabs(name) and Path(name).is_relative_to(folder.absolute()):
        name = Path(name).relative_to(folder.absolute()).as_posix()
    name = posixpath.normpath(name)
    if os.path.isfile(folder / name):
        return name
    endings = (made for ending in _ENDINGS for made in (name + ending, name + ending.upper()))
    return next((made for made in endings if os.path.isfile(folder / made)), name)


@dataclass(frozen=True)
class _Split:
    """Which photos are to train on and which to test on."""

    default: bool | None  # of all that no list names
    used: frozenset[str] | None  # None if all are
    test: frozenset[str]

    @classmethod
    def of(cls, document: Entry, held_out: bool | None) -> _Split:
        """By nerfstudio's lists; those to validate on are for testing where no others are."""
        train, test, validation = (
            _names(document, f"{part}_filenames") for part in ("train", "test", "val")
        )
        tested = test or validation or frozenset()
        return cls(held_out, None if train is None else train | tested, tested)

    def has(self, name: str) -> bool:
        """Whether a photo is to be used at all."""
        return self.used is None or _stem(name) in self.used

    def holds_out(self, name: str) -> bool | None:
        """Whether a photo is to test on, None where nothing says so."""
        return _stem(name) in self.test if self.test else self.default


def _names(document: Entry, key: str) -> frozenset[str] | None:
    listed = document.items(key)
    if listed is None:
        return None
    if not all(isinstance(name, str) for name in listed):
        raise Fault(f"{key} must be a list of names")
    return frozenset(_stem(posixpath.normpath(name.strip().replace("\\", "/"))) for name in listed)


def _stem(name: str) -> str:
    """A name as lists and frames both have it, whichever of them leaves the ending out."""
    stem, ending = posixpath.splitext(name)
    return stem if ending.lower() in _ENDINGS else name
