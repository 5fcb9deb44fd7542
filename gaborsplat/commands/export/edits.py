"""What `export` changes in a scene before it is written, and what each change costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import Tensor

from ...console import console
from ...inputs.loading import LoadedScene
from ...progress import fitting
from ...renderer.editing.choosing import in_box, outliers, pruned
from ...renderer.editing.decimating import decimated
from ...renderer.editing.merging import with_sh_degree
from ...renderer.editing.moving import Similarity, moved, rotation_about, rotation_between
from ...renderer.splats import Splats
from ...renderer.training import refitted
from ...scenes import Axis, InputError, axis_vector
from ...viewer.camera import up_direction
from .views import Views, agreement, told_psnr

UP_IN_VIEWERS: Axis = "-y"
"""What viewers of PLY take to be up where nothing is said: y points down in captures."""
FAR_FROM_ZERO = 100.0
"""Extents of a scene from zero within which it is moved; beyond, its origin is, as for captures."""

Numbers3 = tuple[float, float, float]
Numbers4 = tuple[float, float, float, float]
Numbers6 = tuple[float, float, float, float, float, float]
Matrix4 = tuple[Numbers4, Numbers4, Numbers4, Numbers4]
# Lengths are part of the types: so many words are numbers, and PATH may follow.
EVERYWHERE: Numbers6 = (-math.inf, -math.inf, -math.inf, math.inf, math.inf, math.inf)
STILL: Matrix4 = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))


@dataclass(frozen=True)
class Edits:
    """Changes of a scene, made in this order. Places and directions are those of a .ply."""

    drop_outliers: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Leave out stray splats, far from all others and nothing that one would miss."""
    crop: Annotated[Numbers6, tyro.conf.arg(metavar="X0 Y0 Z0 X1 Y1 Z1")] = EVERYWHERE
    """Keep the splats whose centres are in this box."""
    min_opacity: float = 0.0
    """Keep splats that are at least so opaque, 0 to 1."""
    max_scale: float = math.inf
    """Keep splats whose standard deviations are at most so large, in the scene's unit."""
    sh_degree: Literal[0, 1, 2, 3] | None = None
    """Drop view-dependent colour above this degree."""
    decimate: int | None = None
    """Keep so many splats: those that add most to the pictures of the run, or from around."""
    refit: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Fit what --sh-degree and --decimate left to pictures of what there was, which takes a minute
    or so."""
    align_up: Axis | Literal["auto"] | None = None
    """Turn the scene so that this direction, which is up in it, is up where viewers have it; auto
    is what --up, the file or the cameras say."""
    rotate: Annotated[Numbers3, tyro.conf.arg(metavar="X Y Z")] = (0.0, 0.0, 0.0)
    """Then turn it by these degrees about the x axis, then about y, then about z."""
    scale: float = 1.0
    """Then make it so many times as large."""
    transform: Annotated[Matrix4, tyro.conf.arg(metavar="M00 M01 .. M33")] = STILL
    """Then do what this 4x4 matrix, 16 numbers by rows, does to points: turn, mirror, scale
    evenly, move."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_opacity <= 1:
            raise ValueError(f"--min-opacity must be between 0 and 1, not {self.min_opacity:g}")
        if not self.max_scale > 0:
            raise ValueError(f"--max-scale must be above 0, not {self.max_scale:g}")
        if not 0 < self.scale < math.inf:
            raise ValueError(f"--scale must be above 0 and finite, not {self.scale:g}")
        if self.decimate is not None and self.decimate < 1:
            raise ValueError(f"--decimate must be at least 1, not {self.decimate}")
        if self.refit and self.decimate is None and self.sh_degree is None:
            raise ValueError("--refit fits what --decimate or --sh-degree left; give one of them")
        if self.crop != EVERYWHERE:
            _named("--crop", lambda: in_box(_double([[0.0, 0.0, 0.0]]), *self._corners))
        if not all(map(math.isfinite, self.rotate)):
            raise ValueError("--rotate: degrees must be finite numbers")
        _named("--transform", lambda: Similarity.of(self.transform))

    @property
    def any(self) -> bool:
        """Whether there is something to change."""
        return any(getattr(self, each.name) != each.default for each in fields(self))

    @property
    def _corners(self) -> tuple[Numbers3, Numbers3]:
        return self.crop[:3], self.crop[3:]

    @property
    def _motion(self) -> Similarity:
        """--rotate, --scale and --transform."""
        matrix = _still()
        for axis, degrees in enumerate(self.rotate):
            matrix[:3, :3] = rotation_about(axis, degrees) @ matrix[:3, :3]
        matrix[:3, :3] *= self.scale
        return Similarity.of(_double(self.transform) @ matrix)

    def of(self, scene: LoadedScene, views: Views) -> tuple[LoadedScene, Views]:
        """The scene with all changes, and the views of it; prints what each costs.

        Raises:
            InputError: no splat is left, or nothing says what is up.
        """
        if not len(scene.splats):
            raise InputError("there are no splats that could be changed")
        chosen = self._chosen(scene, views)
        fewer = self._fewer(chosen, views)
        return self._moved(fewer, views)

    def _chosen(self, scene: LoadedScene, views: Views) -> LoadedScene:
        """Without the splats that are not wanted."""
        if self.drop_outliers:
            strays = outliers(scene.splats)
            option = f"--drop-outliers{farthest(scene.splats, strays)}"
            scene = _told(option, scene, scene.splats.select(~strays), views)
        if self.crop != EVERYWHERE:
            origin = scene.splats.means.new_tensor(scene.metadata.origin, dtype=torch.float64)
            inside = in_box(scene.splats.means.double() + origin, *self._corners)
            scene = _told("--crop", scene, scene.splats.select(inside), views)
        if self.min_opacity > 0:
            kept = pruned(scene.splats, min_opacity=self.min_opacity)
            scene = _told(f"--min-opacity {self.min_opacity:g}", scene, kept, views)
        if self.max_scale < math.inf:
            kept = pruned(scene.splats, max_scale=self.max_scale)
            scene = _told(f"--max-scale {self.max_scale:g}", scene, kept, views)
        return scene

    def _fewer(self, chosen: LoadedScene, views: Views) -> LoadedScene:
        """With less for the same pictures."""
        scene = chosen
        if self.sh_degree is not None:
            lower = with_sh_degree(scene.splats, min(self.sh_degree, scene.splats.sh_degree))
            option = f"--sh-degree {self.sh_degree}, {scene.splats.sh_degree} before"
            scene = _told(option, scene, lower, views)
        if self.decimate is not None:
            few = decimated(scene.splats, views.fitted, self.decimate, scene.settings)
            scene = _told(f"--decimate {self.decimate}", scene, few, views)
        if self.refit:
            with fitting("fit splats") as progress:
                fitted = refitted(
                    scene.splats, chosen.splats, views.fitted, scene.settings, progress=progress
                )
            scene = _told("--refit, all since then", chosen, fitted, views)
        return scene

    def _moved(self, scene: LoadedScene, views: Views) -> tuple[LoadedScene, Views]:
        """Elsewhere."""
        similarity, up = self._motion, scene.metadata.up
        up = up and _axis_after(up, similarity)
        if self.align_up is not None:
            up = _axis_after(UP_IN_VIEWERS, similarity)
            similarity = Similarity.of(similarity.matrix @ self._upright(scene, views))
        if torch.equal(similarity.matrix, _still()):
            return replace(scene, metadata=replace(scene.metadata, up=up)), views
        after, of_splats = moved_scene(scene, similarity)
        after = replace(after, metadata=replace(after.metadata, up=up))
        seen_from = views.moved(of_splats)
        before = views.pictures(scene.splats, scene.settings)
        pictures = seen_from.pictures(after.splats, after.settings)
        if similarity.sign < 0:
            pictures = [picture.flip(1) for picture in pictures]
        cost = told_psnr(agreement(pictures, before))
        console.print(f"moved: {len(after.splats):,} splats; {cost} on {views.told}, moved too")
        return after, seen_from

    def _upright(self, scene: LoadedScene, views: Views) -> Tensor:
        """[4, 4] turns what is up to where viewers have it."""
        axis = scene.metadata.up if self.align_up == "auto" else self.align_up
        if axis is not None:
            up = _double(axis_vector(axis))
        elif views.of_run:
            up = torch.from_numpy(up_direction(views.fitted))
        else:
            raise InputError(
                "--align-up auto: nothing says what is up; name an axis, such as --align-up z"
            )
        matrix = _still()
        to = _double(axis_vector(UP_IN_VIEWERS))
        matrix[:3, :3] = rotation_between(up, to)
        return matrix


