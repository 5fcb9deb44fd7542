"""Cameras: pinhole, in COLMAP's axes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Camera:
    """Pinhole camera. Axes: x right, y down, z forward; pixel centres at (i + 0.5, j + 0.5)."""

    world_to_camera: Tensor  # [4, 4] rigid
    intrinsics: Tensor  # [3, 3] K = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels, no skew
    size: tuple[int, int]  # (width, height) [px]

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

    def to(self, target: torch.device | torch.dtype | str) -> Camera:
        """The same camera on another device or in another floating-point type."""
        return replace(
            self,
            world_to_camera=self.world_to_camera.to(target),
            intrinsics=self.intrinsics.to(target),
        )


@dataclass(frozen=True)
class Cameras:
    """C pinhole cameras of one image size."""

    viewmats: Tensor  # [C, 4, 4] world to camera
    intrinsics: Tensor  # [C, 3, 3] [px]
    size: tuple[int, int]  # (width, height) [px]


def camera_positions(viewmats: Tensor) -> Tensor:
    """Centres [C, 3] in the world, -R^T t, of view matrices [C, 4, 4]."""
    return -(viewmats[:, :3, :3].transpose(1, 2) @ viewmats[:, :3, 3:])[..., 0]


def camera_positions_vjp(viewmats: Tensor, v_positions: Tensor) -> Tensor:
    """Gradient of `camera_positions`."""
    rotations, translations = viewmats[:, :3, :3], viewmats[:, :3, 3:]
    v_viewmats = torch.zeros_like(viewmats)
    v_viewmats[:, :3, :3] = -translations * v_positions[:, None, :]
    v_viewmats[:, :3, 3:] = -rotations @ v_positions[:, :, None]
    return v_viewmats
