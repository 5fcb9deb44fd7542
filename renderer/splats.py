"""What a scene is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from ._native import constants

SH_C0: float = constants.SH_C0
"""The constant spherical harmonic: colour = 0.5 + SH_C0 * sh[0] where only that one is not 0."""

TensorMap = Callable[[Tensor], Tensor]

WAVE_COUNTS: tuple[int, ...] = (0, 1, 2, 4)
"""Numbers of Gabor waves per splat that the kernels are compiled for; 0 is a plain Gaussian."""


@dataclass(frozen=True)
class SplatShape:
    """Where splats are, their shape, opacity and waves; all but their colour."""

    means: Tensor  # [N, 3]
    quats: Tensor  # [N, 4] wxyz, any non-zero length
    scales: Tensor  # [N, 3]
    opacities: Tensor  # [N]
    frequencies: Tensor  # [N, K, 3] cycles per sigma
    coefficients: Tensor  # [N, K, 2] cosine, sine

    @property
    def waves(self) -> int:
        """Waves per splat, K."""
        return self.frequencies.shape[1]


@dataclass(frozen=True)
class Splats:
    """A cloud of N splats: 3D Gaussian envelopes, each carrying a bank of K Gabor waves.

    The response of a splat at the whitened offset y = S^-1 R^T (x - mean) is
    exp(-|y|^2 / 2) * (1 - sum_k cos_k + sum_k cos_k cos(2 pi f_k.y) + sin_k sin(2 pi f_k.y)),
    see docs/mathematics.md, section 1. With K = 0 this is a 3D Gaussian splat.
    """

    means: Tensor  # [N, 3] centres, in the units of the capture
    quats: Tensor  # [N, 4] rotations wxyz, any non-zero length
    scales: Tensor  # [N, 3] standard deviations along the splat's own axes, > 0
    opacities: Tensor  # [N] peak opacity in [0, 1]
    sh: Tensor  # [N, (degree + 1)^2, 3] spherical harmonics; colour = 0.5 + sum_j sh_j Y_j(view)
    frequencies: Tensor  # [N, K, 3] cycles per sigma in the splat's own frame
    coefficients: Tensor  # [N, K, 2] cosine and sine amplitude of each wave

    def __post_init__(self) -> None:
        n = self.means.shape[0]
        waves = self.frequencies.shape[1] if self.frequencies.ndim == 3 else -1
        expected = {
            "means": (n, 3),
            "quats": (n, 4),
            "scales": (n, 3),
            "opacities": (n,),
            "frequencies": (n, waves, 3),
            "coefficients": (n, waves, 2),
        }
        for name, shape in expected.items():
            actual = tuple(getattr(self, name).shape)
            if actual != shape:
                raise ValueError(f"Splats.{name} must have shape {shape}, not {actual}")
        bands = self.sh.shape[1] if self.sh.ndim == 3 else -1
        if tuple(self.sh.shape) != (n, bands, 3) or bands not in (1, 4, 9, 16):
            raise ValueError(
                f"Splats.sh must have shape ({n}, 1|4|9|16, 3), not {tuple(self.sh.shape)}"
            )
        if waves not in WAVE_COUNTS:
            raise ValueError(f"Splats carry 0, 1, 2 or 4 waves each, not {waves}")

    def __len__(self) -> int:
        return self.means.shape[0]

    @property
    def waves(self) -> int:
        """Gabor waves per splat, K."""
        return self.frequencies.shape[1]

    @property
    def sh_degree(self) -> int:
        """Degree of the spherical harmonics, 0 to 3."""
        return int(self.sh.shape[1] ** 0.5) - 1

    @property
    def geometry(self) -> SplatShape:
        """Everything but the colour."""
        names = (field.name for field in fields(SplatShape))
        return SplatShape(**{name: getattr(self, name) for name in names})

    @property
    def nbytes(self) -> int:
        """Bytes of all parameters."""
        return sum(t.numel() * t.element_size() for t in self.tensors().values())

    def tensors(self) -> dict[str, Tensor]:
        """All parameters by field name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def map(self, function: TensorMap) -> Splats:
        """The same cloud with `function` applied to every parameter tensor."""
        return Splats(**{name: function(tensor) for name, tensor in self.tensors().items()})

    def to(self, target: torch.device | torch.dtype | str) -> Splats:
        """The same cloud on another device or in another floating-point type."""
        return self.map(lambda tensor: tensor.to(target))

    def detach(self) -> Splats:
        """The same values without gradient history."""
        return self.map(Tensor.detach)

    def select(self, index: Tensor) -> Splats:
        """The splats at `index`: a boolean mask [N] or integer indices [M]."""
        return self.map(lambda tensor: tensor[index])

    def without_waves(self) -> Splats:
        """The Gaussian envelopes alone."""
        n = len(self)
        return replace(
            self,
            frequencies=self.frequencies.new_zeros(n, 0, 3),
            coefficients=self.coefficients.new_zeros(n, 0, 2),
        )
