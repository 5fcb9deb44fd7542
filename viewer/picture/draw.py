"""Drawing a picture of a scene: selection of splats, view modes, side-by-side comparison."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from viser import transforms

from ...renderer.backends.memory import Workspace
from ...renderer.cameras import Camera
from ...renderer.frame import Frame
from ...renderer.raster.frequency import render_frequencies
from ...renderer.raster.render import render, render_bytes
from ...renderer.settings import RenderSettings
from ...renderer.splats import Splats
from ..settings import CropBox, Mode, ViewSettings
from .paint import Picture, normals_of, occlusion_depth, paint
from .photos import NearestPhoto
from .projection import Part, WideLens, memory_of_parts, parts_of, wide_frames

RenderFunction = Callable[[Splats, Camera, RenderSettings], Frame]

DIVIDER: tuple[int, int, int] = (230, 230, 230)
"""Colour of the line between the two parts of a picture, RGB in [0, 255]."""

DOT_VARIANCE = 0.5
"""Variance of the dot that stands for a splat in the mode `centres` [px^2]."""

FAINT = 1 / 255
"""Opacity up to which a splat gets no dot."""

OVERSAMPLING = 2
"""How many times finer than a picture that is no pinhole's its parts are drawn."""

BYTES, FLOATS = 12, 96
"""Memory that a picture takes with the file that it becomes, per pixel [bytes]: one that is
rendered as bytes, and one that is painted from a frame. On the CPU 7 and up to 80 were measured."""

_DEFAULTS = RenderSettings()


@dataclass(frozen=True)
class Renderers:
    """Render functions of the view modes.

    Attributes:
        picture: render function of all modes but `frequency`.
        frequencies: render function of the mode `frequency`, which shows the waves.
    """

    picture: RenderFunction = render
    frequencies: RenderFunction = render_frequencies

    def of(self, mode: Mode) -> RenderFunction:
        """The render function of a mode."""
        return self.frequencies if mode == "frequency" else self.picture


@dataclass(frozen=True)
class Scene:
    """A scene to draw.

    Attributes:
        splats: the splats.
        settings: render settings that the splats were trained with.
    """

    splats: Splats
    settings: RenderSettings = _DEFAULTS


@dataclass(frozen=True)
class Drawn:
    """A picture, with the depth that occludes the page's own objects.

    Attributes:
        picture: [H, W, 3] uint8 RGB.
        depth: [H, W] float32 of `occlusion_depth`; None if it was not asked for.
    """

    picture: Picture
    depth: npt.NDArray[np.float32] | None


