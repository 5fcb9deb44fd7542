"""A sparse COLMAP model in memory, as its files state it.

Conventions are COLMAP's: poses map world to camera, quaternions are Hamilton with w first, cameras
look along +z with x to the right and y down, and the centre of the top-left pixel is (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray


def rotation_matrix(qvec: ArrayLike) -> NDArray[np.float64]:
    """[3, 3] rotation of a quaternion [4], wxyz, of any length but zero."""
    w, x, y, z = np.asarray(qvec, np.float64) / np.linalg.norm(qvec)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@dataclass(frozen=True)
class ColmapCamera:
    """Intrinsics shared by one or more images."""

    camera_id: int
    model: str  # a name of camera_models.BY_NAME
    width: int  # [px]
    height: int  # [px]
    params: tuple[float, ...]  # focal lengths and principal point [px], then distortion


@dataclass(frozen=True)
class ColmapImage:
    """One registered photo."""

    image_id: int
    qvec: NDArray[np.float64]  # [4] rotation world -> camera, wxyz, any non-zero length
    tvec: NDArray[np.float64]  # [3] translation world -> camera
    camera_id: int
    name: str  # path of the photo relative to the image folder, as written
    held_out: bool | None = None  # to test on; None where the files do not say, as COLMAP's
    mask: str | None = None  # path of its mask relative to the model, where the files state one

    @property
    def rotation(self) -> NDArray[np.float64]:
        """[3, 3] rotation world -> camera."""
        return rotation_matrix(self.qvec)

    @property
    def centre(self) -> NDArray[np.float64]:
        """[3] camera centre in the world, -R^T t."""
        return -self.rotation.T @ self.tvec


@dataclass(frozen=True)
class ColmapPoints:
    """The triangulated points. Where in each photo they were seen is not kept."""

    xyz: NDArray[np.float64]  # [P, 3]
    rgb: NDArray[np.uint8]  # [P, 3]
    errors: NDArray[np.float64]  # [P] mean reprojection error [px]
    track_lengths: NDArray[np.int64]  # [P] number of observations
    track_images: NDArray[np.int64]  # [sum of track_lengths] image ids, point after point

    def __len__(self) -> int:
        return self.xyz.shape[0]

    @classmethod
    def none(cls) -> ColmapPoints:
        """No points at all."""
        return cls(
            xyz=np.zeros((0, 3)),
            rgb=np.zeros((0, 3), np.uint8),
            errors=np.zeros(0),
            track_lengths=np.zeros(0, np.int64),
            track_images=np.zeros(0, np.int64),
        )


@dataclass(frozen=True)
class ColmapModel:
    """Cameras, images and points of one reconstruction, after repair."""

    folder: Path
    files: tuple[Path, ...]  # the files it was read from
    cameras: dict[int, ColmapCamera]
    images: list[ColmapImage]  # in the order of the file
    points: ColmapPoints
    repairs: list[str]  # what was wrong in the files and how it was taken, one line each
    photos: Path | None = None  # what names are relative to, where the files say so

    @property
    def images_file(self) -> Path:
        """The file that has the images: COLMAP's second; others have one for all."""
        return next((path for path in self.files if path.stem == "images"), self.files[0])
