"""Poses: camera to world with OpenGL's axes, as NeRF's writers have them, to COLMAP's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..document import Entry, Fault

STRETCH = 0.05
"""A matrix may be off a rotation by this part of its size: numbers were rounded. Beyond it means
something else."""
EXACT = 1e-4
"""Smaller errors are the writer's digits, of which nobody needs to hear."""


@dataclass(frozen=True)
class Similarity:
    """x -> scale * rotation @ x + shift."""

    rotation: NDArray[np.float64]  # [3, 3]
    shift: NDArray[np.float64]  # [3]
    scale: float
    error: float  # by how much the matrix was off, as a part of its size

    @classmethod
    def of(cls, matrix: NDArray[np.float64], place: str) -> Similarity:
        """The similarity nearest to a [4, 4] matrix that is almost one.

        Raises:
            Fault: it mirrors, shears or flattens.
        """
        left, sizes, right = np.linalg.svd(matrix[:3, :3])
        scale = float(sizes.mean())
        rotation = left @ right
        if not scale * limits.VALUE > 1:
            raise Fault(f"{place} has a rotation of zeros")
        if np.linalg.det(rotation) < 0:
            raise Fault(f"{place} mirrors: its determinant is negative")
        error = float(np.abs(sizes / scale - 1).max())
        if not error <= STRETCH:
            raise Fault(
                f"{place} is no rotation: it stretches by {sizes[0]:.3g}, {sizes[1]:.3g} and "
                f"{sizes[2]:.3g}"
            )
        return cls(rotation, matrix[:3, 3], scale, error)

    def undone(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """[P, 3] the points that this brings to `points`."""
        with np.errstate(over="ignore", invalid="ignore"):  # points may be any numbers
            return (points - self.shift) @ self.rotation / self.scale


@dataclass(frozen=True)
class Pose:
    """Where a camera is and where it looks."""

    rotation: NDArray[np.float64]  # [3, 3] camera -> world, COLMAP's axes
    centre: NDArray[np.float64]  # [3]
    error: float  # by how much the matrix was off a rotation

    def before(self, applied: Similarity) -> Pose:
        """The pose before the world was moved by `applied`."""
        return Pose(
            applied.rotation.T @ self.rotation, applied.undone(self.centre[None])[0], self.error
        )

    @property
    def qvec(self) -> NDArray[np.float64]:
        """[4] world -> camera, wxyz."""
        return quaternion(self.rotation.T)

    @property
    def tvec(self) -> NDArray[np.float64]:
        """[3] world -> camera."""
        return -self.rotation.T @ self.centre


def pose_of(frame: Entry) -> Pose:
    """The pose of a frame.

    Raises:
        Fault: there is none, or its matrix is no rotation.
    """
    matrix = frame.matrix("transform_matrix")
    if matrix is None:
        raise Fault(f"{frame.at('transform_matrix')} is missing")
    found = Similarity.of(matrix, frame.at("transform_matrix"))
    # Up and back to down and ahead. A scale has no meaning for a camera.
    rotation = found.rotation * [1, -1, -1]
    return Pose(rotation, found.shift, max(found.error, abs(found.scale - 1)))


def quaternion(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4] unit wxyz of a rotation [3, 3].

    Four times its outer product with itself is linear in the matrix; the column with the largest
    diagonal is the one without cancellation.
    """
    r = rotation
    product = np.empty((4, 4))
    product[0, 0] = 1 + r[0, 0] + r[1, 1] + r[2, 2]
    product[0, 1:] = r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]
    product[1:, 0] = product[0, 1:]
    product[1:, 1:] = r + r.T + np.eye(3) * (1 - np.trace(r))
    column = product[:, np.argmax(np.diag(product))]
    return column / np.linalg.norm(column)