class PictureRenderer:
    """Renderer of the pictures of one browser or file, for use on one thread.

    It keeps what all pictures of a file have in common: the selected splats, and the parts of those
    that no pinhole takes.
    """

    def __init__(
        self, renderers: Renderers, photos: NearestPhoto | None = None, *, divider: bool = True
    ) -> None:
        """`photos` are compared with; `divider`: whether a line separates a picture's two parts."""
        self._renderers = renderers
        self._photos = photos
        self._divider = divider
        # Of `draw`, and of each picture that `frames` renders of a camera.
        self._sides: defaultdict[Mode | None, _Sides] = defaultdict(_Sides)
        self._parts = Workspace()

    def bytes_per_pixel(self, settings: ViewSettings) -> int:
        """Memory that a saved picture with these settings takes per pixel [bytes]."""
        each = BYTES if settings.mode == "rgb" and self._as_bytes else FLOATS
        return 2 * each if settings.beside == "other" else each

    @property
    def _as_bytes(self) -> bool:
        """Whether colours can be rendered as bytes at once."""
        return self._renderers.picture is render

    @torch.no_grad()
    def draw(
        self,
        scene: Scene,
        camera: Camera,
        settings: ViewSettings,
        *,
        other: Scene | None = None,
        depth: bool = False,
    ) -> Drawn:
        """Draw `scene` as `camera` sees it, with the occlusion depth if `depth`.

        The right part shows what `settings.beside` names, if there is one: the `other` scene,
        always with its waves, or the nearest photo, which occludes nothing. Raises what the
        render function or loading the photo raises.
        """
        views = self._sides[None].views(scene, other, camera, settings)
        column = _column(camera, settings)
        drawn = self._drawn(views, column, settings.mode, depth)
        if settings.beside == "photo" and self._photos is not None:
            drawn = _before_photo(drawn, self._photos.show(camera), column)
        elif len(views) == 1:
            return drawn
        if self._divider and 0 < column < camera.size[0]:
            drawn.picture[:, column - 1 : column + 1] = DIVIDER
        return drawn

    @torch.no_grad()
    def frames(
        self,
        scene: Scene,
        camera: Camera,
        modes: Sequence[Mode],
        settings: ViewSettings,
        *,
        other: Scene | None = None,
        lens: WideLens | None = None,
    ) -> list[Frame]:
        """What `draw` would paint in each of `modes`, on black and without the line.

        In `normals` the colours are those of `normals_of`, with the axes of the whole picture. With
        a `lens`, all directions that it sees from the place of `camera`; depth is the distance
        then. Raises what the render function raises.
        """
        frames: dict[Mode, Frame] = {}
        column = _column(camera, settings)
        for group in _groups_of(modes):
            wanted = replace(settings, mode=group[0], background=(0, 0, 0))
            views = self._sides[group[0]].views(scene, other, camera, wanted)
            shown = [self._shown(view, group, lens) for view in views]
            frames |= {mode: _joined([each[mode] for each in shown], column) for mode in group}
        return [frames[mode] for mode in modes]

    def _drawn(self, views: list[_View], column: int, mode: Mode, depth: bool) -> Drawn:
        if mode == "rgb" and not depth and self._as_bytes:
            # Bytes at once, without a depth that is not needed.
            pictures = [render_bytes(view.splats, view.camera, view.settings) for view in views]
            return Drawn(_side_by_side(pictures, column).cpu().numpy(), None)
        rendered = self._renderers.of(mode)
        frames = [rendered(view.splats, view.camera, view.settings) for view in views]
        shown = [view.as_mode(frame, mode) for view, frame in zip(views, frames, strict=True)]
        picture = paint(_joined(shown, column), mode)
        return Drawn(picture, occlusion_depth(_joined(frames, column)) if depth else None)

    def _shown(
        self, view: _View, modes: Sequence[Mode], lens: WideLens | None
    ) -> dict[Mode, Frame]:
        """What a pinhole or `lens` sees, in each of `modes`, which are of one group."""
        rendered = self._renderers.of(modes[0])
        if lens is None:
            frame = rendered(view.splats, view.camera, view.settings)
            return {mode: view.as_mode(frame, mode) for mode in modes}
        oversampling = _oversampling(modes)
        eps2d = view.settings.eps2d * oversampling**2
        finer = replace(view, settings=replace(view.settings, eps2d=eps2d))

        def draw(part: Part) -> list[Frame]:
            narrow = replace(finer, camera=part.camera(view.camera))
            frame = rendered(narrow.splats, narrow.camera, narrow.settings)
            if "normals" not in modes:
                return [frame]
            return [frame, _turned(narrow.as_mode(frame, "normals"), part.turn.T)]

        size, device = view.camera.size, view.splats.means.device
        name = f"{oversampling} times finer"
        parts = self._parts.keep(name, parts_of, lens, size, oversampling, device)
        frame, *normals = wide_frames(parts, size, draw)
        return {mode: _mean_normals(normals[0]) if mode == "normals" else frame for mode in modes}


def memory_of_wide(size: tuple[int, int], modes: Sequence[Mode]) -> int:
    """Bytes that pictures of `size` (width, height) by a lens take, in all `modes` at once, besides
    what rendering takes."""
    kept = {_oversampling(group) for group in _groups_of(modes)}
    painted = FLOATS * size[0] * size[1] * len(modes)
    return painted + sum(memory_of_parts(size, each) for each in kept)


def _oversampling(modes: Sequence[Mode]) -> int:
    """How many times finer than a picture its parts are, in modes of one group."""
    # Frequencies are shown by pixels, which are not to be other ones.
    return 1 if modes[0] == "frequency" else OVERSAMPLING


def _groups_of(modes: Sequence[Mode]) -> list[list[Mode]]:
    """`modes` that are painted from one rendered picture, together."""
    alone: tuple[Mode, ...] = ("centres", "frequency")
    together: list[Mode] = [mode for mode in modes if mode not in alone]
    groups: list[list[Mode]] = [together] if together else []
    for mode in modes:
        if mode in alone:
            groups.append([mode])
    return groups


def _column(camera: Camera, settings: ViewSettings) -> int:
    """Where the right part of a picture begins [px]."""
    width = camera.size[0]
    return min(max(round(settings.split * width), 0), width)


def _joined(frames: Sequence[Frame], column: int) -> Frame:
    """Joined before painting, so that false colours mean the same on both sides."""
    return Frame(
        color=_side_by_side([each.color for each in frames], column),
        alpha=_side_by_side([each.alpha for each in frames], column),
        depth=_side_by_side([each.depth for each in frames], column),
    )


def _turned(normals: Frame, turn: Tensor) -> Frame:
    """`normals` in other axes, to which `turn` [3, 3] leads from those of their camera, multiplied
    by alpha so that they can be averaged."""
    flip = turn.new_tensor([1.0, -1.0, -1.0])  # normals have y up and z backwards
    axes = (flip[:, None] * turn * flip).to(normals.color)
    return replace(normals, color=normals.alpha[..., None] * normals.color @ axes.T)


