"""Splats to be written to files."""

from __future__ import annotations

import torch

from gaborsplat.renderer.splats import Splats


def random_splats(n: int = 5, degree: int = 1, waves: int = 0) -> Splats:
    """A few splats that every format can express; always the same."""
    generator = torch.Generator().manual_seed(5)
    draw = lambda *shape: torch.rand(*shape, generator=generator)  # noqa: E731
    return Splats(
        means=4 * draw(n, 3) - 2,
        quats=torch.nn.functional.normalize(draw(n, 4) - 0.5),
        scales=draw(n, 3) * 0.2 + 0.01,
        opacities=draw(n) * 0.9 + 0.05,
        sh=draw(n, (degree + 1) ** 2, 3) - 0.5,
        frequencies=draw(n, waves, 3),
        coefficients=draw(n, waves, 2) * 0.2,
    )
