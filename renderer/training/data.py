"""What a fit needs to know about its photos. Anything with these members will do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from ..cameras import Camera

log = logging.getLogger(__name__)

NEAR = 0.002
"""Near plane per typical depth: 0.01 where the scene begins at about 5, as usual."""
NEAREST = 0.2
"""Near plane, at most, per depth of what is nearest to a camera: of a street, most is far away."""
REACH = 1000.0
"""How far splats may be, and how large, in typical depths: beyond it even a mountain on the horizon
is a point that did not converge."""
_SAMPLED_POINTS, _SAMPLED_CAMERAS = 5000, 500
FEWEST_VIEWS = 2
"""Training does not go on with fewer photos, unless there never were more."""
CACHE_BYTES = 2 << 30
"""Memory for decoded photos on the host, by default."""
HALF = 128
"""Least alpha of a pixel that counts, where it has to count or not."""
BACKGROUNDS = ((0.0, 0.0, 0.0), (1.0, 1.0, 0.0), (1.0, 0.0, 1.0), (0.0, 1.0, 1.0))
"""Behind transparent photos while splats are fitted, in random order: whatever two of them share,
no splat can take the place of all."""
SHARE_OF_MEMORY = 0.25
"""Part of what is free on a GPU that photos may take."""
EXTENT_MARGIN = 1.1
"""Scene scale per greatest distance of a camera from their mean, as in 3DGS."""


class TrainingView(Protocol):
    """One photograph and where it was taken from."""

    @property
    def name(self) -> str:
        """Unique within its capture."""
        ...

    @property
    def camera(self) -> Camera:
        """Float32, on the CPU; `size` is the size of the image."""
        ...

    def image(self) -> Tensor:
        """[H, W, 3] uint8 RGB; may decode a file at every call. Raises OSError or ValueError where
        that cannot be read."""
        ...

    def mask(self) -> Tensor | None:
        """[H, W] bool, True where the photograph is valid; None where all of it is."""
        ...

    # Views may have more, which those of captures do: `alpha()` gives [H, W] uint8, how much of
    # each pixel counts, or None; `transparent` says that nothing is where it does not.


class FitInput(Protocol):
    """Photos to learn from, photos to be judged by, and points to start from."""

    @property
    def train(self) -> Sequence[TrainingView]:
        """Views that are fitted; at least one."""
        ...

    @property
    def test(self) -> Sequence[TrainingView]:
        """Views held out for evaluation; may be empty."""
        ...

    @property
    def points(self) -> Tensor:
        """[P, 3] float32 points on surfaces, P >= 0."""
        ...

    @property
    def point_colors(self) -> Tensor:
        """[P, 3] uint8 RGB."""
        ...


@dataclass(frozen=True)
class Photo:
    """What a fit sees of a view, on one device.

    Attributes:
        camera: that took it.
        image: [H, W, 3] uint8 RGB.
        mask: [H, W] bool, True where the photograph is valid; None where all of it is.
        alpha: [H, W] uint8, how opaque the photograph is; None where all of it is.
        background: what is behind it; None for what is always behind.
        name: of its view; may be empty.
    """

    camera: Camera
    image: Tensor
    mask: Tensor | None
    alpha: Tensor | None = None
    background: tuple[float, float, float] | None = None
    name: str = ""

    @property
    def rgb(self) -> Tensor:
        """[H, W, 3] float32 in [0, 1]."""
        return self.image.float() / 255

    def over(self, background: tuple[float, float, float]) -> Photo:
        """The photo before a background."""
        if self.alpha is None:
            return self
        opaque = self.alpha[..., None].float() / 255
        behind = 255 * opaque.new_tensor(background)
        image = (self.image * opaque + behind * (1 - opaque)).round().to(torch.uint8)
        return replace(self, image=image, alpha=None, background=background)

    def over_any(self, generator: torch.Generator) -> Photo:
        """The photo before one of BACKGROUNDS, if it is transparent anywhere."""
        if self.alpha is None:
            return self
        chosen = torch.randint(len(BACKGROUNDS), (), generator=generator, device=generator.device)
        return self.over(BACKGROUNDS[int(chosen)])

    def counting(self) -> Tensor | None:
        """[H, W] bool, True where it is valid and more opaque than not; None where all of it is."""
        if self.alpha is None:
            return self.mask
        return where_counts(self.alpha, self.mask)


def load_photo(view: TrainingView, device: torch.device) -> Photo:
    """A view's photo, on `device`."""
    mask = view.mask()
    if mask is not None and not mask.any():
        raise ValueError("nothing of it counts: all is masked out")
    mask = None if mask is None else mask.to(device)
    alpha = alpha_of(view) if getattr(view, "transparent", False) else None
    alpha = None if alpha is None else alpha.to(device)
    return Photo(view.camera.to(device), view.image().to(device), mask, alpha, name=view.name)


