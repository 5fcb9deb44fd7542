"""Types of the compiled CPU backend (cuda/cpu/module.cpp)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from . import _constants

class ProjectOptions:
    def __init__(
        self,
        *,
        width: int,
        height: int,
        near_plane: float,
        far_plane: float,
        eps2d: float,
        compensation_min: float,
        alpha_min: float,
        radius_clip: float,
        antialiased: bool,
        three_sigma: bool,
        raw: bool,
    ) -> None: ...

class BlendOptions:
    def __init__(
        self,
        *,
        waves: int,
        cameras: int,
        width: int,
        height: int,
        alpha_min: float,
        alpha_max: float,
        transmittance_min: float,
    ) -> None: ...

constants = _constants

Integers = NDArray[np.int32]
Longs = NDArray[np.int64]

def project(
    inputs: Sequence[Tensor],
    waves: int,
    options: ProjectOptions,
    radii: Tensor,
    outputs: Sequence[Tensor],
    /,
) -> None: ...
def project_backward(
    inputs: Sequence[Tensor],
    waves: int,
    options: ProjectOptions,
    radii: Tensor,
    v_outputs: Sequence[Tensor],
    v_inputs: Sequence[Tensor],
    /,
) -> None: ...
def shade(
    inputs: Sequence[Tensor], degree: int, radii: Tensor, colors: Tensor, /
) -> None: ...
def shade_backward(
    inputs: Sequence[Tensor],
    degree: int,
    radii: Tensor,
    colors: Tensor,
    v_colors: Tensor,
    v_inputs: Sequence[Tensor],
    /,
) -> None: ...
def bin_to_tiles(
    inputs: Sequence[Tensor],
    radii: Tensor,
    cameras: int,
    width: int,
    height: int,
    tile_test: bool,
    slots: bool,
    /,
) -> tuple[Integers, Longs, Integers, Longs]: ...
def blend(
    inputs: Sequence[Tensor],
    options: BlendOptions,
    splat_ids: Tensor,
    offsets: Tensor,
    image: Tensor,
    transmittance: Tensor,
    /,
) -> None: ...
def blend_bytes(
    inputs: Sequence[Tensor],
    options: BlendOptions,
    splat_ids: Tensor,
    offsets: Tensor,
    background: list[float],
    bytes: Tensor,
    /,
) -> None: ...
def blend_backward(
    inputs: Sequence[Tensor],
    options: BlendOptions,
    splat_ids: Tensor,
    offsets: Tensor,
    image: Tensor,
    transmittance: Tensor,
    v_outputs: Sequence[Tensor],
    slots: Tensor,
    first_slot: Tensor,
    v_inputs: Sequence[Tensor],
    /,
) -> None: ...
def photometric_loss(
    image: Tensor,
    photo: Tensor,
    mask: Tensor,
    width: int,
    ssim_weight: float,
    gradient: Tensor,
    /,
) -> tuple[float, float, float]: ...
def adam_step(
    state: Sequence[Tensor],
    gradients: Tensor,
    visible: Tensor,
    rows: int,
    rates: Sequence[float],
    /,
) -> None: ...
def shake(
    means: Tensor,
    inputs: Sequence[Tensor],
    strength: float,
    gate: Sequence[float],
    seed: int,
    /,
) -> None: ...
def threads() -> int: ...
def set_threads(count: int) -> None: ...
def isa() -> str: ...
def kinds() -> list[str]: ...
def screen_size(waves: int) -> int: ...
