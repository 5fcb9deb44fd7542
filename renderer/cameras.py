"""Cameras: pinhole, in COLMAP's axes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Camera:
    """Pinhole camera. Axes: x right, y down, z forward; pixel centres at (i + 0.5, j + 0.5).

    Attributes:
        world_to_camera: [4, 4] rigid transformation.
        intrinsics: [3, 3] K = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] [px], without skew.
        size: (width, height) of the image [px].

    Raises:
        ValueError: a matrix has another shape, or the size is not positive.
    """

    world_to_camera: Tensor
    intrinsics: Tensor
    size: tuple[int, int]

    def __post_init__(self) -> None:
        for name, shape in (("world_to_camera", (4, 4)), ("intrinsics", (3, 3))):
            actual = tuple(getattr(self, name).shape)
            if actual != shape:
                raise ValueError(f"Camera.{name} must have shape {shape}, not {actual}")
        width, height = self.size
        if not (width > 0 and height > 0):
            raise ValueError(f"Camera.size must be positive, not {width} x {height}")

    @property
    def position(self) -> Tensor:
        """[3] camera centre in the world, -R^T t."""
        return -self.world_to_camera[:3, :3].T @ self.world_to_camera[:3, 3]

    def resized(self, size: tuple[int, int]) -> Camera:
        """The same view at another size; each axis of K scales by its own ratio."""
        ratio = self.intrinsics.new_tensor([size[0] / self.size[0], size[1] / self.size[1], 1.0])
        return Camera(self.world_to_camera, self.intrinsics * ratio[:, None], size)

    def pixels_of(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where `points` [P, 3] are in the picture, all on the CPU.

        Returns:
            [P] int64 row and column of the pixel, zero where there is none; [P] bool, whether the
            point is before the camera and in the picture.
        """
        pose, k = self.world_to_camera.to(points), self.intrinsics.to(points)
        x, y, z = ((points @ pose[:3, :3].T + pose[:3, 3]) @ k.T).unbind(1)
        column, row = (torch.where(z > 0, each / z, -1.0).floor() for each in (x, y))
        inside = (column >= 0) & (column < self.size[0]) & (row >= 0) & (row < self.size[1])
        row, column = (torch.where(inside, each, 0.0).long() for each in (row, column))
        return row, column, inside

    def scaled(self, factor: float) -> Camera:
        """The same camera in a unit of length that is 1 / `factor` of this one's."""
        pose = self.world_to_camera.clone()
        pose[:3, 3] *= factor
        return replace(self, world_to_camera=pose)

    def to(self, target: torch.device | torch.dtype | str) -> Camera:
        """The same camera on another device or in another floating-point type."""
        return replace(
            self,
            world_to_camera=self.world_to_camera.to(target),
            intrinsics=self.intrinsics.to(target),
        )


@dataclass(frozen=True)
class Cameras:
    """C pinhole cameras of one image size.

    Attributes:
        viewmats: [C, 4, 4] world to camera.
        intrinsics: [C, 3, 3] [px].
        size: (width, height) of the images [px].
    """

    viewmats: Tensor
    intrinsics: Tensor
    size: tuple[int, int]

    @classmethod
    def of(cls, camera: Camera) -> Cameras:
        """One alone."""
        pose, intrinsics = camera.world_to_camera.contiguous(), camera.intrinsics.contiguous()
        return cls(pose[None], intrinsics[None], camera.size)

    def __len__(self) -> int:
        return self.viewmats.shape[0]

    def __getitem__(self, index: int) -> Cameras:
        """One of them alone."""
        one = slice(index, index + 1)
        return Cameras(self.viewmats[one], self.intrinsics[one], self.size)


def viewmats_gradient(viewmats: Tensor, v_poses: Tensor, v_positions: Tensor | None) -> Tensor:
    """[C, 4, 4] gradient of view matrices.

    Args:
        viewmats: [C, 4, 4] world to camera.
        v_poses: [P, C, 12] parts of the gradient of the matrices themselves: the rotation by rows,
            then the translation.
        v_positions: [P, C, 3] parts of the gradient of the camera centres, -R^T t; None for zero.
    """
    gradient = torch.zeros_like(viewmats)
    summed = v_poses.sum(dim=0)
    gradient[:, :3, :3] = summed[:, :9].reshape(-1, 3, 3)
    gradient[:, :3, 3] = summed[:, 9:]
    if v_positions is not None:
        v_centres = v_positions.sum(dim=0)
        rotations, translations = viewmats[:, :3, :3], viewmats[:, :3, 3:]
        gradient[:, :3, :3] -= translations * v_centres[:, None, :]
        gradient[:, :3, 3:] -= rotations @ v_centres[:, :, None]
    return gradient
