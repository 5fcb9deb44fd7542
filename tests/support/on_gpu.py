"""The CUDA backend on a GPU, for tensors on the CPU: every pass copies there and back, so that any
test of the CPU backend tests it too."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from inspect import isfunction
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from gaborsplat.renderer.backends import cpu
from gaborsplat.renderer.backends.cuda import backend as cuda
from gaborsplat.renderer.raster import autograd


def _map(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, (tuple, list)):
        return type(value)(_map(function, item) for item in value)
    if is_dataclass(value) and any(isinstance(item, Tensor) for item in vars(value).values()):
        return type(value)(**{name: _map(function, item) for name, item in vars(value).items()})
    return value


def _bridged(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        pairs: list[tuple[Tensor, Tensor]] = []

        def there(tensor: Tensor) -> Tensor:
            copy = tensor.detach().cuda()
            pairs.append((tensor, copy))
            return copy

        result = function(*_map(there, arguments), **options)
        with torch.no_grad():
            for tensor, copy in pairs:  # what a pass changes in place
                back = copy.cpu()
                # NaNs are equal here: writing to what did not change could meet an expanded tensor.
                if not torch.equal(back.nan_to_num(), tensor.detach().nan_to_num()):
                    tensor.detach().copy_(back)
        return _map(lambda tensor: tensor.cpu(), result)

    return call


def passes() -> list[str]:
    """What a backend has: the public functions of the CPU's."""
    return [
        name
        for name, value in vars(cpu).items()
        if isfunction(value) and value.__module__ == cpu.__name__ and not name.startswith("_")
    ]


@contextlib.contextmanager
def bridged_cuda() -> Iterator[None]:
    """While this is entered, tensors on the CPU are rendered and fitted by the GPU. Sums are added
    in a fixed order, for tests compare bits."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    bridge = ModuleType("bridge")
    for name in passes():
        setattr(bridge, name, _bridged(getattr(cuda, name)))
    autograd._backends["cpu"] = bridge
    try:
        yield
    finally:
        autograd._backends["cpu"] = cpu
        torch.use_deterministic_algorithms(False)
