"""Which backend serves which device."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

from .base import Backend
from .cpu import CpuBackend

_by_type: dict[str, Backend] = {"cpu": CpuBackend()}


def backend_for(device: torch.device) -> Backend:
    """The backend for tensors on `device`.

    Raises:
        ValueError: there is none for this device.
    """
    found = _by_type.get(device.type)
    if found is not None:
        return found
    if device.type != "cuda":
        raise ValueError(f"splats are on {device}: rendering takes the CPU or an NVIDIA GPU")
    from .cuda.backend import CudaBackend
    from .cuda.launcher import open_driver

    return _by_type.setdefault("cuda", CudaBackend(open_driver()))


@contextmanager
def use_backend(device_type: str, backend: Backend) -> Generator[None]:
    """While this is entered, `backend` serves the devices of one type, for all threads: another
    one's passes, such as those of an emulator, under everything that stands on them."""
    before = _by_type.get(device_type)
    _by_type[device_type] = backend
    try:
        yield
    finally:
        if before is None:
            del _by_type[device_type]
        else:
            _by_type[device_type] = before
