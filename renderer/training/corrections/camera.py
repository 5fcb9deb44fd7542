"""What a camera does to light, by a model of its parts: vignetting, exposure, colour, response.

After the idea of physically plausible image signal processing (PPISP, NVIDIA 2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter

from ...cameras import Camera
from ...raster.light import to_linear, to_srgb
from ..data import TrainingView
from .correction import Correction
from .exposure import PRIOR, RATE, at_most_white

POWERS = 3
"""Of the squared distance from the principal point, in vignetting."""
KNOTS = 8
"""Pieces of the response curve."""
PHOTOS_OF_A_CAMERA = 8
"""Photos that must share intrinsics on average for these to stand for a camera."""
SHARED_PRIOR = 0.01
"""Weight of the squares of vignetting and of the response's logarithms of slopes."""


class CameraResponse(Correction):
    """From the light of the scene to what a photo shows of it.

    Light is dimmed towards the corners by a polynomial for each channel, multiplied by the photo's
    exposure, and its colour turned by a matrix that keeps the sum of the channels; then, encoded as
    sRGB, it goes through a rising curve for each channel. Exposures and matrices are relative to
    their mean over the photos, as those of novel views.

    Attributes:
        log_exposures: [V, 1] logarithms of the exposures.
        colors: [V, 3, 3] matrices, less the identity.
        vignetting: [C, 3, POWERS] coefficients of each camera's channels.
        log_slopes: [C, 3, KNOTS] logarithms of the slopes of the pieces of the curves, but for one
            factor.
    """

    name = "exposure"
    shared: ClassVar[frozenset[str]] = frozenset({"vignetting", "log_slopes"})

    def __init__(self, rate: float = RATE) -> None:
        super().__init__()
        self.rate = rate

    def build(self, views: Sequence[TrainingView]) -> None:
        """See `Correction`."""
        self._cameras = [view.camera for view in views]
        self._kinds = _kinds(self._cameras)
        kinds = max(self._kinds) + 1
        like = torch.zeros(0, dtype=torch.float32, device="cpu")
        self.log_exposures = Parameter(like.new_zeros(len(views), 1))
        self.colors = Parameter(like.new_zeros(len(views), 3, 3))
        self.vignetting = Parameter(like.new_zeros(kinds, 3, POWERS))
        self.log_slopes = Parameter(like.new_zeros(kinds, 3, KNOTS))

    def color(self, color: Tensor, view: int) -> Tensor:
        """See `Correction`."""
        kind, camera = self._kinds[view], self._cameras[view]
        light = to_linear(color)
        seen = light * _falloff(self.vignetting[kind], camera, color)
        seen = seen * _relative(self.log_exposures, view).exp()
        seen = _turned(seen, _relative(self.colors, view))
        # What nothing changes is the picture itself, bit for bit.
        shown = color + (to_srgb(seen) - to_srgb(light))
        return at_most_white(shown + _bent(shown, self.log_slopes[kind]))

    def prior(self, view: int) -> Tensor:
        """Photos and cameras change nothing unless photos say so; curves are smooth."""
        kind = self._kinds[view]
        slopes = self.log_slopes[kind]
        own = _relative(self.log_exposures, view).square().sum()
        own = own + _relative(self.colors, view).square().sum()
        common = self.vignetting[kind].square().sum() + slopes.square().sum()
        return PRIOR * own + SHARED_PRIOR * (common + slopes.diff(dim=-1).square().sum())


def _relative(parameter: Tensor, view: int) -> Tensor:
    """A photo's row by the mean of all."""
    return parameter[view] - parameter.detach().mean(0)


def _falloff(coefficients: Tensor, camera: Camera, like: Tensor) -> Tensor:
    """[H, W, 3], how much of the light there is left, by [3, POWERS] coefficients: 1 in the middle,
    and the corners lie about 1 from there."""
    height, width, _ = like.shape
    ratio = width / camera.size[0]
    cx, cy = (ratio * float(camera.intrinsics[axis, 2]) for axis in (0, 1))
    x = torch.arange(width, device=like.device, dtype=like.dtype) + 0.5 - cx
    y = torch.arange(height, device=like.device, dtype=like.dtype) + 0.5 - cy
    squared = (x.square() + y.square()[:, None]) / (0.25 * (width**2 + height**2))
    sum_, power = torch.ones_like(like), squared[..., None]
    for each in coefficients.unbind(-1):
        sum_, power = sum_ + each * power, power * squared[..., None]
    return sum_.clamp_min(0.05)


def _turned(light: Tensor, change: Tensor) -> Tensor:
    """Light [H, W, 3] of another colour and the same sum of channels, by the identity plus `change`
    [3, 3]."""
    turned = (light + light @ change.T).clamp_min(0.0)
    return turned * (light.sum(-1, keepdim=True) / turned.sum(-1, keepdim=True).clamp_min(1e-6))


def _bent(values: Tensor, log_slopes: Tensor) -> Tensor:
    """[H, W, 3], what rising curves from (0, 0) to (1, 1) add to `values`, by [3, KNOTS] logarithms
    of their slopes; nothing beyond."""
    ends = log_slopes.softmax(-1).cumsum(-1)
    flat = torch.arange(1, KNOTS + 1, device=ends.device, dtype=ends.dtype) / KNOTS
    added = torch.cat([torch.zeros_like(ends[:, :1]), ends - flat], dim=-1)
    at = (KNOTS * values).clamp(0, KNOTS)
    piece = at.detach().floor().clamp_max(KNOTS - 1).long()
    channel = torch.arange(3, device=values.device)
    low, high = added[channel, piece], added[channel, piece + 1]
    return low + (at - piece) * (high - low)


def _kinds(cameras: Sequence[Camera]) -> list[int]:
    """Which camera took each photo: those of one size and intrinsics are one, unless these change
    from photo to photo."""
    keys = [(each.size, tuple(each.intrinsics.flatten().tolist())) for each in cameras]
    distinct = list(dict.fromkeys(keys))
    if len(keys) < PHOTOS_OF_A_CAMERA * len(distinct):
        return [0] * len(keys)
    return [distinct.index(key) for key in keys]
