"""What a scene is made of: splats as they are shown, as a fit moves them, as passes take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

from ._native import constants

SH_C0: float = constants.SH_C0
"""The constant spherical harmonic: colour = 0.5 + SH_C0 * sh[0] where only that one is not 0."""
WAVE_COUNTS: tuple[int, ...] = (0, 1, 2, 4)
"""Numbers of Gabor waves per splat that the kernels are compiled for; 0 is a plain Gaussian."""
OPACITY_MARGIN = 1e-6
"""Opacities are kept this far from 0 and 1 before the logit, where it is infinite."""

TensorMap = Callable[[Tensor], Tensor]
Parameters = dict[str, Parameter]
"""Raw parameters of a fit, by the names under which gsplat's strategies look for them: `means`,
`quats`, `scales` (log), `opacities` (logit), `sh0`, `shN`; and our own, `frequencies` and
`coefficients`."""


class SplatShape(NamedTuple):
    """Everything about N splats but their colour: what projection takes.

    Attributes:
        means: [N, 3] centres.
        quats: [N, 4] rotations wxyz, of any length but 0.
        scales: [N, 3] standard deviations, or their logarithms.
        opacities: [N] peak opacities, or their logits.
        frequencies: [N, K, 3] of the waves [cycles/sigma].
        coefficients: [N, K, 2] cosine and sine amplitudes.
        raw: whether scales are logarithms and opacities logits, as a fit moves them.
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    frequencies: Tensor
    coefficients: Tensor
    raw: bool = False

    @property
    def waves(self) -> int:
        """Waves per splat, K."""
        return self.frequencies.shape[-2]

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        return {
            "means": self.means,
            "quats": self.quats,
            "scales": self.scales,
            "opacities": self.opacities,
            "frequencies": self.frequencies,
            "coefficients": self.coefficients,
        }


class GaborWaves(NamedTuple):
    """K Gabor waves on each of N splats.

    Attributes:
        frequencies: [N, K, 3] in the splat's own frame [cycles/sigma].
        coefficients: [N, K, 2] cosine and sine amplitudes.
    """

    frequencies: Tensor
    coefficients: Tensor


class LateHarmonics(NamedTuple):
    """Steps of Adam that N splats' harmonics have missed, because no photo showed the splat since:
    of a number, missed[.., last_steps] times its quotient is still to be subtracted.

    Attributes:
        missed: [2, steps] by how much all steps behind one move a number of quotient 1, of the
            constant harmonic and of the others.
        last_steps: [N] int32, Adam's last step of each splat.
        sh0_quotients: [N, 1, 3] uint8, Adam's first moment over the root of the second, in the
            format of cuda/math/moments.h.
        rest_quotients: [N, B - 1, 3] uint8, likewise.
    """

    missed: Tensor
    last_steps: Tensor
    sh0_quotients: Tensor
    rest_quotients: Tensor

    def arguments(self) -> dict[str, Any]:
        """What shading takes."""
        return {
            "late_splats": self.last_steps.shape[0],
            "late_sh0_coeffs": self.sh0_quotients.shape[1],
            "late_sh_rest_coeffs": self.rest_quotients.shape[1],
            "late_steps": self.missed.shape[1],
            "missed": self.missed,
            "last_steps": self.last_steps,
            "sh0_quotients": self.sh0_quotients,
            "sh_rest_quotients": self.rest_quotients,
        }


@dataclass(frozen=True)
class Harmonics:
    """Coefficients of N splats' spherical harmonics: in one tensor, or the constant one apart.

    Attributes:
        sh0: [N, B, 3], or [N, 1, 3] when the others are in `rest`.
        rest: [N, B - 1, 3], or None.
        late: what is missing in both, where a fit has put that off.
    """

    sh0: Tensor
    rest: Tensor | None = None
    late: LateHarmonics | None = None

    @property
    def count(self) -> int:
        """Coefficients per splat and channel, B."""
        return self.sh0.shape[1] + (0 if self.rest is None else self.rest.shape[1])


