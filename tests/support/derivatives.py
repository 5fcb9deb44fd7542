"""Gradients of a picture in everything it is made of, by autograd and by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.frame import Frame
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats

Renderer = Callable[[Splats, Camera, RenderSettings], Frame]
Loss = Callable[[Frame], Tensor]

STENCIL = ((1.0, 8.0 / 12.0), (2.0, -1.0 / 12.0))
"""Five-point first derivative: (steps, weight) of the positive side; the negative mirrors it."""


def random_loss(size: tuple[int, int], where: Tensor | None = None) -> Loss:
    """A loss that weighs every number of the frame differently, in `where` [H, W] or everywhere."""
    width, height = size
    weights = torch.randn(height, width, 5, dtype=torch.float64)
    if where is not None:
        weights = weights * where[..., None]

    def loss(frame: Frame) -> Tensor:
        planes = torch.cat([frame.color, frame.alpha[..., None], frame.depth[..., None]], dim=-1)
        return (planes * weights.to(planes)).sum()

    return loss


def autograd(
    render: Renderer, splats: Splats, camera: Camera, settings: RenderSettings, loss: Loss
) -> dict[str, Tensor]:
    """Gradient of `loss` in every splat parameter and in `world_to_camera`, by backpropagation."""
    splats = splats.map(lambda tensor: tensor.detach().clone().requires_grad_())
    pose = camera.world_to_camera.detach().clone().requires_grad_()
    loss(render(splats, replace(camera, world_to_camera=pose), settings)).backward()
    leaves = splats.tensors() | {"world_to_camera": pose}
    return {
        name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        for name, leaf in leaves.items()
    }


def finite_differences(
    render: Renderer, splats: Splats, camera: Camera, settings: RenderSettings, loss: Loss
) -> dict[str, Tensor]:
    """The same by five-point differences, one number at a time."""
    splats = splats.map(lambda tensor: tensor.detach().clone())
    pose = camera.world_to_camera.detach().clone()
    camera = replace(camera, world_to_camera=pose)
    leaves = splats.tensors() | {"world_to_camera": pose}
    gradients = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    for name, leaf in leaves.items():
        flat, gradient = leaf.view(-1), gradients[name].view(-1)
        for i in range(_varying(name, leaf)):
            value = flat[i].item()
            step = 1e-3 * max(abs(value), 0.1)
            for steps, weight in STENCIL:
                for sign in (1, -1):
                    flat[i] = value + sign * steps * step
                    gradient[i] += sign * weight * loss(render(splats, camera, settings)) / step
            flat[i] = value
    return gradients


def _varying(name: str, leaf: Tensor) -> int:
    """How many leading numbers of a leaf matter: the last row of a pose is fixed."""
    return 12 if name == "world_to_camera" else leaf.numel()
