"""Surroundings for code of others that leaves types, devices and random numbers to torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_MADE = (torch.zeros, torch.tensor, torch.randn)
"""Functions of torch that gsplat's strategies make tensors with."""


class Borrowed(TorchFunctionMode):
    """While this is entered, tensors that this thread makes without a type are float32 and without
    a device on the CPU, whatever torch's defaults are; random ones come from `generator`.

    torch's defaults and its own generator belong to the user, and to other threads at the same
    time, so nothing is changed there.
    """

    def __init__(self, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self._generator = generator

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Calls `func`, as torch wants it."""
        kwargs = kwargs or {}
        if func in _MADE:
            kwargs = {"dtype": torch.float32, "device": "cpu", **kwargs}
        if func is torch.randn:
            kwargs = {"generator": self._generator, **kwargs}
        return func(*args, **kwargs)
