"""Pictures of splats that stay the same, drawn again and again from other poses."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import fields

import torch
from torch import Tensor

from .._native import alike
from ..backends.base import Backend, Repeated
from ..backends.memory import Workspace
from ..cameras import Camera, Cameras
from ..settings import RenderSettings
from ..splats import Splats
from .forward import RasterOptions, forward, in_view
from .inputs import SplatsInView
from .passes import Passes

_NAMES = tuple(field.name for field in fields(Splats))


class RecordedPictures:
    """Pictures of one cloud of splats as bytes, recorded for some sizes and settings.

    What is recorded reads the splats where they lie, so it goes when they do.
    """

    MOST = 4
    """Sizes and settings that are kept, those used last."""

    def __init__(self) -> None:
        self._splats: weakref.ref[Splats] | None = None
        self._where: object = None
        self._recorded: OrderedDict[Hashable, Repeated[Tensor]] = OrderedDict()

    def draw(
        self,
        backend: Backend,
        workspace: Workspace,
        splats: Splats,
        camera: Camera,
        settings: RenderSettings,
    ) -> Tensor:
        """See `render_bytes`; `workspace` is the same each time."""
        pose = (camera.world_to_camera, camera.intrinsics)
        tensors = [getattr(splats, name) for name in _NAMES]
        options = RasterOptions.of(settings, as_bytes=True)
        if not alike(*tensors) or not alike(*pose) or pose[0].dtype != tensors[0].dtype:
            view = in_view(splats, camera, settings, options)
            return forward(Passes(backend, workspace), view, options).image[0]
        self._keep_those_of(splats, tensors)
        key = (camera.size, settings)
        found = self._recorded.pop(key, None)
        if found is None:
            view = in_view(splats, camera, settings, options)
            found = _repeated(backend, workspace, view, options)
        self._recorded[key] = found
        if len(self._recorded) > self.MOST:
            self._recorded.popitem(last=False)
        device = tensors[0].device
        near = pose[0].device in (device, torch.device("cpu"))
        return found(*(pose if near else (each.to(device) for each in pose))).clone()

    def _keep_those_of(self, splats: Splats, tensors: list[Tensor]) -> None:
        """Forget pictures of splats that lie elsewhere."""
        where = [(tensor.data_ptr(), tensor.shape, tensor.dtype) for tensor in tensors]
        if where != self._where:
            self._recorded.clear()
            self._where = where
        if self._splats is None or self._splats() is not splats:
            recorded = self._recorded
            self._splats = weakref.ref(splats, lambda _: recorded.clear())


def _repeated(
    backend: Backend, workspace: Workspace, view: SplatsInView, options: RasterOptions
) -> Repeated[Tensor]:
    """What a camera sees of splats, [H, W, 3] uint8, by its `world_to_camera` and `intrinsics`."""
    passes, size = Passes(backend, workspace), view.cameras.size

    def picture(world_to_camera: Tensor, intrinsics: Tensor) -> Tensor:
        cameras = Cameras(world_to_camera[None], intrinsics[None], size)
        return forward(passes, view._replace(cameras=cameras), options).image[0]

    return backend.repeated(picture, workspace, view.shape.means.device)
