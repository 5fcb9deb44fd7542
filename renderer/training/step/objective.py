"""What a fit makes small: loss terms of a picture, and their gradients of what was drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ...backends.memory import Memory
from ...losses import compare
from ..data import Photo


class Picture(NamedTuple):
    """What splats look like where a photo was taken.

    Attributes:
        color: [H, W, 3], background and corrections included.
        transmittance: [H, W], what the splats together let through.
        depth: [H, W], sum of camera z times blending weight; None unless the objective asks.
    """

    color: Tensor
    transmittance: Tensor
    depth: Tensor | None

    @property
    def alpha(self) -> Tensor:
        """[H, W], how opaque the splats are together."""
        return 1 - self.transmittance


class Measured(NamedTuple):
    """How far a picture is from what it should be.

    Attributes:
        means: [4] float64: of L1, SSIM, squared error, and the whole loss. The third is told as
            PSNR, the last is followed.
        v_color: [H, W, 3] gradient of the loss to `Picture.color`.
        v_transmittance: [H, W] likewise; None for zero.
        v_depth: [H, W] likewise; None for zero.
        terms: of the loss by name, [] each; may be empty.
    """

    means: Tensor
    v_color: Tensor
    v_transmittance: Tensor | None = None
    v_depth: Tensor | None = None
    terms: Mapping[str, Tensor] = {}


class Objective(Protocol):
    """What a fit makes small, one photo at a time."""

    @property
    def depth(self) -> bool:
        """Whether it looks at depth."""
        ...

    @property
    def recorded(self) -> bool:
        """Whether `measure` does nothing but passes of a backend, and views of tensors, the same
        for every photo of a size: a GPU's kernels are then recorded once, and the photo that is
        handed over has no name."""
        ...

    def measure(self, picture: Picture, photo: Photo, memory: Memory) -> Measured:
        """How far a picture is from a photo.

        Args:
            picture: without history.
            photo: on the same device.
            memory: where the result may lie.
        """
        ...


class PhotometricObjective:
    """(1 - w) L1 + w (1 - SSIM) where the photo's mask lets it count, by one fused pass.

    Args:
        ssim_weight: w.
    """

    depth = False
    recorded = True

    def __init__(self, ssim_weight: float = 0.2) -> None:
        self._ssim_weight = ssim_weight

    def measure(self, picture: Picture, photo: Photo, memory: Memory) -> Measured:
        """See `Objective`."""
        found = compare(
            picture.color,
            photo.image,
            photo.mask,
            self._ssim_weight,
            gradient=True,
            memory=memory,
        )
        assert found.gradient is not None
        return Measured(found.means, found.gradient)


class TorchObjective:
    """Any loss in torch: autograd sees the picture alone, the rasterizer stays as it is.

    Args:
        function: takes a `Picture`, whose tensors are leaves, and a photo with `image` [H, W, 3]
            uint8, `rgb` [H, W, 3] in [0, 1], `mask` [H, W] or None, `camera` and `name`; gives the
            loss [], or terms by name whose sum is the loss.
        depth: whether it looks at the picture's depth.

    Attributes:
        depth: as above.

    Raises:
        ValueError: when a step is taken, if the function gives something else.
    """

    recorded = False

    def __init__(
        self,
        function: Callable[[Picture, Photo], Tensor | Mapping[str, Tensor]],
        *,
        depth: bool = False,
    ) -> None:
        self._function = function
        self.depth = depth

    def measure(self, picture: Picture, photo: Photo, memory: Memory) -> Measured:
        """See `Objective`."""
        with torch.enable_grad():
            color, transmittance = _leaf(picture.color), _leaf(picture.transmittance)
            depth = None if picture.depth is None else _leaf(picture.depth)
            terms = _terms(self._function(Picture(color, transmittance, depth), photo))
            loss = torch.stack([*terms.values()]).sum()
        v_color, v_transmittance, v_depth = _gradients(loss, (color, transmittance, depth))
        error = (picture.color - photo.rgb).square()
        counting = error if photo.mask is None else error[photo.mask]
        mse, zero = counting.mean().double(), torch.zeros_like(loss, dtype=torch.float64)
        return Measured(
            torch.stack([zero, zero, mse, loss.detach().double()]),
            torch.zeros_like(color) if v_color is None else v_color,
            v_transmittance,
            v_depth,
            {name: term.detach() for name, term in terms.items()},
        )


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_()


def _gradients(loss: Tensor, leaves: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Of `loss` to each of the leaves; None for zero."""
    used = [each for each in leaves if each is not None]
    if not loss.requires_grad:
        return [None for _ in leaves]
    found = iter(torch.autograd.grad(loss, used, allow_unused=True))
    gradients = [None if each is None else next(found) for each in leaves]
    return [None if each is None else each.contiguous() for each in gradients]


def _terms(found: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Terms of a loss by name."""
    terms = {"loss": found} if isinstance(found, Tensor) else dict(found)
    if not terms:
        raise ValueError("an objective must give at least one term")
    for name, term in terms.items():
        if term.ndim:
            raise ValueError(f"{name} of an objective must be a scalar, not {list(term.shape)}")
    return terms
