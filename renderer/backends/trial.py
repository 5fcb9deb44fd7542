"""Whether the kernels run on the GPU at hand."""

from __future__ import annotations

import torch

from .._native import NoiseArguments
from .memory import gpu_index
from .registry import backend_for

_works: set[torch.device] = set()


def why_unusable(device: torch.device) -> str | None:
    """What keeps the kernels from running on a GPU, in one sentence; None when nothing does. A GPU
    on which they ran is not tried again."""
    if not torch.cuda.is_available():
        built = "finds no GPU" if torch.version.cuda else "is built for the CPU alone"
        return f"torch {torch.__version__} {built}"
    try:
        device = torch.device("cuda", gpu_index(device))
        if device in _works:
            return None
        ones = torch.ones(4, device=device)
        arguments = NoiseArguments(
            splats=1,
            seed=0,
            strength=0.0,
            slope=1.0,
            opacity_threshold=0.0,
            min_logit=0.0,
            means=torch.zeros(3, device=device),
            quats=ones,
            log_scales=ones[:3],
            opacity_logits=ones[:1],
        )
        backend_for(device).inject_noise(arguments)
        torch.cuda.synchronize(device)
    except Exception as error:  # whatever torch, the compiler or the driver raise
        return (str(error).splitlines() or [type(error).__name__])[0]
    _works.add(device)
    return None
