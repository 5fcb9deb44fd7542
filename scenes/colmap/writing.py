"""Sparse COLMAP models in text: pinhole cameras, images and points, without tracks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...renderer.cameras import Camera
from ...renderer.files import replacing
from ...renderer.rotations import to_quaternions
from .model import rotation_matrix


def write_model(
    folder: Path,
    views: Sequence[tuple[str, Camera]],
    points: Tensor,
    colors: Tensor,
    origin: Tensor,
) -> None:
    """Write cameras.txt, images.txt and points3D.txt, which COLMAP opens.

    Args:
        folder: gets the files, and is made if need be.
        views: names of photos, and the cameras that took them.
        points: [P, 3].
        colors: [P, 3] uint8 RGB.
        origin: [3] float64, added to all positions.

    Raises:
        OSError: a file cannot be written.
    """
    offset = origin.double().numpy()
    numbers: dict[str, int] = {}
    images: list[str] = []
    for number, (name, camera) in enumerate(views, start=1):
        lens = numbers.setdefault(_lens(camera), len(numbers) + 1)
        # A line of what was seen in each image comes after it: of nothing.
        images += [f"{number} {_pose(camera, offset)} {lens} {name}", ""]
    rows = zip((points.double().numpy() + offset).tolist(), colors.tolist(), strict=True)
    _write(folder / "cameras.txt", (f"{number} {lens}" for lens, number in numbers.items()))
    _write(folder / "images.txt", images)
    _write(
        folder / "points3D.txt",
        (f"{at} {_numbers(xyz)} {r} {g} {b} 0" for at, (xyz, (r, g, b)) in enumerate(rows, 1)),
    )


def _lens(camera: Camera) -> str:
    """What cameras.txt says of a camera, behind its number."""
    k = camera.intrinsics.double()
    width, height = camera.size
    return f"PINHOLE {width} {height} {_numbers(k[[0, 1, 0, 1], [0, 1, 2, 2]].tolist())}"


def _pose(camera: Camera, offset: NDArray[np.float64]) -> str:
    """What images.txt says of where a camera was."""
    pose = camera.world_to_camera.double()
    quat = to_quaternions(pose[None, :3, :3])[0].numpy()
    # By the rotation as it is written: far from zero, its rounding would move the camera.
    centre = np.linalg.solve(pose[:3, :3].numpy(), -pose[:3, 3].numpy())
    return _numbers([*quat, *(-rotation_matrix(quat) @ (centre + offset))])


def _numbers(values: Iterable[float]) -> str:
    """Numbers with all their digits."""
    return " ".join(repr(float(value)) for value in values)


def _write(path: Path, lines: Iterable[str]) -> None:
    with replacing(path) as draft:
        draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
