"""Camera path files, in the format of nerfstudio's JSON.

"keyframes" are what a person edits, each with a "matrix" (camera to world, 16 numbers by rows,
OpenGL axes: y up, looking along -z) and a "fov" (vertical, in degrees); "camera_path" has one entry
for each picture, with a "camera_to_world" and a "fov" alike; "fps", "render_width" and
"render_height" say what video they make. Poses are in the frame of the capture; a `Placement` leads
from there to ours.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from viser import transforms

from ...scenes import InputError, limits
from ...scenes.document import parse
from ..settings import Pose
from .path import DEFAULT_FPS, DEFAULT_SECONDS, MAX_FPS, MAX_FRAMES, CameraPath, Keyframe

Origin = tuple[float, float, float]


@dataclass(frozen=True)
class Placement:
    """Where a scene lies in the frame of its capture: at unit * x + origin.

    Attributes:
        origin: what was subtracted from all coordinates of the capture.
        unit: length of one unit of the scene, in those of the capture.
    """

    origin: Origin = (0.0, 0.0, 0.0)
    unit: float = 1.0


MAX_KEYFRAMES = 200

MAX_SIDE = 16_384
"""Largest width and height that a file may ask for [px]."""

KEPT_FRAMES = 50
"""Largest number of keyframes made of the pictures of a file without keyframes."""

OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0])

MALFORMED = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OverflowError,
)
"""Exceptions that reading a file of another format, or of nonsense, raises."""


@dataclass(frozen=True)
class Film:
    """Cameras of a path's pictures, with the format of their video as far as the file says it.

    Attributes:
        views: camera of each picture, at least one.
        fps: pictures per second of the video; None where the file does not say.
        size: (width, height) of the video [px]; None where the file does not say.
    """

    views: Sequence[Keyframe]
    fps: int | None
    size: tuple[int, int] | None

    def poses(self, canvas: tuple[int, int]) -> list[Pose]:
        """The pose of each picture, for pictures of the size `canvas`, (width, height) [px]."""
        return [Pose(each.wxyz, each.position, each.fov, canvas) for each in self.views]


def path_to_json(path: CameraPath, size: tuple[int, int], placement: Placement) -> str:
    """The JSON of `path`, for pictures of `size` (width, height) [px].

    Raises:
        InputError: the path has too many frames.
    """
    aspect = size[0] / size[1]
    # nerfstudio keeps with a keyframe the time that leads to it, with the first one that of a loop.
    leading = [each.seconds for each in (*path.keyframes[-1:], *path.keyframes[:-1])]
    keyframes = [
        {
            "matrix": _matrix(each, placement),
            "fov": math.degrees(each.fov),
            "aspect": aspect,
            "override_transition_enabled": True,
            "override_transition_sec": seconds,
        }
        for each, seconds in zip(path.keyframes, leading, strict=True)
    ]
    frames = [
        {
            "camera_to_world": _matrix(each, placement),
            "fov": math.degrees(each.fov),
            "aspect": aspect,
        }
        for each in path.poses(size)
    ]
    content = {
        "camera_type": "perspective",
        "render_width": size[0],
        "render_height": size[1],
        "fps": path.fps,
        "seconds": path.duration,
        "is_cycle": path.loop,
        "default_transition_sec": DEFAULT_SECONDS,
        "keyframes": keyframes,
        "camera_path": frames,
    }
    return json.dumps(content)


def path_from_json(text: str | bytes, placement: Placement) -> CameraPath:
    """The editable path of a file.

    A file without keyframes gets them from its pictures: all, or KEPT_FRAMES of them evenly
    chosen, at the times of the pictures.

    Raises:
        InputError: it is not such a file; the message does not name it.
    """
    try:
        content = _parsed(text)
        fps = _fps(content) or DEFAULT_FPS
        keyframes = _keyframes(content, placement) or _kept(content, placement, fps)
        return CameraPath(tuple(keyframes), fps, bool(content.get("is_cycle", False)))
    except MALFORMED as error:
        raise _not_a_path(error) from error


def film_from_json(text: str | bytes, placement: Placement) -> Film:
    """The pictures of a file, for rendering.

    Raises:
        InputError: it is not such a file or has no pictures; the message does not name it.
    """
    try:
        content = _parsed(text)
        views = _cameras(_frames(content), "camera_to_world", placement)
        return Film(views, _fps(content), _size(content))
    except MALFORMED as error:
        raise _not_a_path(error) from error


def _parsed(text: str | bytes) -> dict[str, Any]:
    return dict(parse(text).values)


def _not_a_path(error: Exception) -> InputError:
    return InputError(f"not a camera path: {_reason(error)}")


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _fps(content: dict[str, Any]) -> int | None:
    """Pictures per second of the video; None where the file does not say."""
    if content.get("fps") is None:
        return None
    fps = round(float(content["fps"]))
    if not 1 <= fps <= MAX_FPS:
        raise ValueError(f"fps must be between 1 and {MAX_FPS}, not {content['fps']}")
    return fps


def _size(content: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height of the video; None where the file does not say both."""
    said = (content.get("render_width"), content.get("render_height"))
    if None in said:
        return None
    width, height = (round(float(side)) for side in said if side is not None)
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise ValueError(f"its pictures are {width}x{height}; a side must be 1 to {MAX_SIDE}")
    return width, height


