"""Whether the kernels run on the GPU at hand."""

from __future__ import annotations

import torch

from .._native import CatchUpArguments, constants
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
        arguments = CatchUpArguments(
            splats=1,
            size=1,
            steps=1,
            beta1=0.9,
            beta2=0.999,
            missed=torch.zeros(1, dtype=torch.float32, device=device),
            counters=torch.ones(constants.STEP_COUNTERS, dtype=torch.int64, device=device),
            last_steps=torch.zeros(1, dtype=torch.int32, device=device),
            values=torch.zeros(1, dtype=torch.float32, device=device),
            quotients=torch.zeros(1, dtype=torch.uint8, device=device),
        )
        backend_for(device).catch_up(arguments)
        torch.cuda.synchronize(device)
    except Exception as error:  # whatever torch, the compiler or the driver raise
        return (str(error).splitlines() or [type(error).__name__])[0]
    _works.add(device)
    return None