def _mean_normals(weighted: Frame) -> Frame:
    """The averages of what `_turned` gives, no longer multiplied by alpha."""
    alpha = weighted.alpha[..., None]
    return replace(weighted, color=torch.where(alpha > 0, weighted.color / alpha, 0))


@dataclass(frozen=True)
class _View:
    """Arguments of a render function."""

    splats: Splats
    camera: Camera
    settings: RenderSettings

    @classmethod
    def of(cls, scene: Scene, selection: _Selection, camera: Camera, wanted: ViewSettings) -> _View:
        """Arguments for the part of `scene` that `wanted` selects."""
        means = scene.splats.means
        return cls(
            selection.of(scene.splats, wanted),
            camera.to(means.dtype).to(means.device),
            _render_settings(scene.settings, wanted),
        )

    def as_mode(self, frame: Frame, mode: Mode) -> Frame:
        """What `mode` shows of the rendered `frame`."""
        return normals_of(frame, self.camera.intrinsics) if mode == "normals" else frame


class _Sides:
    """Selections of what is drawn, and of what stands beside it."""

    def __init__(self) -> None:
        self._left, self._right = _Selection(), _Selection()

    def views(
        self, scene: Scene, other: Scene | None, camera: Camera, settings: ViewSettings
    ) -> list[_View]:
        """What is drawn, and what of `other` beside it, if it is wanted."""
        views = [_View.of(scene, self._left, camera, settings)]
        if settings.beside == "other" and other is not None:
            as_other = replace(settings, waves=True)
            views.append(_View.of(other, self._right, camera, as_other))
        return views


class _Selection:
    """Selection of a scene's splats, cached: a camera moves more often than a scene or a box."""

    def __init__(self) -> None:
        self._last: tuple[Splats, object, Splats] | None = None

    def of(self, splats: Splats, wanted: ViewSettings) -> Splats:
        """The part of `splats` that `wanted` selects."""
        choice = (wanted.crop, wanted.waves, wanted.mode == "centres")
        if choice == (None, True, False):
            self._last = None  # so that a replaced scene is freed
            return splats
        # The cache holds the whole splats, so that no others can take their identity.
        if self._last is None or self._last[0] is not splats or self._last[1] != choice:
            self._last = (splats, choice, _selected(splats, wanted))
        return self._last[2]


def _selected(splats: Splats, wanted: ViewSettings) -> Splats:
    if wanted.crop is not None:
        inside = _inside(splats.means, wanted.crop)
        splats = splats.select(inside.nonzero()[:, 0])
    if not wanted.waves or wanted.mode == "centres":
        splats = splats.without_waves()
    if wanted.mode == "centres":
        # So small that only the screen-space dilation can be seen of them.
        solid = (splats.opacities > FAINT).to(splats.opacities)
        splats = replace(splats, scales=1e-6 * splats.scales, opacities=solid)
    return splats


def _inside(points: Tensor, box: CropBox) -> Tensor:
    """[N] whether each of `points` [N, 3] is in `box`."""
    to_world = transforms.SO3(np.array(box.wxyz)).normalize().as_matrix()
    axes = points.new_tensor(to_world.tolist())
    offsets = (points - points.new_tensor(box.centre)) @ axes
    return (offsets.abs() <= 0.5 * points.new_tensor(box.size)).all(dim=1)


def _render_settings(trained: RenderSettings, wanted: ViewSettings) -> RenderSettings:
    """The settings of the training, changed as `wanted`."""
    red, green, blue = wanted.background
    degrees = [wanted.sh_degree, trained.sh_degree]
    settings = replace(
        trained,
        background=(red / 255, green / 255, blue / 255),
        sh_degree=min(degree for degree in degrees if degree is not None),
        near_plane=max(trained.near_plane, wanted.near),
    )
    if wanted.mode == "centres":
        # Compensation would fade what is smaller than a pixel.
        settings = replace(settings, sh_degree=0, eps2d=DOT_VARIANCE, antialiased=False)
    return settings


def _side_by_side(images: list[Tensor], column: int) -> Tensor:
    """[H, W, ...] the first of one or two images, from `column` on the last of them."""
    if len(images) == 1:
        return images[0]
    return torch.cat([images[0][:, :column], images[1][:, column:]], dim=1)


def _before_photo(drawn: Drawn, photo: Picture, column: int) -> Drawn:
    """`drawn` with `photo` [H, W, 3] from `column` on, which occludes nothing."""
    picture = np.concatenate([drawn.picture[:, :column], photo[:, column:]], axis=1)
    if drawn.depth is None:
        return Drawn(picture, None)
    depth = drawn.depth.copy()
    depth[:, column:] = np.inf
    return Drawn(picture, depth)