def _frames(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Entries of the pictures, whose contents are not checked yet."""
    frames = content["camera_path"]
    if not isinstance(frames, list):
        raise ValueError("camera_path is no list")
    if not 0 < len(frames) <= MAX_FRAMES:
        raise ValueError(f"it has {len(frames):,} frames, not 1 to {MAX_FRAMES:,}")
    return frames


def _matrix(camera: Pose | Keyframe, placement: Placement) -> list[float]:
    pose = np.eye(4)
    rotation = transforms.SO3(np.array(camera.wxyz)).normalize().as_matrix()
    pose[:3, :3] = rotation @ OPENGL_TO_OPENCV
    pose[:3, 3] = placement.unit * np.array(camera.position) + placement.origin
    return pose.ravel().tolist()


def _cameras(
    entries: Sequence[dict[str, Any]],
    pose: str,
    placement: Placement,
    chosen: Sequence[int] | None = None,
) -> list[Keyframe]:
    """Cameras of the `chosen` entries, or of all; the key `pose` holds the matrix of each."""
    cameras: list[Keyframe] = []
    for number in range(len(entries)) if chosen is None else chosen:
        entry = entries[number]
        try:
            cameras.append(_camera(entry[pose], entry["fov"], placement))
        except MALFORMED as error:
            raise ValueError(f"entry {number}: {_reason(error)}") from error
    return cameras


def _camera(numbers: Any, fov: Any, placement: Placement) -> Keyframe:
    matrix = np.array(numbers, float).reshape(4, 4)
    axes = matrix[:3, :3]
    # No entry of a rotation is larger than 1; the square of a huge one would overflow.
    small = (np.abs(matrix) < limits.VALUE).all() and np.abs(axes).max() < 2
    rigid = small and np.allclose(axes.T @ axes, np.eye(3), atol=0.02)
    if not (rigid and np.linalg.det(axes) > 0):
        raise ValueError("its matrix is no rigid pose")
    w, x, y, z = transforms.SO3.from_matrix(axes @ OPENGL_TO_OPENCV).normalize().wxyz.tolist()
    px, py, pz = ((matrix[:3, 3] - placement.origin) / placement.unit).tolist()
    return Keyframe((w, x, y, z), (px, py, pz), math.radians(float(fov)))


def _keyframes(content: dict[str, Any], placement: Placement) -> list[Keyframe]:
    """Keyframes of a file; none where it has only pictures."""
    entries: list[dict[str, Any]] = content.get("keyframes") or []
    if len(entries) > MAX_KEYFRAMES:
        raise ValueError(f"it has {len(entries)} keyframes, not 1 to {MAX_KEYFRAMES}")
    cameras = _cameras(entries, "matrix", placement)
    usual = float(content.get("default_transition_sec", DEFAULT_SECONDS))
    leading = [
        float(each["override_transition_sec"]) if each.get("override_transition_enabled") else usual
        for each in entries
    ]
    after = leading[1:] + leading[:1]
    return [replace(each, seconds=seconds) for each, seconds in zip(cameras, after, strict=True)]


def _kept(content: dict[str, Any], placement: Placement, fps: int) -> list[Keyframe]:
    """Keyframes at some of the pictures, each with the time to the next of them."""
    frames = _frames(content)
    count = min(len(frames), KEPT_FRAMES)
    chosen = [round(k * (len(frames) - 1) / max(count - 1, 1)) for k in range(count)]
    ends = [*chosen[1:], len(frames)]
    cameras = _cameras(frames, "camera_to_world", placement, chosen)
    return [
        replace(each, seconds=(end - k) / fps)
        for each, k, end in zip(cameras, chosen, ends, strict=True)
    ]
