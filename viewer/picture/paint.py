"""A rendered frame as the picture that is sent to the browser."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...renderer.frame import Frame
from ..settings import Mode, Pose

Picture = npt.NDArray[np.uint8]  # [H, W, 3] RGB

Draw = Callable[[Pose, tuple[int, int]], Picture]
"""Gives the picture of a size (width, height) at a pose, on any thread; may take its time, and
raise what it likes."""

Drawing = Callable[[], Draw]
"""Gives what draws the scene as it is now and as the panel is set, on one thread; called on the
server's event loop."""

DEFAULT_SIZE = (1920, 1080)
"""Width and height of the pictures that a person saves, until another is chosen [px]."""

SAMPLES = 20_000
"""Percentiles over a picture use about this many of its pixels."""


def paint(frame: Frame, mode: Mode) -> Picture:
    """[H, W, 3] uint8 RGB of `frame`: its depth in false colours, its opacity, or else its colours,
    which are those of `mode` already."""
    if mode == "depth":
        return paint_depth(frame.depth, frame.alpha)
    if mode == "alpha":
        return _to_bytes(frame.alpha[..., None].expand(-1, -1, 3))
    return _to_bytes(frame.color)


def paint_depth(depth: Tensor, alpha: Tensor) -> Picture:
    """[H, W, 3] false colours (Turbo) of `depth` [H, W]: near is red, far is blue.

    Disparity (1 / depth) is shown rather than depth, because the far part of a capture has no
    bound, between its 2nd and 98th percentile, because stray splats do not matter. A pixel fades
    to black with `alpha` [H, W].
    """
    drawn = (alpha > 0) & (depth > 0)
    disparity = torch.where(drawn, 1 / depth, 0)
    values = disparity[drawn]
    if len(values) == 0:
        return np.zeros((*depth.shape, 3), np.uint8)
    samples = values[:: max(1, len(values) // SAMPLES)].float()
    low, high = (float(torch.quantile(samples, q)) for q in (0.02, 0.98))
    levels = _to_bytes((disparity - low) / max(high - low, 1e-12))
    colors = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    weights = np.asarray(torch.where(drawn, alpha, 0).float().cpu())
    return (colors * weights[..., None]).astype(np.uint8)


def normal_colors(depth: Tensor, alpha: Tensor, intrinsics: Tensor) -> Tensor:
    """[H, W, 3] normals of the surface that `depth` [H, W] describes, as 0.5 + 0.5 n with x right,
    y up and z towards the camera: what faces the camera is (0.5, 0.5, 1).

    A pixel fades to black with `alpha` [H, W]. Its slopes come from the pixels around it that are
    not empty; black where there are too few. `intrinsics` is K [3, 3].
    """
    height, width = depth.shape
    fx, fy, cx, cy = (intrinsics[i, j] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    x = torch.arange(width).to(depth) + 0.5 - cx
    y = torch.arange(height).to(depth)[:, None] + 0.5 - cy
    # The inverse depth of a plane n . p = d is that of n . (x / fx, y / fy, 1) / d: linear on the
    # image, with the normal in its slopes.
    inverse = torch.where((alpha > 0) & (depth > 0), 1 / depth, torch.nan)
    across, down = _slope(inverse, 1), _slope(inverse, 0)
    normals = torch.stack([-fx * across, fy * down, inverse - x * across - y * down], dim=-1)
    normals = torch.nn.functional.normalize(normals, dim=-1)
    return ((0.5 + 0.5 * normals) * alpha[..., None]).nan_to_num(0.0)


def _slope(values: Tensor, dim: int) -> Tensor:
    """[H, W] mean of the steps from each of `values` to the next along `dim` and to it from the
    one before. An empty one, NaN, has no steps; NaN between two of them."""
    steps = values.diff(dim=dim)
    border = torch.full_like(values.narrow(dim, 0, 1), torch.nan)
    ahead, behind = torch.cat([steps, border], dim), torch.cat([border, steps], dim)
    return torch.stack([ahead, behind]).nanmean(dim=0)


def occlusion_depth(frame: Frame) -> npt.NDArray[np.float32]:
    """[H, W] depth behind which the browser's own objects are hidden; infinite in the open.

    A pixel hides what lies behind it once it is more opaque than not.
    """
    depth = torch.where(frame.alpha > 0.5, frame.depth, torch.inf)
    return np.asarray(depth.float().cpu(), dtype=np.float32)


def _to_bytes(values: Tensor) -> npt.NDArray[np.uint8]:
    # A NaN has no byte; it is shown as black.
    levels = values.nan_to_num(0.0).clamp(0, 1) * 255 + 0.5
    return np.asarray(levels.to(torch.uint8).cpu(), dtype=np.uint8)
