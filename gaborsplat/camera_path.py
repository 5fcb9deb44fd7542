"""Where a camera goes: around the scene, past the training cameras, or along a file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from viser import transforms

from .renderer.cameras import Camera
from .scenes import Axis, InputError, axis_vector
from .viewer.camera import (
    Bounds,
    Vector,
    camera_at,
    camera_to_world,
    outlook_of,
    overview_of,
    up_direction,
    vertical_fov,
)
from .viewer.path.file import Film, Origin, Placement, film_from_json
from .viewer.settings import Pose


def orbit(
    cameras: Sequence[Camera],
    bounds: Bounds,
    frames: int,
    size: tuple[int, int],
    up: Axis | None = None,
) -> list[Camera]:
    """Once around the scene, at the height and distance of the first training camera; without any,
    a little from above at a distance that shows most of it. `up` overrules what the cameras say."""
    up_vector = up_direction(cameras) if up is None else np.array(axis_vector(up))
    start = outlook_of(cameras[0], up_vector, bounds) if cameras else overview_of(bounds, up_vector)
    axis = up_vector / np.linalg.norm(up_vector)
    spoke = start.position - start.look_at
    views: list[Camera] = []
    for k in range(frames):
        turn = transforms.SO3.exp(axis * (2 * math.pi * k / frames))
        position = start.look_at + turn.apply(spoke)
        views.append(_camera(_looking(position, start.look_at, axis), position, start.fov, size))
    return views


def past(cameras: Sequence[Camera], frames: int, size: tuple[int, int]) -> list[Camera]:
    """From each training camera to the next, at a constant number of frames between two.

    Raises:
        InputError: there are no training cameras.
    """
    if not cameras:
        raise InputError("--path cameras: needs a run folder whose capture is still there")
    keys = [camera_to_world(each) for each in cameras]
    fovs = [vertical_fov(each) for each in cameras]
    views: list[Camera] = []
    for place in np.linspace(0, len(keys) - 1, frames):
        first = min(int(place), max(len(keys) - 2, 0))
        second, t = min(first + 1, len(keys) - 1), float(place) - first
        start = transforms.SO3.from_matrix(keys[first][0])
        end = transforms.SO3.from_matrix(keys[second][0])
        turned = start @ transforms.SO3.exp(t * (start.inverse() @ end).log())
        position = (1 - t) * keys[first][1] + t * keys[second][1]
        views.append(_camera(turned, position, (1 - t) * fovs[first] + t * fovs[second], size))
    return views


def from_file(path: Path, origin: Origin) -> Film:
    """What a camera path's file holds; viewer/path/file.py describes it.

    Poses in it are in the frame of the capture, from which `origin` was subtracted for the splats.

    Raises:
        InputError: there is no such file, or it is not of this form.
    """
    if not path.is_file():
        raise InputError(f"--path {path}: no such file; known are orbit, cameras and FILE.json")
    try:
        return film_from_json(path.read_bytes(), Placement(origin))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def along(film: Film, size: tuple[int, int]) -> list[Camera]:
    """The camera of every picture of a file, for pictures of `size`."""
    return [camera_at(pose, size) for pose in film.poses(size)]


def _camera(turn: transforms.SO3, position: Vector, fov: float, size: tuple[int, int]) -> Camera:
    w, i, j, k = turn.wxyz.tolist()
    x, y, z = position.tolist()
    return camera_at(Pose((w, i, j, k), (x, y, z), fov, size), size)


def _looking(position: Vector, target: Vector, up: Vector) -> transforms.SO3:
    """Turns the axes of a camera at `position` that looks at `target` into those of the world."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, up)
    if np.linalg.norm(right) < 1e-3:  # straight down or up: any side will do
        right = np.cross(forward, np.roll(up, 1))
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward], axis=1)
    return transforms.SO3.from_matrix(axes)
