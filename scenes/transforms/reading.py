"""Finding and reading transforms.json, into what a COLMAP model is read into."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..colmap.model import ColmapCamera, ColmapImage, ColmapModel, ColmapPoints
from ..colmap.point_clouds import read_ply_points
from ..colmap.visibility import seen_share
from ..document import Entry, Fault, read_document
from ..errors import InputError
from .frames import Frame, read_frames
from .poses import EXACT, Pose, Similarity

_ONE = "transforms.json"
_TRAIN = "transforms_train.json"
_HELD_OUT = ("transforms_test.json", "transforms_val.json")
_POINTS = ("points3D.ply", "points3d.ply", "sparse_pc.ply")
"""Where points are if the document names no file of them."""
_FITS = 0.5
"""Points of which cameras see this share are in the cameras' frame."""


@dataclass(frozen=True)
class _Part:
    """One file of a capture."""

    path: Path
    document: Entry
    frames: list[Frame]


def find_transforms(root: Path) -> list[Path]:
    """The files of a capture: transforms.json; or transforms_train.json and the file of what is to
    be tested on, if there is one; or `root` itself. Empty if there are none."""
    if root.is_file():
        return [root] if root.suffix.lower() == ".json" else []
    if (root / _ONE).is_file():
        return [root / _ONE]
    if not (root / _TRAIN).is_file():
        return []
    held_out = [root / name for name in _HELD_OUT if (root / name).is_file()]
    return [root / _TRAIN, *held_out[:1]]


def read_transforms(paths: Sequence[Path]) -> ColmapModel:
    """Reads the files that `find_transforms` found. Poses and points are those from before an
    `applied_transform`: in the frame of what the capture was made from.

    Photos are named relative to the folder of the files. Frames that cannot be used (see
    `ColmapModel.repairs`) are left out.

    Raises:
        InputError: a file is malformed, or has no frame that can be used.
    """
    repairs: list[str] = []
    tested = _tested(paths[1:], repairs)
    first = _read_part(paths[0], False if tested else None, repairs)
    frames = _distinct([*first.frames, *tested], first.path, repairs)
    if all(frame.held_out for frame in frames):
        raise InputError(f"{first.path}: all {len(frames)} frames are to test on, none to train on")
    _say_what_was_off(first.path, frames, repairs)
    applied = _applied(first, repairs)
    poses = [frame.pose if applied is None else frame.pose.before(applied) for frame in frames]
    cameras, images = _model(frames, poses)
    points, points_file = _points(first, repairs)
    if applied is not None:
        points = _before(applied, points, points_file, (cameras, images), repairs)
    return ColmapModel(
        folder=first.path.parent,
        files=(*paths, *([points_file] if points_file else [])),
        cameras=cameras,
        images=images,
        points=points,
        repairs=repairs,
        photos=first.path.parent,
    )


def _tested(paths: Sequence[Path], repairs: list[str]) -> list[Frame]:
    """The frames of a file of what is to be tested on, without which one can do."""
    try:
        return [frame for path in paths for frame in _read_part(path, True, repairs).frames]
    except InputError as error:
        repairs.append(f"{error}; tests on every 8th photo of the others instead")
        return []


def _read_part(path: Path, held_out: bool | None, repairs: list[str]) -> _Part:
    document = read_document(path, "an object with frames")
    return _Part(path, document, read_frames(path, document, held_out, repairs))


def _distinct(frames: list[Frame], path: Path, repairs: list[str]) -> list[Frame]:
    """The frames, each photo once."""
    distinct: dict[str, Frame] = {}
    for frame in frames:
        distinct.setdefault(frame.name, frame)
    if len(distinct) < len(frames):
        repairs.append(
            f"{path.parent}: {len(frames) - len(distinct)} photos are to train on and to test on; "
            "trained on them"
        )
    return list(distinct.values())


def _say_what_was_off(path: Path, frames: list[Frame], repairs: list[str]) -> None:
    off = [frame for frame in frames if frame.pose.error > EXACT]
    if off:
        worst = max(off, key=lambda frame: frame.pose.error)
        repairs.append(
            f"{path}: made the matrices of {len(off)} of {len(frames)} frames rotations "
            f"(the worst was off by {worst.pose.error:.2g}, that of {worst.name})"
        )


def _applied(part: _Part, repairs: list[str]) -> Similarity | None:
    """What the world was moved by when the document was written, if it says so and it can be
    undone."""
    try:
        matrix = part.document.matrix("applied_transform")
        scale = part.document.number("applied_scale")
        if matrix is None and scale is None:
            return None
        if scale is not None and not scale > 0:
            raise Fault(f"applied_scale must be above 0, not {scale:g}")
        matrix = (np.eye(4) if matrix is None else matrix) * (scale or 1.0)
        applied = Similarity.of(matrix, "applied_transform")
    except Fault as fault:
        repairs.append(f"{part.path}: left the scene in its frame; {fault}")
        return None
    if np.abs(matrix[:3] - np.eye(4)[:3]).max() < 1e-12:
        return None
    repairs.append(
        f"{part.path}: undid its applied_transform: the scene is in the frame of the model that it "
        "was made from"
    )
    return applied


def _model(
    frames: list[Frame], poses: list[Pose]
) -> tuple[dict[int, ColmapCamera], list[ColmapImage]]:
    """The cameras, one for all frames that agree, and the images in the order of the frames."""
    ids: dict[object, int] = {}
    cameras: dict[int, ColmapCamera] = {}
    images: list[ColmapImage] = []
    for index, (frame, pose) in enumerate(zip(frames, poses, strict=True)):
        camera_id = ids.setdefault((frame.size, frame.intrinsics), len(ids) + 1)
        cameras[camera_id] = ColmapCamera(
            camera_id, frame.intrinsics[0], *frame.size, frame.intrinsics[1]
        )
        images.append(
            ColmapImage(
                index + 1, pose.qvec, pose.tvec, camera_id, frame.name, frame.held_out, frame.mask
            )
        )
    return cameras, images


def _points(part: _Part, repairs: list[str]) -> tuple[ColmapPoints, Path | None]:
    """The points, and the file that they are from, in the frame of that file."""
    folder = part.path.parent
    try:
        stated = part.document.text("ply_file_path")
    except Fault as fault:
        repairs.append(f"{part.path}: {fault}")
        stated = None
    names = ([stated.strip().replace("\\", "/")] if stated else []) + list(_POINTS)
    found = next((folder / name for name in names if os.path.isfile(folder / name)), None)
    if stated and (found is None or found != folder / names[0]):
        repairs.append(f"{part.path}: ply_file_path names {names[0]}, which is not there")
    if found is None:
        repairs.append(f"{part.path}: names no points (ply_file_path); went on without points")
        return ColmapPoints.none(), None
    points = read_ply_points(found, repairs)
    if not stated or found != folder / names[0]:
        repairs.append(f"{found}: took the {len(points)} points that lie here")
    return points, found


def _before(
    applied: Similarity,
    points: ColmapPoints,
    path: Path | None,
    cameras: tuple[dict[int, ColmapCamera], list[ColmapImage]],
    repairs: list[str],
) -> ColmapPoints:
    """The points from before `applied`. Older writers did not move them with the cameras: what the
    cameras see decides."""
    moved = applied.undone(points.xyz)
    if seen_share(*cameras, moved) < _FITS <= seen_share(*cameras, points.xyz):
        repairs.append(f"{path}: applied_transform had not been applied to these points")
        return points
    return replace(points, xyz=moved)