def where_counts(alpha: Tensor, mask: Tensor | None = None) -> Tensor:
    """[H, W] bool, where a photo is more opaque than not by `alpha` [H, W], and valid."""
    opaque = alpha >= HALF
    return opaque if mask is None else opaque & mask


def alpha_of(view: TrainingView) -> Tensor | None:
    """[H, W] uint8, how much of each pixel counts by a mask of the view's own; None without one."""
    alpha = getattr(view, "alpha", None)
    return None if alpha is None else alpha()


class TooFewPhotos(ValueError):
    """Most photos to train on cannot be read any more. One line, as people are told."""


class LeftOut:
    """Views whose photos cannot be read, and the reasons. Each is told once, by a warning."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def photo(self, view: TrainingView, load: Callable[[TrainingView], Photo]) -> Photo | None:
        """What `load` gives of a view, or None if it cannot, now or earlier: steps do not wait for
        a drive that is gone."""
        if view.name in self.reasons:
            return None
        try:
            return load(view)
        except (OSError, ValueError) as error:
            self.reasons[view.name] = " ".join(str(error).split())
            log.warning("note: left out %s: %s", view.name, self.reasons[view.name])
            return None

    def check_enough(self, views: Sequence[TrainingView]) -> None:
        """Checks that there is something to learn from.

        Raises:
            TooFewPhotos: of some `views` to train on fewer than two, or less than half, are left.
        """
        lost = [view.name for view in views if view.name in self.reasons]
        left = len(views) - len(lost)
        if left < min(FEWEST_VIEWS, len(views)) or 2 * left < len(views):
            raise TooFewPhotos(
                f"{len(lost)} of {len(views)} photos to train on cannot be read any more, first "
                f"{lost[0]}: {self.reasons[lost[0]]}; put them right and resume"
            )


class PhotosOnDevice:
    """Photos on a device, which come back step after step: one takes longer to get to a GPU than a
    step with it. The first `budget` bytes of photos stay there; for the CPU they are not copied.
    `load` is what gives one.
    """

    def __init__(
        self,
        device: torch.device,
        budget: int | None = None,
        load: Callable[[TrainingView, torch.device], Photo] | None = None,
    ) -> None:
        self._device, self._load = device, load or load_photo
        if budget is None and device.type == "cuda":
            budget = int(SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0])
        self.budget = self._left = budget or 0
        self._kept: dict[str, Photo] = {}

    def get(self, view: TrainingView) -> Photo:
        """The photo of a view. Not to be written to."""
        if view.name in self._kept:
            return self._kept[view.name]
        photo = self._load(view, self._device)
        parts = (photo.image, photo.mask, photo.alpha)
        size = sum(part.nbytes for part in parts if part is not None)
        if size <= self._left:
            self._left -= size
            self._kept[view.name] = photo
        return photo


class Photos(Protocol):
    """What gives photos."""

    def get(self, view: TrainingView) -> Photo:
        """The photo of a view. Not to be written to."""
        ...


class Turns:
    """The views of a fit, each once in random order, then again.

    Args:
        views: of the fit.
        photos: makes what gives the photo of a view, as `PhotosOnDevice.get` does.
        generator: on the CPU; of the order, and of backgrounds.

    Attributes:
        views: as above.
        left_out: those whose photos cannot be read: their turns go to others.
        order: places of the views that are still to come in this round, the next one last.
    """

    def __init__(
        self,
        views: Sequence[TrainingView],
        photos: Callable[[], Photos],
        generator: torch.Generator,
    ) -> None:
        self.views = views
        self.left_out = LeftOut()
        self.order: list[int] = []
        self._make, self._generator = photos, generator
        self._photos: Photos | None = None

    def forget(self) -> None:
        """Let go of the photos on the device; those that come then stay, as far as there is memory
        when the first one does."""
        self._photos = None

    def go_on(self, due: Sequence[str]) -> None:
        """Let those of the views come that are still there, by name, the next one last."""
        places = {view.name: place for place, view in enumerate(self.views)}
        self.order = [places[name] for name in due if name in places]

    def shuffled(self) -> list[int]:
        """Places of all views in random order."""
        drawn = self._generator
        return torch.randperm(len(self.views), generator=drawn, device=drawn.device).tolist()

    def some(self, count: int) -> list[TrainingView]:
        """So many of the views, at random; all if there are no more."""
        return [self.views[place] for place in self.shuffled()[:count]]

    def next(self) -> Photo:
        """The photo of the next view whose photo can be read. Raises TooFewPhotos."""
        self._photos = self._photos or self._make()
        while True:
            self.order = self.order or self.shuffled()
            photo = self.left_out.photo(self.views[self.order.pop()], self._photos.get)
            if photo is not None:
                return photo.over_any(self._generator)
            self.left_out.check_enough(self.views)


def scene_scale(cameras: Sequence[Camera], points: Tensor) -> float:
    """Length that makes learning rates free of the capture's unit: the extent of the cameras.

    With all cameras in one place it is the median distance from there to the `points` [P, 3],
    and 1 without any points.
    """
    centres = camera_centres(cameras)
    extent = float((centres - centres.mean(0)).norm(dim=-1).max())
    distances = (points - centres.mean(0)).norm(dim=-1)
    typical = float(distances.median()) if len(points) else 0.0
    if extent > 1e-3 * typical:
        return EXTENT_MARGIN * extent
    return typical if typical > 0 else 1.0


@dataclass(frozen=True)
class Lengths:
    """Lengths that follow from a capture, in its unit.

    Attributes:
        scale: see `scene_scale`.
        near_plane: depth below which splats are culled.
        middle: [3] mean of the cameras.
        reach: distance from there beyond which nothing of the scene lies.
    """

    scale: float
    near_plane: float
    middle: Tensor
    reach: float

    @classmethod
    def of(cls, cameras: Sequence[Camera], points: Tensor) -> Lengths:
        """By the cameras and some `points` [P, 3] of what they see."""
        scale, middle = scene_scale(cameras, points), camera_centres(cameras).mean(0)
        seen = _depths_seen(cameras, points)
        if not seen:
            return cls(scale, NEAR * scale, middle, REACH * scale)
        typical = sorted(float(depths.median()) for depths in seen)[len(seen) // 2]
        nearest = min(float(depths.quantile(0.02)) for depths in seen)
        near_plane = min(NEAR * typical, NEAREST * nearest)
        return cls(scale, near_plane, middle, REACH * max(typical, scale))


def _depths_seen(cameras: Sequence[Camera], points: Tensor) -> list[Tensor]:
    """Depths of the points in the picture of each camera that has any, of some of both."""
    points = points[:: -(-len(points) // _SAMPLED_POINTS) or 1]
    seen: list[Tensor] = []
    for camera in cameras[:: -(-len(cameras) // _SAMPLED_CAMERAS)]:
        depths = _depths_in(camera, points)
        if len(depths):
            seen.append(depths)
    return seen


def _depths_in(camera: Camera, points: Tensor) -> Tensor:
    """[S] depths of those of the points that are in a camera's picture."""
    _, _, inside = camera.pixels_of(points)
    pose = camera.world_to_camera.to(points)
    return points[inside] @ pose[2, :3] + pose[2, 3]


def depth_seen(camera: Camera, points: Tensor) -> float | None:
    """The median depth of what a camera sees of some `points` [P, 3]; None for nothing."""
    depths = _depths_in(camera, points[:: -(-len(points) // _SAMPLED_POINTS) or 1])
    return float(depths.median()) if len(depths) else None


def camera_centres(cameras: Sequence[Camera]) -> Tensor:
    """[C, 3] positions of the cameras in the world."""
    return torch.stack([camera.position for camera in cameras])
