"""Photos: finding them by name, checking their size, decoding and keeping them in memory.

COLMAP calibrates photos as they are stored, so EXIF orientation is ignored throughout.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..errors import InputError
from .lenses import Lens
from .undistort import sampling_maps, undistort

# Formats that Pillow can measure and OpenCV can decode; MPO is what some phones write as JPEG.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "PPM")


def find_photos(folder: Path, names: Sequence[str], repairs: list[str]) -> dict[str, Path]:
    """The file of each name: `folder`/name, or else the only file below with that file name.

    Raises:
        InputError: photos are missing.
    """
    found: dict[str, Path] = {}
    rest: list[str] = []
    for name in names:
        # Models made on Windows may separate sub-folders with backslashes.
        paths = (folder / name, folder / name.replace("\\", "/"))
        path = next((path for path in paths if os.path.isfile(path)), None)
        if path:
            found[name] = path
        else:
            rest.append(name)
    if rest:
        found |= _find_by_file_name(folder, rest, repairs)
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} of {len(names)} photos of the model are missing, "
            f"first {missing[0]}; put them there or name their folder"
        )
    return found


def _find_by_file_name(folder: Path, names: Sequence[str], repairs: list[str]) -> dict[str, Path]:
    files: dict[str, list[Path]] = {}
    for parent, _, children in os.walk(folder):
        for child in children:
            files.setdefault(child.lower(), []).append(Path(parent, child))
    found: dict[str, Path] = {}
    for name in names:
        candidates = files.get(name.replace("\\", "/").rsplit("/", 1)[-1].lower(), [])
        if len(candidates) == 1:
            found[name] = candidates[0]
    if found:
        name, path = next(iter(found.items()))
        repairs.append(
            f"{folder}: found {len(found)} photos by their file name alone (first {name} as {path})"
        )
    return found


def photo_size(path: Path) -> tuple[int, int]:
    """(width, height) [px] from the header of the file, without decoding it.

    Raises:
        InputError: it is not a photo in a format that can be decoded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                size, kind = image.size, image.format
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as a photo: {_one_line(error)}") from error
    if kind not in _FORMATS:
        raise InputError(f"{path}: is a {kind} file; convert it to JPEG or PNG")
    return size


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def check_size(path: Path, size: tuple[int, int], camera_size: tuple[int, int]) -> None:
    """Checks that a photo has the size of its camera, up to one scale for both axes.

    Raises:
        InputError: a side differs by more than a pixel from what the scale allows.
    """
    lowest = max((s - 1) / c for s, c in zip(size, camera_size, strict=True))
    highest = min((s + 1) / c for s, c in zip(size, camera_size, strict=True))
    if lowest > highest:
        swapped = size == camera_size[::-1]
        raise InputError(
            f"{path}: the photo is {size[0]} x {size[1]}, but its camera is "
            f"{camera_size[0]} x {camera_size[1]}; "
            + ("it was rotated after COLMAP had seen it" if swapped else "use COLMAP's own photos")
        )


def fit_within(size: tuple[int, int], max_size: int | None) -> tuple[int, int]:
    """`size` shrunk so that its longest side is at most `max_size` [px]; never enlarged."""
    longest = max(size)
    if max_size is None or longest <= max_size:
        return size
    return (
        max(1, round(size[0] * max_size / longest)),
        max(1, round(size[1] * max_size / longest)),
    )


@dataclass(frozen=True)
class Photo:
    """A photo on disk and the lens that describes it at the size at which it is used."""

    path: Path
    size: tuple[int, int]  # (width, height) of the file [px]
    lens: Lens  # at the size to be used

    def decode(self) -> Tensor:
        """[H, W, 3] uint8 RGB, resized and undistorted.

        Raises:
            InputError: the file cannot be decoded, or has changed since the capture was loaded.
        """
        try:
            raw = np.fromfile(self.path, np.uint8)
            flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
            decoded = cv2.imdecode(raw, flags) if raw.size else None
        except (OSError, cv2.error) as error:
            raise InputError(f"{self.path}: cannot be decoded: {_one_line(error)}") from error
        if decoded is None:
            raise InputError(f"{self.path}: cannot be decoded: the file is damaged")
        if decoded.shape[:2] != self.size[::-1]:
            raise InputError(
                f"{self.path}: the photo is {decoded.shape[1]} x {decoded.shape[0]}, "
                f"not {self.size[0]} x {self.size[1]}; it has changed since it was loaded"
            )
        photo: NDArray[np.uint8] = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB).astype(np.uint8)
        if self.size != self.lens.size:
            photo = cv2.resize(photo, self.lens.size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        return torch.from_numpy(photo if self.lens.is_pinhole else undistort(photo, self.lens))

    def mask(self) -> Tensor | None:
        """[H, W] bool, True where the undistorted photo has a value; None if it has everywhere."""
        if self.lens.is_pinhole:
            return None
        valid = sampling_maps(self.lens).valid
        return None if valid.all() else torch.from_numpy(valid)


class PhotoCache:
    """Keeps the most recently used images in memory, up to a number of bytes.

    What does not fit is decoded again when it is asked for. Safe to use from several threads.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._lock = threading.Lock()
        self._entries: OrderedDict[object, Tensor | None] = OrderedDict()
        self._bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes held at present."""
        return self._bytes

    def get(self, key: object, make: Callable[[], Tensor | None]) -> Tensor | None:
        """The entry of `key`, made by `make` unless it is held. Not to be written to."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        # Decoding is slow and must not keep other threads waiting; two may do the same work.
        value = make()
        with self._lock:
            if key not in self._entries and _nbytes(value) <= self.budget:
                self._entries[key] = value
                self._bytes += _nbytes(value)
                while self._bytes > self.budget:
                    self._bytes -= _nbytes(self._entries.popitem(last=False)[1])
        return value


def _nbytes(value: Tensor | None) -> int:
    return 0 if value is None else value.nbytes
