"""Decoding every photo of a capture, before training finds that one is damaged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from .capture import Capture, CaptureView
from .errors import InputError
from .photos.choosing import check_enough

MAX_THREADS = 4  # more would only take memory

Outcome = tuple[CaptureView, InputError | None]


def check_photos(
    capture: Capture, shown: Callable[[Iterable[Outcome], int], Iterable[Outcome]] | None = None
) -> Capture:
    """`capture` without the photos that cannot be decoded, which `Capture.repairs` names.

    Args:
        capture: all of its photos are decoded, one after another; they are not kept.
        shown: gets what becomes of the photos, and their number, and gives it back one by one: for
            showing progress.

    Raises:
        InputError: fewer than three photos, or less than half of the model's, are left.
    """
    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
        # Views of a panorama share one.
        photos = {view.photo.path: view for view in capture.views}
        outcomes: Iterable[Outcome] = pool.map(_outcome, photos.values())
        if shown is not None:
            outcomes = shown(outcomes, len(photos))
        reasons = {view.photo.path: str(error) for view, error in outcomes if error is not None}
    left = tuple(view for view in capture.views if view.photo.path not in reasons)
    bad = {
        view.name: reasons[view.photo.path] for view in capture.views if view.photo.path in reasons
    }
    usable = len(photos) - len(reasons)
    check_enough(capture.views[0].photo.path.parent, bad, usable, len(capture.model.images))
    said = [f"left out {name}: {reason}" for name, reason in bad.items()]
    return replace(capture, views=left, repairs=(*capture.repairs, *said))


def _outcome(view: CaptureView) -> Outcome:
    try:
        view.photo.check()
    except InputError as error:
        return view, error
    return view, None
