"""Pictures of splats."""

from __future__ import annotations

import torch
from torch import Tensor

from ..backends.memory import WORKSPACES
from ..backends.registry import backend_for
from ..cameras import Camera
from ..frame import Frame
from ..settings import RenderSettings
from ..splats import Splats
from .autograd import RecordedPasses
from .forward import Rasterized, RasterOptions, forward, in_view
from .passes import Passes
from .recorded import RecordedPictures

_DEFAULTS = RenderSettings()
_LEAST_ALPHA = 1e-10  # far under that of anything drawn


def render(splats: Splats, camera: Camera, settings: RenderSettings = _DEFAULTS) -> Frame:
    """The picture of `splats` that `camera` takes, differentiable in both.

    Color is blended front to back over `settings.background`; depth is the alpha-weighted mean of
    the splats' camera z. Follows 3D Gaussian Splatting (Kerbl et al. 2023), with the waves of
    docs/mathematics.md.

    Args:
        splats: N splats on one device, float32 or float64.
        camera: of the same type, on any device.
        settings: thresholds, background, degree of the harmonics.

    Returns:
        Colour [H, W, 3], alpha [H, W] and depth [H, W].

    Raises:
        ValueError: splats of mixed type or device, a camera of another type, or a device without a
            backend.
    """
    inputs = (*splats.tensors().values(), camera.world_to_camera)
    gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    backend = backend_for(splats.means.device)
    # What autograd records belongs to its graph.
    passes = RecordedPasses(backend) if gradient else Passes(backend)
    options = RasterOptions.of(settings, channels="color+depth", gradient=gradient)
    return frame_of(forward(passes, in_view(splats, camera, settings, options), options))


def render_bytes(splats: Splats, camera: Camera, settings: RenderSettings = _DEFAULTS) -> Tensor:
    """The colours that `render` gives, as [H, W, 3] uint8, ready to be shown or saved.

    Leaves out what only depth, alpha and gradients need. Takes and raises what `render` does.
    """
    device = splats.means.device
    backend = backend_for(device)
    with WORKSPACES.lend(device) as workspace:
        if backend.records:
            recorded = workspace.keep("pictures", RecordedPictures)
            return recorded.draw(backend, splats, camera, settings)
        options = RasterOptions.of(settings, as_bytes=True)
        view = in_view(splats, camera, settings, options)
        return forward(Passes(backend, workspace, skip_culled=True), view, options).image[0]


def frame_of(drawn: Rasterized) -> Frame:
    """The frame of one picture of colour and depth."""
    assert drawn.transmittance is not None
    transmittance = drawn.transmittance[0]
    alpha = 1 - transmittance
    depth = drawn.image[0, ..., 3] / alpha.clamp_min(_LEAST_ALPHA)  # 0 where nothing is drawn
    return Frame(drawn.image[0, ..., :3], alpha, depth)
