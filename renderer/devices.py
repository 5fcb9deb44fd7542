"""Where to compute."""

from __future__ import annotations

import logging
from typing import Literal

import torch

from .backends.memory import gpu_index
from .backends.trial import why_unusable

Device = Literal["auto", "cpu", "cuda"]
"""`auto` takes an NVIDIA GPU where there is one that works."""

log = logging.getLogger(__name__)


def pick_device(wanted: torch.device | str = "auto") -> torch.device:
    """The device to compute on. Logs a warning when there is a GPU that `auto` cannot take.

    Args:
        wanted: "auto", which takes an NVIDIA GPU where there is one that works; "cpu", "cuda", or
            one GPU of several, such as "cuda:1".

    Raises:
        ValueError: there is no such device, or it cannot be used.
    """
    if wanted == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        reason = why_unusable(torch.device("cuda"))
        if reason is None:
            return _numbered(torch.device("cuda"))
        log.warning("note: on the CPU, for the GPU cannot be used: %s", reason)
        return torch.device("cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:  # torch lists the devices of all its backends
        raise ValueError(f"device: must be auto, cpu, cuda or cuda:N, not {wanted!r}") from None
    if device.type == "cpu":
        return device
    reason = why_unusable(device) if device.type == "cuda" else "no backend computes there"
    if reason is not None:
        raise ValueError(f"device: {device} cannot be used: {reason}; cpu works")
    return _numbered(device)


def _numbered(device: torch.device) -> torch.device:
    """One GPU, whichever thread asks: without a number it is the thread's current one."""
    return torch.device("cuda", gpu_index(device))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was not enough memory, on the host or on a GPU, by whoever says so."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    # torch's allocator on the CPU raises a plain RuntimeError, and so does a launch on a GPU.
    said = str(error).lower()
    signs = ("out of memory", "out_of_memory", "not enough memory", "can't allocate memory")
    return isinstance(error, RuntimeError) and any(sign in said for sign in signs)
