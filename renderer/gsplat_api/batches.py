"""Batches as gsplat 1.5.3 takes them: B scenes of N splats each, and C cameras of each scene."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..backends.stages import Projected
from ..cameras import Cameras
from ..raster.inputs import ShadedSplats, SplatsInView
from ..splats import SplatShape


class Batch(NamedTuple):
    """The scenes and pictures of one call.

    Attributes:
        dims: lengths of the batch dimensions "...", whose product is B; none for a scene by itself.
        cameras: of each scene, C.
        size: (width, height) of the pictures [px].
    """

    dims: tuple[int, ...]
    cameras: int
    size: tuple[int, int]

    @property
    def scenes(self) -> int:
        """Their number, B."""
        return math.prod(self.dims)

    @property
    def pictures(self) -> tuple[int, ...]:
        """Lengths of the dimensions [..., C]."""
        return *self.dims, self.cameras

    def each_scene(
        self, splats: SplatsInView, colors: Tensor
    ) -> Iterator[tuple[SplatsInView, Tensor]]:
        """The splats in view, and their colours, of each scene; those of all have the batch
        dimensions."""
        viewmats, intrinsics = splats.cameras.viewmats, splats.cameras.intrinsics
        tensors = (*splats.shape.tensors().values(), viewmats, intrinsics, colors)
        for *shape, poses, focals, values in zip(*map(self._each, tensors), strict=True):
            cameras = Cameras(poses, focals, self.size)
            yield splats._replace(shape=SplatShape(*shape), cameras=cameras), values

    def all_views(self, splats: SplatsInView) -> SplatsInView:
        """The same with the cameras of all scenes in one dimension, [B * C]."""
        last = len(self.dims)
        viewmats = splats.cameras.viewmats.flatten(0, last)
        intrinsics = splats.cameras.intrinsics.flatten(0, last)
        return splats._replace(cameras=Cameras(viewmats, intrinsics, self.size))

    def unflattened(self, tensor: Tensor) -> Tensor:
        """[..., C, *] of a tensor [B * C, *]."""
        return tensor.unflatten(0, self.pictures) if self.dims else tensor

    def laid_out(self, shaded: ShadedSplats) -> ShadedSplats:
        """The same rows as `info` has them and blending takes them, [..., C, N, *], but for
        `visible`, from which binning knows the number of pictures."""
        colors = None if shaded.colors is None else self.unflattened(shaded.colors)
        return shaded._replace(projected=shaded.projected.map(self.unflattened), colors=colors)

    def _each(self, tensor: Tensor) -> Sequence[Tensor]:
        """Of each scene."""
        return tensor.flatten(0, len(self.dims) - 1).unbind() if self.dims else (tensor,)


def joined(several: Sequence[ShadedSplats]) -> ShadedSplats:
    """Splats in the views of several scenes or cameras, one behind the other."""
    if len(several) == 1:
        return several[0]
    fields = zip(*(one.projected.tensors() for one in several), strict=True)
    return ShadedSplats(
        Projected(*map(torch.cat, fields)),
        torch.cat([one.visible for one in several]),
        torch.cat([one.colors for one in several if one.colors is not None]),
    )
