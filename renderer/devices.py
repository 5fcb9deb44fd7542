"""Where to compute."""

from __future__ import annotations

import logging
from typing import Literal

import torch

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
        device = torch.device("cuda")
        reason = why_unusable(device)
        if reason is None:
            return device
        log.warning("note: on the CPU, for the GPU cannot be used: %s", reason)
        return torch.device("cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:  # torch lists the devices of all its backends
        raise ValueError(f"device: {wanted!r} is neither auto, cpu nor cuda, or cuda:1") from None
    if device.type == "cpu":
        return device
    reason = why_unusable(device) if device.type == "cuda" else "no backend computes there"
    if reason is not None:
        raise ValueError(f"device: {device} cannot be used: {reason}; cpu works")
    return device
