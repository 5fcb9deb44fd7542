"""Pictures of splats that stay the same, drawn again and again from other poses."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import fields

from torch import Tensor

from .._native import alike
from ..backends.base import Backend, Repeated
from ..backends.memory import Workspace
from ..cameras import Camera, Cameras
from ..settings import RenderSettings
from ..splats import Splats
from .forward import RasterOptions, forward, in_view
from .passes import Passes

_NAMES = tuple(field.name for field in fields(Splats))


class RecordedPictures:
    """Pictures as bytes, recorded by splats, size and settings.

    What is recorded reads the splats where they lie, so it goes when they do.
    """

    MOST = 4
    """How many are kept, those used last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[weakref.ref[Splats], Repeated[Tensor]]]
        self._kept = OrderedDict()
        self._workspace = Workspace()

    def draw(
        self, backend: Backend, splats: Splats, camera: Camera, settings: RenderSettings
    ) -> Tensor:
        """See `render_bytes`."""
        pose = (camera.world_to_camera, camera.intrinsics)
        tensors = [getattr(splats, name) for name in _NAMES]
        same_type = pose[0].dtype == splats.means.dtype
        if not (same_type and alike(*tensors) and alike(*pose)):
            options = RasterOptions.of(settings, as_bytes=True)
            view = in_view(splats, camera, settings, options)
            return forward(_passes(backend, self._workspace), view, options).image[0]
        sizes = (len(splats), splats.sh.shape[1], splats.waves, camera.size, splats.means.dtype)
        key = (backend, settings, *sizes, *[tensor.data_ptr() for tensor in tensors])
        drawn_by, picture = self._kept.get(key, (None, None))
        if picture is None:
            picture = _repeated(backend, self._workspace, splats, camera, settings)
        if drawn_by is None or drawn_by() is not splats:
            kept = self._kept
            drawn_by = weakref.ref(splats, lambda _: kept.pop(key, None))
            kept[key] = (drawn_by, picture)
        self._kept.move_to_end(key)
        if len(self._kept) > self.MOST:
            self._kept.popitem(last=False)
        near = pose[0].is_cpu or pose[0].device == splats.means.device
        return picture(*(pose if near else [each.cpu() for each in pose])).clone()


def _passes(backend: Backend, workspace: Workspace) -> Passes:
    return Passes(backend, workspace, skip_culled=True)


def _repeated(
    backend: Backend,
    workspace: Workspace,
    splats: Splats,
    camera: Camera,
    settings: RenderSettings,
) -> Repeated[Tensor]:
    """What a camera sees of splats, [H, W, 3] uint8, by its `world_to_camera` and `intrinsics`."""
    options = RasterOptions.of(settings, as_bytes=True)
    passes, view = _passes(backend, workspace), in_view(splats, camera, settings, options)

    def picture(world_to_camera: Tensor, intrinsics: Tensor) -> Tensor:
        cameras = Cameras(world_to_camera[None], intrinsics[None], view.cameras.size)
        return forward(passes, view._replace(cameras=cameras), options).image[0]

    return backend.repeated(picture, workspace, splats.means.device)
