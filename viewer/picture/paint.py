"""Conversion of a rendered frame to a picture: colours, depth, opacity, normals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...renderer.frame import Frame
from ..settings import Mode, Pose

Picture = npt.NDArray[np.uint8]
"""[H, W, 3] RGB."""


@dataclass(frozen=True)
class Draw:
    """Draws pictures of a scene, on any thread; may take long, and raise any error.

    Attributes:
        picture: makes the picture of a size (width, height) [px] at a pose.
        bytes_per_pixel: memory that drawing and encoding it take [bytes].
    """

    picture: Callable[[Pose, tuple[int, int]], Picture]
    bytes_per_pixel: int

    def memory(self, size: tuple[int, int]) -> int:
        """Memory for a picture of this size [bytes]."""
        return size[0] * size[1] * self.bytes_per_pixel


Drawing = Callable[[], Draw]
"""Makes a `Draw` of the present scene and panel settings, for use on one thread; called on the
server's event loop."""

DEFAULT_SIZE = (1920, 1080)
"""Default (width, height) of saved pictures [px]."""

SAMPLES = 20_000
"""Approximate number of pixels in a percentile of a picture."""


def paint(frame: Frame, mode: Mode) -> Picture:
    """Picture of `frame` in a view mode, [H, W, 3].

    In `normals` the frame's colours are those of `normals_of`; in all modes but `depth` and `alpha`
    they are those to show.
    """
    if mode == "depth":
        return paint_depth(frame.depth, frame.alpha)
    if mode == "alpha":
        return _to_bytes(frame.alpha[..., None].expand(-1, -1, 3))
    return _to_bytes(normal_colors(frame) if mode == "normals" else frame.color)


def paint_depth(depth: Tensor, alpha: Tensor) -> Picture:
    """Depth [H, W] in false colours (Turbo), [H, W, 3]: near is red, far is blue.

    The colours are linear in disparity (1 / depth), since the far part of a capture has no bound,
    and end at its 2nd and 98th percentile, since outliers do not matter. A pixel fades to black
    with `alpha` [H, W].
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


def normals_of(frame: Frame, intrinsics: Tensor) -> Frame:
    """`frame` with unit normals of the surface that its depth describes as colours [H, W, 3].

    Axes: x right, y up, z towards the camera, so of what faces the camera it is (0, 0, 1). The
    slopes come from neighbouring pixels that are not empty; with too few the normal is 0, and so is
    alpha. `intrinsics` is K [3, 3].
    """
    depth, alpha = frame.depth, frame.alpha
    height, width = depth.shape
    fx, fy, cx, cy = (intrinsics[i, j] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    x = torch.arange(width, device=depth.device).to(depth) + 0.5 - cx
    y = torch.arange(height, device=depth.device).to(depth)[:, None] + 0.5 - cy
    # The inverse depth of a plane n . p = d is that of n . (x / fx, y / fy, 1) / d: linear on the
    # image, with the normal in its slopes.
    inverse = torch.where((alpha > 0) & (depth > 0), 1 / depth, torch.nan)
    across, down = _slope(inverse, 1), _slope(inverse, 0)
    normals = torch.stack([-fx * across, fy * down, inverse - x * across - y * down], dim=-1)
    normals = torch.nn.functional.normalize(normals, dim=-1)
    there = ~normals.isnan().any(dim=-1)
    color = torch.where(there[..., None], normals, 0)
    return replace(frame, color=color, alpha=torch.where(there, alpha, 0))


def normal_colors(frame: Frame) -> Tensor:
    """[H, W, 3] the colours 0.5 + 0.5 n of a frame of `normals_of`, or of a mean of such; a pixel
    fades to black with its alpha."""
    return (0.5 + 0.5 * frame.color) * frame.alpha[..., None]


def _slope(values: Tensor, dim: int) -> Tensor:
    """[H, W] mean of the forward and backward differences of `values` along `dim`.

    An empty pixel is NaN and has no differences; between two of them the mean is NaN.
    """
    steps = values.diff(dim=dim)
    border = torch.full_like(values.narrow(dim, 0, 1), torch.nan)
    ahead, behind = torch.cat([steps, border], dim), torch.cat([border, steps], dim)
    return torch.stack([ahead, behind]).nanmean(dim=0)


def occlusion_depth(frame: Frame) -> npt.NDArray[np.float32]:
    """Depth beyond which the page's own objects are occluded, [H, W]; infinite where none is.

    A pixel occludes what lies behind it if its opacity is above one half.
    """
    depth = torch.where(frame.alpha > 0.5, frame.depth, torch.inf)
    return np.asarray(depth.float().cpu(), dtype=np.float32)


def _to_bytes(values: Tensor) -> npt.NDArray[np.uint8]:
    # NaN is shown as black.
    levels = values.nan_to_num(0.0).clamp(0, 1) * 255 + 0.5
    return np.asarray(levels.to(torch.uint8).cpu(), dtype=np.uint8)
