"""The passes as autograd records them, in `Function`s without arithmetic. Gradients are of first
order."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .. import _native
from ..backends.base import Backend
from ..backends.stages import BlendGradients, Projected, Tiles
from ..cameras import Cameras
from ..splats import Harmonics, SplatShape
from .inputs import ShadedSplats, SplatsInTiles, SplatsInView
from .passes import Passes


class RecordedPasses(Passes):
    """`Passes` that are differentiable in the splats and in the cameras' view matrices."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._plain = Passes(backend)

    def shaded(self, splats: SplatsInView) -> ShadedSplats:
        """See `Passes.shaded`."""
        harmonics = splats.harmonics or Harmonics(splats.shape.means.new_empty(0))
        how = _View(
            self._plain,
            splats.shape.raw,
            splats.degree if splats.harmonics else None,
            splats.cameras.size,
            splats.options,
        )
        cameras = (splats.cameras.viewmats, splats.cameras.intrinsics)
        tensors = (*splats.shape.tensors().values(), *cameras, harmonics.sh0, harmonics.rest)
        colors, visible, *projected = _Shaded.apply(how, *map(_savable, tensors))
        if splats.harmonics is None:
            return ShadedSplats(Projected(*projected), projected[0], None)
        return ShadedSplats(Projected(*projected), visible, colors)

    def blend(
        self, splats: SplatsInTiles, options: _native.BlendOptions, *, absolute: bool = False
    ) -> tuple[Tensor, Tensor]:
        """See `Passes.blend`. With `absolute`, backward gives `splats.projected.means2d` an
        `absgrad`: the sum over pixels of the absolute gradient."""
        how = _Blending(self._plain, options, absolute, *splats[2:])
        tensors = (splats.colors, *splats.projected.tensors())
        found: Any = _Blend.apply(how, *map(_savable, tensors))
        return found


def _savable(tensor: Tensor | None) -> Tensor | None:
    """The same for autograd, which keeps no tensors that were made in inference mode."""
    return tensor.clone() if tensor is not None and tensor.is_inference() else tensor


class _View(NamedTuple):
    """What `_Shaded` knows besides tensors, which autograd keeps."""

    passes: Passes
    raw: bool
    degree: int | None  # None without harmonics
    size: tuple[int, int]
    options: _native.ProjectOptions

    def of(self, tensors: tuple[Any, ...]) -> SplatsInView:
        *shape, viewmats, intrinsics, sh0, rest = tensors
        return SplatsInView(
            SplatShape(*shape, raw=self.raw),
            None if self.degree is None else Harmonics(sh0, rest),
            self.degree or 0,
            Cameras(viewmats, intrinsics, self.size),
            self.options,
        )


class _Shaded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, how: _View, *tensors: Tensor | None) -> Any:
        shaded = how.passes.shaded(how.of(tensors))
        p, visible, colors = shaded.projected, shaded.visible, shaded.colors
        ctx.how = how
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, visible, colors)
        if colors is None:  # nor is what is visible another tensor than the projection's
            colors, visible = p.means2d.new_empty(0), visible.new_empty(0)
        ctx.mark_non_differentiable(visible, p.visible, p.radii, p.cutoffs)
        return colors, visible, *p.tensors()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, v_colors: Tensor | None, *v: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        *tensors, visible, colors = ctx.saved_tensors
        how: _View = ctx.how
        if v_colors is None:  # nobody used the colours
            how = how._replace(degree=None)
        splats = how.of(tuple(tensors))
        _, _, _, v_means2d, v_depths, v_conics, v_opacities, _, v_modulation2d = v

        def known(gradient: Tensor | None, *shape: int) -> Tensor:
            if gradient is None:
                return splats.shape.means.new_zeros(*visible.shape, *shape)
            return gradient.contiguous()

        v_blended = BlendGradients(
            means2d=known(v_means2d, 2),
            conics=known(v_conics, 3),
            opacities=known(v_opacities),
            colors=known(v_colors, 3),
            modulation2d=known(v_modulation2d, _native.modulation_size(splats.shape.waves)),
            absolute=None,
        )
        found = how.passes.shaded_backward(
            splats,
            (visible, colors),
            v_blended,
            None if v_depths is None else v_depths.contiguous(),
            poses=ctx.needs_input_grad[7],
        )
        shape = (getattr(found, name) for name in splats.shape.tensors())
        return None, *shape, found.viewmats, None, found.sh0, found.sh_rest


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, how: _Blending, *tensors: Tensor) -> Any:
        drawn = how.passes.blend(how.of(tensors), how.options)
        ctx.how = how
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *drawn)
        return drawn

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *v: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        *tensors, image, transmittance = ctx.saved_tensors
        how: _Blending = ctx.how
        splats = how.of(tuple(tensors))
        v_image, v_transmittance = v
        v_drawn = (
            torch.zeros_like(image) if v_image is None else v_image.contiguous(),
            None if v_transmittance is None else v_transmittance.contiguous(),
        )
        found = how.passes.blend_backward(
            splats, how.options, (image, transmittance), v_drawn, absolute=how.absolute
        )
        if how.absolute:
            # Where gsplat's strategies look.
            setattr(splats.projected.means2d, "absgrad", found.absolute)  # noqa: B010
        of_projected = (getattr(found, name, None) for name in Projected._fields)
        return None, found.colors, *of_projected


class _Blending(NamedTuple):
    """What `_Blend` knows besides tensors, which autograd keeps."""

    passes: Passes
    options: _native.BlendOptions
    absolute: bool
    # From here on as in `SplatsInTiles`.
    tiles: Tiles
    waves: int
    cameras: int
    size: tuple[int, int]
    with_depth: bool

    def of(self, tensors: tuple[Any, ...]) -> SplatsInTiles:
        colors, *projected = tensors
        return SplatsInTiles(Projected(*projected), colors, *self[3:])
