"""Reading COLMAP's binary models: cameras.bin, images.bin and points3D.bin.

Layout: https://colmap.github.io/format.html. All numbers are little-endian; there are no record
lengths, so whatever does not fit is an error that names the record it happened in.
"""

from __future__ import annotations

import locale
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..errors import InputError
from .camera_models import MODEL_NAMES, PARAMETER_COUNTS
from .model import ColmapCamera, ColmapImage, ColmapPoints

_COUNT = struct.Struct("<Q")
_CAMERA = struct.Struct("<IiQQ")
_IMAGE = struct.Struct("<I7dI")
_POINT = np.dtype(
    [
        ("id", "<u8"),
        ("xyz", "<f8", 3),
        ("rgb", "u1", 3),
        ("error", "<f8"),
        ("length", "<u8"),
    ]
)
_OBSERVATION_2D = 24  # bytes of x, y and point id
_OBSERVATION_3D = 8  # bytes of image id and index


class _Cursor:
    """Takes bytes from the front of a file, and says what was missing when it ends early."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path.read_bytes()
        self.offset = 0

    def skip(self, size: int, what: str) -> int:
        """Moves past `size` bytes and returns where they start."""
        start = self.offset
        if start + size > len(self.data):
            raise self.cut(what, size)
        self.offset = start + size
        return start

    def cut(self, what: str, size: int) -> InputError:
        """The error for a file that ends before the `size` bytes of `what`."""
        return InputError(
            f"{self.path}: cut short in {what}: {size} bytes are due at offset {self.offset}, "
            f"but the file has only {len(self.data)} bytes; copy it again or run COLMAP again"
        )

    def take(self, layout: struct.Struct, what: str) -> tuple[int | float, ...]:
        """The next values of the given layout."""
        return layout.unpack_from(self.data, self.skip(layout.size, what))

    def count(self) -> int:
        """The number of records, with which every file begins."""
        return int(self.take(_COUNT, "the number of records")[0])

    def finish(self, repairs: list[str]) -> None:
        """Reports bytes that nothing has asked for."""
        rest = len(self.data) - self.offset
        if rest:
            repairs.append(f"{self.path}: ignored {rest} bytes after the last record")


def read_cameras(path: Path, repairs: list[str]) -> list[ColmapCamera]:
    """Cameras of cameras.bin, in file order.

    Raises:
        InputError: the file is cut short or has a model id that COLMAP does not have.
    """
    cursor = _Cursor(path)
    total = cursor.count()
    cameras: list[ColmapCamera] = []
    for index in range(total):
        what = f"camera {index + 1} of {total}"
        camera_id, model_id, width, height = (int(v) for v in cursor.take(_CAMERA, what))
        if not 0 <= model_id < len(MODEL_NAMES):
            raise InputError(
                f"{path}: camera {camera_id} has model id {model_id}; "
                f"known are 0-{len(MODEL_NAMES) - 1}"
            )
        model = MODEL_NAMES[model_id]
        layout = struct.Struct(f"<{PARAMETER_COUNTS[model]}d")
        params = tuple(float(value) for value in cursor.take(layout, what))
        cameras.append(ColmapCamera(camera_id, model, width, height, params))
    cursor.finish(repairs)
    return cameras


def count_records(path: Path) -> int:
    """The number of records that a file announces: of registered images in images.bin, of points
    in points3D.bin.

    Raises:
        InputError: the file is shorter than that number.
    """
    with path.open("rb") as file:
        head = file.read(_COUNT.size)
    if len(head) < _COUNT.size:
        raise InputError(f"{path}: cut short in the number of records: {len(head)} bytes")
    return int(_COUNT.unpack(head)[0])


def read_images(path: Path, repairs: list[str]) -> list[ColmapImage]:
    """Images of images.bin, in file order, without their 2D observations.

    Raises:
        InputError: the file is cut short or a name is not text.
    """
    cursor = _Cursor(path)
    total = cursor.count()
    images: list[ColmapImage] = []
    for index in range(total):
        what = f"image {index + 1} of {total}"
        image_id, *pose, camera_id = cursor.take(_IMAGE, what)
        end = cursor.data.find(b"\0", cursor.offset)
        name = _name(cursor, end, what)
        observations = int(cursor.take(_COUNT, what)[0])
        cursor.skip(observations * _OBSERVATION_2D, f"the 2D points of {what} ({name})")
        images.append(
            ColmapImage(
                image_id=int(image_id),
                qvec=np.array(pose[:4], np.float64),
                tvec=np.array(pose[4:], np.float64),
                camera_id=int(camera_id),
                name=name,
            )
        )
    cursor.finish(repairs)
    return images


def _name(cursor: _Cursor, end: int, what: str) -> str:
    if end < 0:
        raise InputError(
            f"{cursor.path}: cut short in the name of {what}: it has no end; "
            "copy the file again or run COLMAP again"
        )
    start = cursor.skip(end + 1 - cursor.offset, what)
    raw = cursor.data[start:end]
    # COLMAP stores the bytes it got from the system: UTF-8, or a code page on older Windows.
    for encoding in ("utf-8", locale.getpreferredencoding(False)):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InputError(
        f"{cursor.path}: the name of {what} is not UTF-8: {raw[:60]!r}; rename the photo "
        "and run COLMAP again"
    )


def read_points(path: Path, repairs: list[str]) -> ColmapPoints:
    """Points of points3D.bin, in file order.

    Raises:
        InputError: the file is cut short.
    """
    cursor = _Cursor(path)
    total = cursor.count()
    starts = _point_starts(cursor, total)
    cursor.finish(repairs)
    if not starts:
        return ColmapPoints.none()

    first, raw = np.array(starts, np.int64), np.frombuffer(cursor.data, np.uint8)
    records = np.empty(total, _POINT)
    for part in _blocks(total):
        records[part] = raw[first[part, None] + np.arange(_POINT.itemsize)].view(_POINT)[:, 0]
    lengths = records["length"].astype(np.int64)
    return ColmapPoints(
        xyz=records["xyz"].astype(np.float64),
        rgb=records["rgb"].astype(np.uint8),
        errors=records["error"].astype(np.float64),
        track_lengths=lengths,
        track_images=_track_images(raw, first, lengths),
    )


def _track_images(
    raw: NDArray[np.uint8], first: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The image ids of the tracks of points whose records begin at `first`."""
    # Observation j of a point lies j * 8 bytes behind the record; its image id comes first.
    ids = np.arange(lengths.sum()) * _OBSERVATION_3D  # where they are, then what
    before = np.cumsum(lengths) - lengths
    ids += np.repeat(first + _POINT.itemsize - before * _OBSERVATION_3D, lengths)
    for part in _blocks(len(ids)):
        ids[part] = raw[ids[part, None] + np.arange(4)].view("<u4")[:, 0]
    return ids


def _blocks(count: int) -> Iterator[slice]:
    return (slice(at, at + limits.POINT_BLOCK) for at in range(0, count, limits.POINT_BLOCK))


def _point_starts(cursor: _Cursor, total: int) -> list[int]:
    """Where each record begins: they differ in length, so this walks from one to the next."""
    data, end = cursor.data, len(cursor.data)
    starts: list[int] = []
    for index in range(total):
        offset = cursor.offset + _POINT.itemsize
        if offset <= end:
            offset += _OBSERVATION_3D * int(_COUNT.unpack_from(data, offset - _COUNT.size)[0])
        if offset > end:
            raise cursor.cut(f"point {index + 1} of {total}", offset - cursor.offset)
        starts.append(cursor.offset)
        cursor.offset = offset
    return starts
