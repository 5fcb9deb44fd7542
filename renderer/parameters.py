"""Raw parameters, which Adam may move anywhere, and the splats they stand for.

The names are gsplat's, so that gsplat's strategies find them: `means`, `quats`, `scales` (log),
`opacities` (logit), `sh0` [N, 1, 3], `shN` [N, B - 1, 3]; ours are `frequencies`, `coefficients`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import Parameter

from .splats import Splats

Parameters = dict[str, Parameter]
"""Raw parameters of a fit, by name."""
OPACITY_MARGIN = 1e-6
"""Opacities are kept this far from 0 and 1 before the logit, where it is infinite."""


def activate(raw: Mapping[str, Tensor]) -> Splats:
    """The splats that `raw` stands for; differentiable."""
    return Splats(
        means=raw["means"],
        quats=raw["quats"],
        scales=torch.exp(raw["scales"]),
        opacities=torch.sigmoid(raw["opacities"]),
        sh=torch.cat([raw["sh0"], raw["shN"]], dim=1),
        frequencies=raw["frequencies"],
        coefficients=raw["coefficients"],
    )


def deactivate(splats: Splats) -> dict[str, Tensor]:
    """Raw parameters that stand for `splats`; the inverse of `activate`, without history."""
    splats = splats.detach()
    return {
        "means": splats.means.clone(),
        "quats": splats.quats.clone(),
        "scales": torch.log(splats.scales),
        "opacities": torch.logit(splats.opacities, eps=OPACITY_MARGIN),
        "sh0": splats.sh[:, :1].clone(),
        "shN": splats.sh[:, 1:].clone(),
        "frequencies": splats.frequencies.clone(),
        "coefficients": splats.coefficients.clone(),
    }
