"""Photos: their size, their pixels as a pinhole camera sees them, and keeping them in memory."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...renderer.process import ForkLock
from ..errors import InputError
from .decoding import Header, read_mask, read_pixels, turned
from .lenses import Lens
from .undistort import sampling_maps, undistort

log = logging.getLogger(__name__)

_UNDOING = {6: 8, 8: 6}  # orientations that undo others; the rest undo themselves
_OVERSIZE = 2
"""A file is shrunk while it is decoded to no less than this many times the size that is used."""


def fits(size: tuple[int, int], camera_size: tuple[int, int]) -> bool:
    """Whether a photo has the size of its camera, up to one scale for both axes and a pixel."""
    lowest = max((s - 1) / c for s, c in zip(size, camera_size, strict=True))
    highest = min((s + 1) / c for s, c in zip(size, camera_size, strict=True))
    return lowest <= highest


def check_size(path: Path, size: tuple[int, int], camera_size: tuple[int, int]) -> None:
    """Checks that a photo `fits` its camera.

    Raises:
        InputError: a side differs by more than a pixel from what the scale allows.
    """
    if fits(size, camera_size):
        return
    advice = "use COLMAP's own photos"
    if fits((size[1], size[0]), camera_size):
        advice = "it is turned, and its EXIF does not say how; turn it back"
    raise InputError(
        f"{path}: the photo is {size[0]} x {size[1]}, but its camera is "
        f"{camera_size[0]} x {camera_size[1]}; {advice}"
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
    header: Header  # what the file says
    lens: Lens  # at the size to be used
    orientation: int = 1  # EXIF's, 1 to 8: how the file is turned to be what `lens` describes
    white: float = 255.0  # value of what is brightest, in files of more than 8 bits
    mask_file: Path | None = None  # what of the photo counts, besides its alpha channel
    is_masked: bool = False  # whether mask or alpha channel are to be used
    is_transparent: bool = False  # whether what they mask out is empty, rather than unknown

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the file [px]."""
        return self.header.size

    def decode(self) -> Tensor:
        """[H, W, 3] uint8 RGB, turned, resized and undistorted.

        Raises:
            InputError: the file cannot be decoded, or has changed since the capture was loaded.
        """
        return self.decode_with_alpha()[0]

    def decode_with_alpha(self) -> tuple[Tensor, Tensor | None]:
        """What `decode` gives, and [H, W] uint8 how much of each pixel counts, None if all of all.
        Colours are those of the part that counts, whatever is behind. Raises as `decode`."""
        width, height = turned(self.lens.size, self.orientation)
        at_least = (_OVERSIZE * width, _OVERSIZE * height)
        stored, alpha = read_pixels(self.path, self.header, at_least=at_least, white=self.white)
        photo = np.ascontiguousarray(_upright(stored, self.orientation))
        alpha = self._with_mask(alpha, photo.shape) if self.is_masked else None
        if alpha is None:
            return torch.from_numpy(self._straight(photo)), None
        # In between, colours are weighted by what counts: others must not come through.
        weighted = cv2.multiply(photo, cv2.merge([alpha, alpha, alpha]), scale=1 / 255)
        weighted = self._straight(np.dstack([weighted, alpha]))
        counts = np.ascontiguousarray(weighted[..., 3])
        colors = weighted[..., :3] * np.float32(255) / np.maximum(counts, 1)[..., None]
        colors = (colors + 0.5).clip(0, 255).astype(np.uint8)
        return torch.from_numpy(colors), torch.from_numpy(counts)

    def _with_mask(
        self, alpha: NDArray[np.uint8] | None, shape: tuple[int, ...]
    ) -> NDArray[np.uint8] | None:
        """[H, W] what counts, for a photo of this `shape` as it is turned; `alpha` is as it was
        stored."""
        upright = None if alpha is None else _upright(alpha, self.orientation)
        mask = None if self.mask_file is None else _mask_or_none(self.mask_file)
        if mask is None:
            return upright
        # Masks are drawn on the photo as it is stored, or as it is shown.
        if not fits((mask.shape[1], mask.shape[0]), self.lens.size):
            undone = _UNDOING.get(self.header.orientation, self.header.orientation)
            mask = _upright(mask, self.orientation if self.orientation != 1 else undone)
        mask = cv2.resize(mask, (shape[1], shape[0]), interpolation=cv2.INTER_AREA).astype(np.uint8)
        return mask if upright is None else np.minimum(upright, mask)

    def _straight(self, photo: NDArray[Any]) -> NDArray[Any]:
        """[H, W, C], resized and undistorted, of the same type."""
        if (photo.shape[1], photo.shape[0]) != self.lens.size:
            photo = cv2.resize(photo, self.lens.size, interpolation=cv2.INTER_AREA)
        elif not photo.flags.writeable:
            photo = photo.copy()
        return photo if self.lens.is_pinhole else undistort(photo, self.lens)

    def check(self) -> None:
        """Decodes all of the file, in as little memory as its format allows. Raises as `decode`."""
        read_pixels(self.path, self.header, at_least=(1, 1), white=self.white)
        if self.mask_file is not None:
            _mask_or_none(self.mask_file)

    def valid(self) -> Tensor | None:
        """[H, W] bool, True where the undistorted photo has a value; None if it has everywhere."""
        if self.lens.is_pinhole:
            return None
        valid = sampling_maps(self.lens).valid
        return None if valid.all() else torch.from_numpy(valid)


@lru_cache(maxsize=1024)
def _tell_once(words: str) -> None:
    log.warning("note: %s; used its photo whole", words)


def _mask_or_none(path: Path) -> NDArray[np.uint8] | None:
    """[H, W], or None, and a warning, of a file that cannot be decoded."""
    try:
        return read_mask(path)
    except InputError as error:
        _tell_once(str(error))
        return None


def _upright(stored: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """[H, W, ...] pixels, turned as EXIF's `orientation` asks for."""
    if orientation >= 5:
        stored = stored.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        stored = stored[:, ::-1]
    if orientation in (3, 4, 7, 8):
        stored = stored[::-1]
    return stored


class PhotoCache:
    """Keeps the most recently used images in memory, up to a number of bytes.

    What does not fit is decoded again when it is asked for. Safe to use from several threads.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._lock = ForkLock()
        self._entries: OrderedDict[object, Tensor | None] = OrderedDict()
        self._bytes = 0

    def __reduce__(self) -> tuple[type[PhotoCache], tuple[int]]:
        """Copies are empty: files are read faster than pixels are sent to another process."""
        return PhotoCache, (self.budget,)

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
        with torch.inference_mode(False):  # later calls may be outside of it
            value = make()
        self.put(key, value)
        return value

    def put(self, key: object, value: Tensor | None) -> None:
        """Keep an entry, unless it is held."""
        with self._lock:
            if key not in self._entries and _nbytes(value) <= self.budget:
                self._entries[key] = value
                self._bytes += _nbytes(value)
                while self._bytes > self.budget:
                    self._bytes -= _nbytes(self._entries.popitem(last=False)[1])


def _nbytes(value: Tensor | None) -> int:
    return 0 if value is None else value.nbytes
