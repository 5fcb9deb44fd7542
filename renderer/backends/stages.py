"""What the passes of the rasterizer hand to each other: project, shade, bin, blend.

C cameras, N splats, K waves, F numbers that describe a splat's waves on the image. M counts what is
blended: C * N, or fewer when invisible splats have been dropped ("packed").

These are named tuples for they are made for every picture, and take a quarter of the time that
frozen dataclasses do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .._native import ProjectOptions


class Projected(NamedTuple):
    """Splats on the image. What is not visible is 0 everywhere.

    Attributes:
        visible: [...] uint8, 1 where a splat is not culled.
        radii: [..., 2] int32, half extents [px].
        means2d: [..., 2] centres [px]; the gradient is that of the envelope alone.
        depths: [...] camera z.
        conics: [..., 3] inverse 2D covariance: xx, xy, yy [px^-2].
        opacities: [...] peak opacities, compensated when antialiased.
        cutoffs: [...] envelope power beyond which alpha is under alpha_min.
        modulation2d: [..., F] the waves on the image, their own phase centre included.
    """

    visible: Tensor
    radii: Tensor
    means2d: Tensor
    depths: Tensor
    conics: Tensor
    opacities: Tensor
    cutoffs: Tensor
    modulation2d: Tensor

    @classmethod
    def empty(
        cls, cameras: int, splats: int, numbers: int, dtype: torch.dtype, device: torch.device
    ) -> Projected:
        """Of all splats in all cameras, for a pass to fill; `numbers` is F."""
        seen = (cameras, splats)
        return cls(
            visible=torch.empty(seen, dtype=torch.uint8, device=device),
            radii=torch.empty((*seen, 2), dtype=torch.int32, device=device),
            means2d=torch.empty((*seen, 2), dtype=dtype, device=device),
            depths=torch.empty(seen, dtype=dtype, device=device),
            conics=torch.empty((*seen, 3), dtype=dtype, device=device),
            opacities=torch.empty(seen, dtype=dtype, device=device),
            cutoffs=torch.empty(seen, dtype=dtype, device=device),
            modulation2d=torch.empty((*seen, numbers), dtype=dtype, device=device),
        )

    def tensors(self) -> tuple[Tensor, ...]:
        """All fields, in order."""
        return tuple(self)

    def detached(self) -> Projected:
        """The same without gradient history."""
        return self.map(Tensor.detach) if self.means2d.requires_grad else self

    def map(self, function: Callable[[Tensor], Tensor]) -> Projected:
        """The same with `function` applied to every tensor."""
        return Projected(*map(function, self))


class SplatsToBin(NamedTuple):
    """What binning takes.

    Attributes:
        projected: fields of shape [C, N, ...].
        visible: [C, N] uint8, which of them to list.
        size: (width, height) of the images [px].
        options: how they were projected.
        exact: test tiles against the ellipse, not just its box.
        gradient: whether what is blended by the lists will be differentiated.
    """

    projected: Projected
    visible: Tensor
    size: tuple[int, int]
    options: ProjectOptions
    exact: bool
    gradient: bool


class Tiles(NamedTuple):
    """Which splats touch which tile, front to back.

    Attributes:
        splat_ids: [pairs] int32 into M, by (camera, tile), then by depth.
        offsets: [C * tiles + 1] int64 into splat_ids.
        slots: [pairs] int32, a place for each pair's gradient, those of a splat side by side; None
            where that was not asked for, or needs none.
        slot_begins: [M] int64, where a splat's begin; None likewise.
        slot_ends: [M] int64, where they end; None likewise.
        pair_count: [1] int32, the number of pairs, where the lists may be longer, or too short for
            them; None where they are as long as they have to be.
        count_pairs: waits for that number; None where it is not known yet, or the lists' length.
    """

    splat_ids: Tensor
    offsets: Tensor
    slots: Tensor | None = None
    slot_begins: Tensor | None = None
    slot_ends: Tensor | None = None
    pair_count: Tensor | None = None
    count_pairs: Callable[[], int] | None = None

    @property
    def overflowed(self) -> bool:
        """Whether the lists were too short, so that pairs are missing."""
        return self.count_pairs is not None and self.count_pairs() > self.splat_ids.shape[0]

    def trimmed(self) -> Tiles:
        """The same with lists as long as they have to be."""
        if self.count_pairs is None:
            return self
        pairs = self.count_pairs()
        slots = None if self.slots is None else self.slots[:pairs]
        return self._replace(
            splat_ids=self.splat_ids[:pairs], slots=slots, pair_count=None, count_pairs=None
        )


class BlendGradients(NamedTuple):
    """Gradients of what is blended.

    Attributes:
        means2d: [M, 2] of the envelope alone.
        conics: [M, 3].
        opacities: [M].
        colors: [M, D].
        modulation2d: [M, F]; of culled splats, of no meaning.
        depths: [M]; None where depths were not blended behind the colours.
        absolute: [M, 2] sum over pixels of the absolute gradient of means2d; None if not wanted.
    """

    means2d: Tensor
    conics: Tensor
    opacities: Tensor
    colors: Tensor
    modulation2d: Tensor
    absolute: Tensor | None
    depths: Tensor | None = None

    @classmethod
    def empty(
        cls,
        splats: tuple[int, ...],
        channels: int,
        numbers: int,
        wanted: tuple[bool, bool],
        dtype: torch.dtype,
        device: torch.device,
    ) -> BlendGradients:
        """For a pass to fill; `splats` is M, in any axes, `channels` D, `numbers` F, and
        `wanted` whether `absolute` and `depths` are.

        `modulation2d` is zero, for a pass may leave out the rows of culled splats, which are many.
        """

        def empty(*shape: int) -> Tensor:
            return torch.empty((*splats, *shape), dtype=dtype, device=device)

        return cls(
            means2d=empty(2),
            conics=empty(3),
            opacities=empty(),
            colors=empty(channels),
            modulation2d=empty(numbers).zero_(),
            absolute=empty(2) if wanted[0] else None,
            depths=empty() if wanted[1] else None,
        )


class SplatGradients(NamedTuple):
    """Gradients of splats, in the order of `SplatShape`, and of their colour.

    Attributes:
        means: [N, 3].
        quats: [N, 4].
        scales: [N, 3], of their logarithms for raw ones.
        opacities: [N], of their logits for raw ones.
        frequencies: [N, K, 3].
        coefficients: [N, K, 2].
        viewmats: [C, 4, 4]; None if not wanted.
        sh0: as `Harmonics.sh0`; None where the colours were given.
        sh_rest: as `Harmonics.rest`.
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    frequencies: Tensor
    coefficients: Tensor
    viewmats: Tensor | None = None
    sh0: Tensor | None = None
    sh_rest: Tensor | None = None

    @classmethod
    def empty(
        cls, splats: int, waves: int, dtype: torch.dtype, device: torch.device
    ) -> SplatGradients:
        """Of the splats alone, for a pass to fill."""

        def empty(*shape: int) -> Tensor:
            return torch.empty((splats, *shape), dtype=dtype, device=device)

        return cls(
            means=empty(3),
            quats=empty(4),
            scales=empty(3),
            opacities=empty(),
            frequencies=empty(waves, 3),
            coefficients=empty(waves, 2),
        )
