"""Whether a capture agrees with itself: poses, lenses, points and photos, as far as numbers tell.

Files may be whole and still say what cannot be: poses inverted, photos turned after COLMAP had seen
them, a calibration gone wrong. Such a capture trains to something black or tiny. Thresholds lie
halfway between captures that are right and ones that are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import torch
from torch import Tensor

from ..renderer.training.data import Lengths, where_counts
from .capture import Capture, CaptureView
from .colmap.visibility import seen_share
from .errors import InputError, printable
from .photos.images import fit_within

_SAMPLED_VIEWS = 8
_SAMPLED_POINTS = 20_000
_LENS_SIDE = 64  # px, of the pictures by which lenses are judged
_SEEN = 0.5
"""Least share of points that some camera sees."""
_LEFT = 0.4
"""Least share of a photo's pixels that its undistorted picture shows."""
_DARK = 24
"""What is not brighter than this, but for a hundredth of its pixels, is nearly black."""
_DISAGREEING = 0.88
"""How far points' colours are from photos, in what they would be from those of other points.
Captures that are right have 0.4 to 0.75; 1 is chance."""
_BETTER = 0.75
"""The same for a photo turned about, over that of the photo as it is: it is turned."""
_FEWEST_PAIRS = 200
_FEWEST_COLOURS = 8.0  # standard deviation below which points have no colours to speak of

_TURNS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "by 180 degrees": lambda image: image.flip(0, 1),
    "left to right": lambda image: image.flip(1),
    "upside down": lambda image: image.flip(0),
}


def doubts(capture: Capture) -> list[str]:
    """What speaks against a capture, a line each, with what to do. Decodes a few photos, which are
    kept for training; those that cannot be decoded do not count."""
    images: list[tuple[CaptureView, Tensor]] = []
    for view in capture.views[:: -(-len(capture.views) // _SAMPLED_VIEWS)]:
        with suppress(InputError):
            images.append((view, view.image()))
    return [*_by_geometry(capture), *_by_lenses(capture), *_by_photos(capture, images)]


def _by_geometry(capture: Capture) -> list[str]:
    points = capture.points[:: -(-len(capture.points) // _SAMPLED_POINTS) or 1]
    if not len(points):
        return []
    cameras = [view.camera for view in capture.views]
    lengths = Lengths.of(cameras, points)
    away = (points - lengths.middle).norm(dim=1) > lengths.reach
    lines: list[str] = []
    if away.any():
        lines.append(
            f"{_share(away.float().mean())} of the points lie more than {lengths.reach:.3g} from "
            "the cameras, where nothing of the scene can be; training leaves them out"
        )
    share = seen_share(capture.model.cameras, capture.model.images, capture.model.points.xyz)
    if share < _SEEN:
        lines.append(
            f"only {_share(share)} of the points are seen by any camera: poses may be written the "
            "wrong way round (COLMAP has world to camera), or cameras and points be in two frames; "
            "export both anew, in one step"
        )
    return lines


def _by_lenses(capture: Capture) -> list[str]:
    lines: list[str] = []
    for photo in {view.photo.lens: view.photo for view in capture.views}.values():
        small = photo.lens.resized(fit_within(photo.lens.size, _LENS_SIDE))
        valid = replace(photo, lens=small).valid()
        share = 1.0 if valid is None else float(valid.float().mean())
        if share < _LEFT:
            values = ", ".join(f"{value:.4g}" for value in photo.lens.coefficients)
            lines.append(
                f"only {_share(share)} of the pixels of {printable(photo.path.name)} and others "
                f"are left without their {photo.lens.model} distortion ({values}): its calibration "
                "has failed; calibrate again, or remove its photos from the model"
            )
    return lines


def _by_photos(capture: Capture, images: Sequence[tuple[CaptureView, Tensor]]) -> list[str]:
    lines: list[str] = []
    bright: list[float] = []
    for view, image in images:
        counting = _counting(view, image)
        if counting.any():
            levels = image[counting].float().flatten()
            bright.append(float(levels[:: -(-len(levels) // _SAMPLED_POINTS)].quantile(0.99)))
    typical = sorted(bright)[len(bright) // 2] if bright else 255.0
    if typical < _DARK:
        lines.append(
            f"photos are nearly black (their brightest pixels have {typical:g} of 255): develop "
            "them brighter, or export them with another range"
        )
    colors = capture.point_colors.float()
    if not len(colors) or float(colors.std(0, correction=0).mean()) < _FEWEST_COLOURS:
        return lines
    usual = _disagreement(capture, images, lambda image: image)
    if usual is None:
        return lines
    others = {name: _disagreement(capture, images, turn) for name, turn in _TURNS.items()}
    best = min((value, name) for name, value in others.items() if value is not None)
    if best[0] < _BETTER * usual:
        lines.append(
            f"the points have the colours of photos turned {best[1]}: turn the photos back to what "
            "the model was made from"
        )
    elif usual > _DISAGREEING:
        lines.append(
            "the colours of the points have nothing to do with the photos where cameras see them: "
            "poses may be written the wrong way round (COLMAP has world to camera), or photos and "
            "model be of different scenes or calibrations"
        )
    return lines


def _disagreement(
    capture: Capture,
    images: Sequence[tuple[CaptureView, Tensor]],
    turn: Callable[[Tensor], Tensor],
) -> float | None:
    """Median difference of points' colours from photos, over what it is by chance; None of too few
    points."""
    every = -(-len(capture.points) // _SAMPLED_POINTS) or 1
    points, colors = capture.points[::every], capture.point_colors[::every].float()
    generator = torch.Generator().manual_seed(0)
    found: list[Tensor] = []
    chance: list[Tensor] = []
    for view, image in images:
        row, column, inside = view.camera.pixels_of(points)
        inside &= _counting(view, image)[row, column]
        shown = torch.nonzero(inside).squeeze(-1)
        pixels = turn(image)[row[shown], column[shown]].float()
        order = torch.randperm(len(shown), generator=generator, device=generator.device)
        found.append((pixels - colors[shown]).abs().sum(1))
        chance.append((pixels - colors[shown][order]).abs().sum(1))
    pairs = sum(map(len, found))
    if pairs < _FEWEST_PAIRS:
        return None
    return float(torch.cat(found).median() / torch.cat(chance).median().clamp_min(1.0))


def _counting(view: CaptureView, image: Tensor) -> Tensor:
    """[H, W] bool, where a photo counts by its mask."""
    alpha = view.alpha()
    return (
        image.new_ones(image.shape[:2], dtype=torch.bool) if alpha is None else where_counts(alpha)
    )


def _share(value: float | Tensor) -> str:
    percent = 100 * float(value)
    return f"{percent:.0f} %" if percent >= 1 or not percent else f"{percent:.2g} %"
