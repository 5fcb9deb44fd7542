"""Reading COLMAP's text models: cameras.txt, images.txt and points3D.txt.

Layout: https://colmap.github.io/format.html. Many programs write these files, not all of them well:
names with spaces, points lines left out, a last line missing, carriage returns, a byte-order mark,
Microsoft's spelling of not-a-number. All of that is read; what had to be guessed is reported.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .. import limits
from ..errors import InputError
from .camera_models import ALIASES, MODEL_NAMES, PARAMETER_COUNTS
from .model import ColmapCamera, ColmapImage, ColmapPoints

_NOT_A_NUMBER = re.compile(r"[+-]?(nan(\(\w*\))?|inf|1\.#\w+)", re.IGNORECASE)
_WORD = re.compile(r"\S+")
_NUMERIC = frozenset("0123456789+-.eE \t")
_POSE = "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"


def _lines(path: Path, repairs: list[str]) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, without comments, line ends and surrounding space."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if number == 1 and raw.startswith(b"\xef\xbb\xbf"):
                repairs.append(f"{path}:1: ignored a byte-order mark")
                raw = raw[3:]
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}:{number}: not UTF-8 text; save the file as UTF-8"
                ) from error
            stripped = text.strip(" \t\r\n")
            if not stripped.startswith("#"):
                yield number, stripped


def _words(text: str, path: Path, line: int) -> list[str]:
    if len(text) > limits.TEXT_LINE:
        raise InputError(
            f"{path}:{line}: has {len(text):,} characters, of {limits.TEXT_LINE:,} possible; "
            "the file is damaged"
        )
    return text.split()


def count_points(path: Path) -> int:
    """The number of points in points3D.txt, by its lines.

    Raises:
        InputError: it is not text.
    """
    return sum(bool(text) for _, text in _lines(path, []))


def _number(token: str, path: Path, line: int) -> float:
    try:
        return float(token)
    except ValueError:
        if _NOT_A_NUMBER.fullmatch(token):
            return float("nan")
        raise InputError(f'{path}:{line}: expected a number, found "{token[:40]}"') from None


def _integer(token: str, path: Path, line: int) -> int:
    value = _number(token, path, line)
    if not (value.is_integer() and abs(value) < 2.0**63):
        raise InputError(f'{path}:{line}: expected a whole number, found "{token[:40]}"')
    # Beyond 2^53 a float is no longer exact, and COLMAP's largest ids are there.
    exact = token.lstrip("+-").isdecimal() and len(token) <= 2 * limits.COUNT_DIGITS
    return int(token) if exact else int(value)


def read_cameras(path: Path, repairs: list[str]) -> list[ColmapCamera]:
    """Cameras of cameras.txt, in file order.

    Raises:
        InputError: a line is malformed or names a model that COLMAP does not have.
    """
    cameras: list[ColmapCamera] = []
    for line, text in _lines(path, repairs):
        if not text:
            continue
        tokens = _words(text, path, line)
        if len(tokens) < 4:
            raise InputError(
                f'{path}:{line}: expected "CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]", '
                f'found "{text[:60]}"'
            )
        camera_id, model = _integer(tokens[0], path, line), tokens[1].upper()
        if model in ALIASES:
            repairs.append(f"{path}:{line}: took {model} for COLMAP's {ALIASES[model]}")
            model = ALIASES[model]
        if model not in PARAMETER_COUNTS:
            raise InputError(
                f'{path}:{line}: camera {camera_id} has model "{model[:40]}"; '
                f"known are {', '.join(MODEL_NAMES)}"
            )
        params = tuple(_number(token, path, line) for token in tokens[4:])
        if len(params) != PARAMETER_COUNTS[model]:
            raise InputError(
                f"{path}:{line}: camera {camera_id} has {len(params)} parameters; "
                f"{model} has {PARAMETER_COUNTS[model]}"
            )
        size = (_integer(tokens[2], path, line), _integer(tokens[3], path, line))
        cameras.append(ColmapCamera(camera_id, model, *size, params))
    return cameras


def _is_points_line(text: str) -> bool:
    """Whether this is a list of "X Y POINT3D_ID", which may be empty, and not a pose."""
    # A pose whose photo is called, say, "0001" is numeric too, but has ten values.
    numbers = text if _NUMERIC.issuperset(text) else _NOT_A_NUMBER.sub("0", text)
    return _NUMERIC.issuperset(numbers) and _count_words(numbers) % 3 == 0


def _count_words(text: str) -> int:
    if len(text) <= limits.TEXT_LINE:
        return len(text.split())
    return sum(1 for _ in _WORD.finditer(text))  # slower, in no memory


def read_images(path: Path, repairs: list[str]) -> list[ColmapImage]:
    """Images of images.txt, in file order, without their 2D observations.

    Every pose should be followed by a line of points, which may be empty; where that line is left
    out, the next line is taken for what it looks like.

    Raises:
        InputError: a line is neither.
    """
    images: list[ColmapImage] = []
    alone: list[int] = []  # lines of poses without a points line
    late: list[int] = []  # lines of points behind an empty one, which was taken for theirs
    pose_line = 0  # line of the pose whose points line is due, or 0
    for line, text in _lines(path, repairs):
        if pose_line and _is_points_line(text):
            pose_line = 0
        elif text and images and _is_points_line(text):
            late.append(line)
        elif text:
            if pose_line:
                alone.append(pose_line)
            images.append(_pose(text, path, line))
            pose_line = line
    if pose_line:
        alone.append(pose_line)
    if alone:
        repairs.append(
            f"{path}:{alone[0]}: {len(alone)} of {len(images)} images have no points line "
            "(the first is here); kept them all"
        )
    if late:
        repairs.append(
            f"{path}:{late[0]}: {len(late)} lists of 2D points follow an empty line (the first is "
            "here); went on behind them"
        )
    return images


def _pose(text: str, path: Path, line: int) -> ColmapImage:
    tokens = text.split(None, 9)
    if len(tokens) < 10:
        raise InputError(f'{path}:{line}: expected "{_POSE}", found "{text[:60]}"')
    pose = np.array([_number(token, path, line) for token in tokens[1:8]])
    return ColmapImage(
        image_id=_integer(tokens[0], path, line),
        qvec=pose[:4],
        tvec=pose[4:],
        camera_id=_integer(tokens[8], path, line),
        name=tokens[9],
    )


def read_points(path: Path, repairs: list[str]) -> ColmapPoints:
    """Points of points3D.txt, in file order.

    Raises:
        InputError: a line is malformed.
    """
    values = array("d")  # seven a point
    lengths, images = array("q"), array("q")
    for line, text in _lines(path, repairs):
        if not text:
            continue
        tokens = _words(text, path, line)
        if len(tokens) < 8 or len(tokens) % 2:
            raise InputError(
                f'{path}:{line}: expected "POINT3D_ID X Y Z R G B ERROR TRACK[]", '
                f'found "{text[:60]}"'
            )
        try:
            numbers = [float(token) for token in tokens[1:8]]
            track = array("q", [int(token) for token in tokens[8::2]])
        except (ValueError, OverflowError):
            numbers = [_number(token, path, line) for token in tokens[1:8]]
            track = array("q", [_integer(token, path, line) for token in tokens[8::2]])
        values.extend(numbers)
        images.extend(track)
        lengths.append(len(track))
    if not lengths:
        return ColmapPoints.none()
    table = np.array(values).reshape(-1, 7)
    return ColmapPoints(
        xyz=table[:, :3],
        rgb=np.nan_to_num(table[:, 3:6]).clip(0, 255).astype(np.uint8),
        errors=table[:, 6],
        track_lengths=np.array(lengths, np.int64),
        track_images=np.array(images, np.int64),
    )
