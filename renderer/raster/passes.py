"""The passes of the rasterizer over typed values: where every argument gets its name, once for all
backends."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import _native
from .._native import BlendOptions
from ..backends.base import Backend
from ..backends.memory import FRESH, Memory
from ..backends.stages import (
    BlendGradients,
    Projected,
    SplatGradients,
    SplatsToBin,
    Tiles,
)
from ..cameras import viewmats_gradient
from ..splats import Harmonics
from .inputs import ShadedSplats, SplatsInTiles, SplatsInView


class Passes:
    """The passes on one backend, whose results lie in one memory. Nothing is recorded for autograd.

    Tensors are contiguous, of one floating-point type and on one device.

    Args:
        backend: the passes.
        memory: where results lie.
        skip_culled: rows of culled splats, but in `visible`, `radii` and `cutoffs`, may stay as
            they were: where nobody looks at them but later passes. They are most of many pictures.
    """

    def __init__(
        self, backend: Backend, memory: Memory = FRESH, *, skip_culled: bool = False
    ) -> None:
        self.backend = backend
        self._memory = memory
        self._skip_culled = skip_culled

    def shaded(self, splats: SplatsInView) -> ShadedSplats:
        """Splats on the image and their colours.

        Culled are splats that are not finite, not in front of the camera, outside the image,
        nowhere above alpha_min, or of a colour that is not bounded.
        """
        projected = self._project(splats)
        if splats.harmonics is None:
            return ShadedSplats(projected, projected.visible, None)
        return self._shade(splats, splats.harmonics, projected)

    def bin(self, splats: SplatsToBin) -> Tiles:
        """The splats of every tile, front to back."""
        return self.backend.bin(splats, self._memory)

    def blend(
        self, splats: SplatsInTiles, options: BlendOptions, *, absolute: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Image [C, H, W, D] over the background, and transmittance [C, H, W]. `absolute` has no
        effect here.

        Raises:
            ValueError: more channels than the backend blends at once.
        """
        most, channels = self.backend.max_channels, splats.channels
        if most is not None and channels > most:
            raise ValueError(f"the GPU blends at most {most} channels, not {channels}")
        (width, height), like = splats.size, splats.colors
        sizes = (splats.cameras, height, width, channels)
        image, transmittance = self._memory.keep(
            "image", _empty_image, *sizes, like.dtype, like.device
        )
        self.backend.blend(
            _native.BlendArguments(
                **splats.arguments(options), image=image, transmittance=transmittance
            )
        )
        return image, transmittance

    def blend_bytes(self, splats: SplatsInTiles, options: BlendOptions) -> Tensor:
        """The first three channels over the background, [C, H, W, 3] uint8, in a new tensor."""
        width, height = splats.size
        image = torch.empty(
            (splats.cameras, height, width, 3), dtype=torch.uint8, device=splats.colors.device
        )
        self.backend.blend(_native.BlendArguments(**splats.arguments(options), bytes=image))
        return image

    def blend_backward(
        self,
        splats: SplatsInTiles,
        options: BlendOptions,
        drawn: tuple[Tensor, Tensor],
        v_drawn: tuple[Tensor, Tensor | None],
        *,
        absolute: bool,
        not_finite: Tensor | None = None,
    ) -> BlendGradients:
        """Gradients of what was blended.

        Args:
            splats: as `blend` took them.
            options: likewise.
            drawn: image and transmittance that `blend` gave.
            v_drawn: their gradients; None for the second where it is zero.
            absolute: find the sums over pixels of |gradient of means2d| too.
            not_finite: [1] int32, becomes 1 if a gradient is not finite; None if that is not asked.
        """
        p, tiles, like = splats.projected, splats.tiles, splats.colors
        found = self._memory.keep(
            "blend gradients",
            BlendGradients.empty,
            tuple(p.cutoffs.shape),
            like.shape[-1],
            p.modulation2d.shape[-1],
            (absolute, splats.with_depth),
            like.dtype,
            like.device,
        )
        self.backend.blend_backward(
            _native.BlendBackwardArguments(
                **splats.arguments(options),
                skip_culled=self._skip_culled,
                image=drawn[0],
                transmittance=drawn[1],
                v_image=v_drawn[0],
                v_transmittance=v_drawn[1],
                slots=tiles.slots,
                slot_begins=tiles.slot_begins,
                slot_ends=tiles.slot_ends,
                v_means2d=found.means2d,
                v_means2d_abs=found.absolute,
                v_conics=found.conics,
                v_opacities2d=found.opacities,
                v_colors=found.colors,
                v_depths=found.depths,
                v_modulation2d=found.modulation2d,
                not_finite=not_finite,
            )
        )
        return found

    def shaded_backward(
        self,
        splats: SplatsInView,
        shaded: tuple[Tensor, Tensor | None],
        v: BlendGradients,
        v_depths: Tensor | None,
        *,
        poses: bool,
    ) -> SplatGradients:
        """Gradients of splats from those of what was blended.

        Args:
            splats: as `shaded` took them.
            shaded: what it gave: which of them are visible, and their colours.
            v: gradients of what it gave, [C, N, ...].
            v_depths: [C, N]; None where it is zero.
            poses: find the gradient of the cameras' poses too.
        """
        visible, colors = shaded
        v_means = v_positions = sh0 = rest = None
        if splats.harmonics is not None and colors is not None:
            v_means, v_positions, sh0, rest = self._shade_backward(
                splats, splats.harmonics, (visible, colors, v.colors), poses=poses
            )
        found, v_poses = self._project_backward(
            splats, visible, v, (v_depths, v_means), poses=poses
        )
        found = found._replace(sh0=sh0, sh_rest=rest)
        if v_poses is not None:
            viewmats = viewmats_gradient(splats.cameras.viewmats, v_poses, v_positions)
            found = found._replace(viewmats=viewmats)
        return found

    def _project(self, splats: SplatsInView) -> Projected:
        means = splats.shape.means
        out = self._memory.keep(
            "projected",
            Projected.empty,
            len(splats.cameras),
            means.shape[0],
            _native.modulation_size(splats.shape.waves),
            means.dtype,
            means.device,
        )
        self.backend.project(
            _native.ProjectArguments(
                **projection_of(splats),
                skip_culled=self._skip_culled,
                visible=out.visible,
                radii=out.radii,
                means2d=out.means2d,
                depths=out.depths,
                conics=out.conics,
                opacities2d=out.opacities,
                cutoffs=out.cutoffs,
                modulation2d=out.modulation2d,
            )
        )
        return out

    def _shade(
        self, splats: SplatsInView, harmonics: Harmonics, projected: Projected
    ) -> ShadedSplats:
        like = projected.depths
        visible, colors = self._memory.keep(
            "shaded", _empty_shaded, tuple(like.shape), like.dtype, like.device
        )
        self.backend.shade(
            _native.ShadeArguments(
                **shading_of(splats, harmonics),
                skip_culled=self._skip_culled,
                projected=projected.visible,
                visible=visible,
                colors=colors,
            )
        )
        return ShadedSplats(projected, visible, colors)

    def _project_backward(
        self,
        splats: SplatsInView,
        visible: Tensor,
        v: BlendGradients,
        others: tuple[Tensor | None, Tensor | None],
        *,
        poses: bool,
    ) -> tuple[SplatGradients, Tensor | None]:
        """Gradients of the splats, and of the poses [P, C, 12]. `others` are the depths' [C, N],
        and what colours add to the means' [N, 3]."""
        means, cameras = splats.shape.means, len(splats.cameras)
        parts = self.backend.pose_parts(means.shape[0]) if poses else 0
        like = (means.dtype, means.device)
        found = self._memory.keep(
            "splat gradients", SplatGradients.empty, means.shape[0], splats.shape.waves, *like
        )
        v_poses = None
        if poses:
            v_poses = self._memory.keep("pose gradients", _empty, (parts, cameras, 12), *like)
        self.backend.project_backward(
            _native.ProjectBackwardArguments(
                **projection_of(splats),
                parts=parts,
                visible=visible,
                v_means2d=v.means2d,
                v_depths=others[0],
                v_conics=v.conics,
                v_opacities2d=v.opacities,
                v_modulation2d=v.modulation2d,
                v_directions=others[1],
                v_means=found.means,
                v_quats=found.quats,
                v_scales=found.scales,
                v_opacities=found.opacities,
                v_frequencies=found.frequencies,
                v_coefficients=found.coefficients,
                v_poses=v_poses,
            )
        )
        return found, v_poses

    def _shade_backward(
        self,
        splats: SplatsInView,
        harmonics: Harmonics,
        shaded: tuple[Tensor, Tensor, Tensor],
        *,
        poses: bool,
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
        """Gradients of means [N, 3], camera centres [P, C, 3] and harmonics, from which splats are
        visible, their colours, and the gradient of these."""
        visible, colors, v_colors = shaded
        means, cameras, rest = splats.shape.means, len(splats.cameras), harmonics.rest
        parts = self.backend.pose_parts(means.shape[0]) if poses else 0
        v_means, v_positions, v_sh0, v_rest = self._memory.keep(
            "harmonics gradients",
            _empty_shade_gradients,
            (means.shape[0], harmonics.sh0.shape[1], None if rest is None else rest.shape[1]),
            (parts, cameras) if poses else None,
            means.dtype,
            means.device,
        )
        self.backend.shade_backward(
            _native.ShadeBackwardArguments(
                **shading_of(splats, harmonics),
                parts=parts,
                visible=visible,
                colors=colors,
                v_colors=v_colors,
                v_means=v_means,
                v_sh0=v_sh0,
                v_sh_rest=v_rest,
                v_positions=v_positions,
            )
        )
        return v_means, v_positions, v_sh0, v_rest


def projection_of(splats: SplatsInView) -> dict[str, Any]:
    """What projection and its gradient share."""
    shape, cameras = splats.shape, splats.cameras
    return {
        "cameras": len(cameras),
        "splats": shape.means.shape[0],
        "waves": shape.waves,
        "modulation_size": _native.modulation_size(shape.waves),
        "width": cameras.size[0],
        "height": cameras.size[1],
        "raw": shape.raw,
        "options": splats.options,
        **shape.tensors(),
        "viewmats": cameras.viewmats,
        "intrinsics": cameras.intrinsics,
    }


def shading_of(splats: SplatsInView, harmonics: Harmonics) -> dict[str, Any]:
    """What shading and its gradient share."""
    return {
        "cameras": len(splats.cameras),
        "splats": splats.shape.means.shape[0],
        "sh_coeffs": harmonics.count,
        "sh0_coeffs": harmonics.sh0.shape[1],
        "degree": splats.degree,
        "means": splats.shape.means,
        "viewmats": splats.cameras.viewmats,
        "sh0": harmonics.sh0,
        "sh_rest": harmonics.rest,
        **({} if harmonics.late is None else harmonics.late.arguments()),
    }


def _empty_image(
    cameras: int,
    height: int,
    width: int,
    channels: int,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Image and transmittance."""
    shape = (cameras, height, width)
    return (
        torch.empty((*shape, channels), dtype=dtype, device=device),
        torch.empty(shape, dtype=dtype, device=device),
    )


def _empty_shaded(
    seen: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Which splats are visible, and their colours."""
    return (
        torch.empty(seen, dtype=torch.uint8, device=device),
        torch.empty((*seen, 3), dtype=dtype, device=device),
    )


def _empty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=device)


def _empty_shade_gradients(
    sizes: tuple[int, int, int | None],
    poses: tuple[int, int] | None,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
    """Gradients of the means, the parts of those of the camera centres, gradients of harmonics."""
    splats, first, rest = sizes

    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=device)

    return (
        empty(splats, 3),
        None if poses is None else empty(*poses, 3),
        empty(splats, first, 3),
        None if rest is None else empty(splats, rest, 3),
    )