def moved_scene(scene: LoadedScene, similarity: Similarity) -> tuple[LoadedScene, Similarity]:
    """The same scene elsewhere: splats, origin, and the planes of its settings; and what moves the
    splats themselves, which are relative to the origin before and after."""
    s = similarity
    origin = s.linear @ s.translation.new_tensor(scene.metadata.origin) + s.translation
    means = scene.splats.means.double()
    extent = s.scale * float((means - means.median(0).values).norm(dim=1).median())
    near = float(origin.norm()) <= FAR_FROM_ZERO * extent
    here, there = (origin, torch.zeros_like(origin)) if near else (torch.zeros_like(origin), origin)
    of_splats = replace(s, translation=here)
    x, y, z = there.tolist()
    after = replace(
        scene,
        splats=moved(scene.splats, of_splats),
        settings=scene.settings.scaled(s.scale),
        metadata=replace(scene.metadata, origin=(x, y, z)),
    )
    return after, of_splats


def farthest(splats: Splats, strays: Tensor) -> str:
    """How far strays are, in the unit of how far the others are, for people; empty without any."""
    if not strays.any() or strays.all():
        return ""
    middle = splats.means.double().median(dim=0).values
    distance = (splats.means.double() - middle).norm(dim=1)
    usual = float(distance[~strays].median()) or 1.0
    nearest, most = (float(each) / usual for each in distance[strays].aminmax())
    far = f"{nearest:.3g}" if nearest == most else f"{nearest:.3g} to {most:.3g}"
    return f", {far} times as far out as half of the others"


def _axis_after(axis: Axis, similarity: Similarity) -> Axis | None:
    """Where an axis points then; None if that is along none."""
    turned = similarity.sign * similarity.rotation @ _double(axis_vector(axis))
    axes: tuple[Axis, ...] = ("x", "y", "z", "-x", "-y", "-z")
    for each in axes:
        if float(turned @ _double(axis_vector(each))) > 1 - 1e-6:
            return each
    return None


def _told(option: str, scene: LoadedScene, splats: Splats, views: Views) -> LoadedScene:
    """The scene with these splats instead; prints how many they are and what that costs."""
    if not len(splats):
        raise InputError(f"{option}: leaves none of {len(scene.splats):,} splats")
    before, after = (views.pictures(each, scene.settings) for each in (scene.splats, splats))
    cost = told_psnr(agreement(after, before))
    console.print(
        f"{option}: {len(scene.splats):,} splats before, {len(splats):,} after; "
        f"{cost} on {views.told}"
    )
    return replace(scene, splats=splats)


def _double(numbers: Any) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64, device="cpu")


def _still() -> Tensor:
    """[4, 4] that moves nothing."""
    return torch.eye(4, dtype=torch.float64, device="cpu")


def _named(option: str, check: Callable[[], object]) -> None:
    try:
        check()
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from error
