"""From the gradient of a picture to those of its splats, without autograd."""

from __future__ import annotations

from torch import Tensor

from ..backends.stages import BlendGradients, SplatGradients
from .forward import Rasterized, RasterOptions
from .inputs import SplatsInView
from .passes import Passes


def blended_backward(
    passes: Passes,
    drawn: Rasterized,
    v_drawn: tuple[Tensor, Tensor | None],
    options: RasterOptions,
    *,
    not_finite: Tensor | None = None,
) -> BlendGradients:
    """Gradients of what was blended. Takes what `backward` does, and `Passes.blend_backward`."""
    assert drawn.transmittance is not None
    return passes.blend_backward(
        drawn.blended,
        options.blend,
        (drawn.image, drawn.transmittance),
        v_drawn,
        absolute=options.absolute,
        not_finite=not_finite,
    )


def backward(
    passes: Passes,
    splats: SplatsInView,
    drawn: Rasterized,
    v_drawn: tuple[Tensor, Tensor | None],
    options: RasterOptions,
) -> tuple[BlendGradients, SplatGradients]:
    """Gradients of what `forward` drew of splats in the colours of their harmonics alone.

    Args:
        passes: as `forward` took them.
        splats: likewise.
        drawn: what it gave.
        v_drawn: gradients of image and transmittance; None for the second where it is zero.
        options: as `forward` took them.

    Returns:
        Gradients of what was blended, and of the splats, without those of the cameras.
    """
    assert drawn.packing is None
    v_blended = blended_backward(passes, drawn, v_drawn, options)
    v_splats = passes.shaded_backward(
        splats,
        (drawn.shaded.visible, drawn.shaded.colors),
        v_blended,
        v_blended.depths,
        poses=False,
    )
    return v_blended, v_splats