@dataclass(frozen=True)
class Splats:
    """A cloud of N splats: 3D Gaussian envelopes, each carrying a bank of K Gabor waves.

    The response of a splat at the whitened offset y = S^-1 R^T (x - mean) is
    exp(-|y|^2 / 2) * (1 - sum_k cos_k + sum_k cos_k cos(2 pi f_k.y) + sin_k sin(2 pi f_k.y)),
    see docs/mathematics.md, section 1. With K = 0 this is a 3D Gaussian splat.

    Attributes:
        means: [N, 3] centres, in the units of the capture.
        quats: [N, 4] rotations wxyz, of any length but 0.
        scales: [N, 3] standard deviations along the splat's own axes, > 0.
        opacities: [N] peak opacities in [0, 1].
        sh: [N, (degree + 1)^2, 3] spherical harmonics; colour = 0.5 + sum_j sh_j Y_j(view).
        frequencies: [N, K, 3] of the waves, in the splat's own frame [cycles/sigma].
        coefficients: [N, K, 2] cosine and sine amplitude of each wave.

    Raises:
        ValueError: a tensor has another shape.
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    sh: Tensor
    frequencies: Tensor
    coefficients: Tensor

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
        coeffs = self.sh.shape[1] if self.sh.ndim == 3 else -1
        if tuple(self.sh.shape) != (n, coeffs, 3) or coeffs not in (1, 4, 9, 16):
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
        return SplatShape(
            self.means,
            self.quats,
            self.scales,
            self.opacities,
            self.frequencies,
            self.coefficients,
        )

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

    def scaled(self, factor: float) -> Splats:
        """The same cloud in a unit of length that is 1 / `factor` of this one's; exact for powers
        of two."""
        return replace(self, means=self.means * factor, scales=self.scales * factor)

    def without_waves(self) -> Splats:
        """The Gaussian envelopes alone."""
        n = len(self)
        return replace(
            self,
            frequencies=self.frequencies.new_zeros(n, 0, 3),
            coefficients=self.coefficients.new_zeros(n, 0, 2),
        )


@dataclass(frozen=True)
class RawSplats:
    """Splats as a fit moves them: any numbers stand for splats.

    Attributes:
        means: [N, 3] centres.
        quats: [N, 4] rotations wxyz.
        log_scales: [N, 3] logarithms of the standard deviations.
        opacity_logits: [N] logits of the peak opacities.
        sh0: [N, 1, 3] coefficients of the constant harmonic.
        sh_rest: [N, B - 1, 3] those of all others.
        frequencies: [N, K, 3] of the waves [cycles/sigma].
        coefficients: [N, K, 2] cosine and sine amplitudes.
    """

    means: Tensor
    quats: Tensor
    log_scales: Tensor
    opacity_logits: Tensor
    sh0: Tensor
    sh_rest: Tensor
    frequencies: Tensor
    coefficients: Tensor

    @classmethod
    def of(cls, parameters: Mapping[str, Tensor]) -> RawSplats:
        """Those that `parameters` has, by the names of `Parameters`; the same tensors."""
        return cls(*(parameters[name] for name in PARAMETER_NAMES))

    @classmethod
    def standing_for(cls, splats: Splats) -> RawSplats:
        """Those that stand for `splats`: the inverse of `activated`, without history."""
        splats = splats.detach()
        return cls(
            means=splats.means.clone(),
            quats=splats.quats.clone(),
            log_scales=torch.log(splats.scales),
            opacity_logits=torch.logit(splats.opacities, eps=OPACITY_MARGIN),
            sh0=splats.sh[:, :1].clone(),
            sh_rest=splats.sh[:, 1:].clone(),
            frequencies=splats.frequencies.clone(),
            coefficients=splats.coefficients.clone(),
        )

    def __len__(self) -> int:
        return self.means.shape[0]

    @property
    def waves(self) -> int:
        """Gabor waves per splat, K."""
        return self.frequencies.shape[1]

    @property
    def geometry(self) -> SplatShape:
        """Everything but the colour."""
        return SplatShape(
            self.means,
            self.quats,
            self.log_scales,
            self.opacity_logits,
            self.frequencies,
            self.coefficients,
            raw=True,
        )

    @property
    def harmonics(self) -> Harmonics:
        """The colour."""
        return Harmonics(self.sh0, self.sh_rest)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by the names of `Parameters`."""
        return dict(zip(PARAMETER_NAMES, vars(self).values(), strict=True))

    def activated(self) -> Splats:
        """The splats that these stand for; differentiable."""
        return Splats(
            means=self.means,
            quats=self.quats,
            scales=torch.exp(self.log_scales),
            opacities=torch.sigmoid(self.opacity_logits),
            sh=torch.cat([self.sh0, self.sh_rest], dim=1),
            frequencies=self.frequencies,
            coefficients=self.coefficients,
        )

    def without_waves(self) -> RawSplats:
        """The Gaussian envelopes alone."""
        n = len(self)
        return replace(
            self,
            frequencies=self.frequencies.new_zeros(n, 0, 3),
            coefficients=self.coefficients.new_zeros(n, 0, 2),
        )


PARAMETER_NAMES = (
    *("means", "quats", "scales", "opacities"),
    *("sh0", "shN", "frequencies", "coefficients"),
)
"""Names of `Parameters`, in the order of the fields of `RawSplats`."""
