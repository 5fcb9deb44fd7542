"""Whether a capture is the one that a run was trained on, wherever it lies now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .scenes import Capture, InputError


def identity(capture: Capture) -> dict[str, Any]:
    """What config.json keeps of a capture to know it again: its model and its photos' content."""
    return {
        "capture": capture.digest(),
        "model": capture.model_digest(),
        "photos": capture.photo_digests(),
        "masked": masked(capture),
    }


def masked(capture: Capture) -> int:
    """How many of its photos are masked."""
    return sum(view.photo.is_masked for view in capture.views)


def recognised(known: Mapping[str, Any], capture: Capture, what: str) -> Capture:
    """`capture`, if it is the one of which `identity` gave what is `known`.

    It is, with the same model and the same content of at least half of the photos. Others may have
    been damaged or repaired since, come or gone; a line in `Capture.repairs` says which have other
    content.

    Raises:
        InputError: it is another one; `what` says what was expected, for people.
    """
    photos = known.get("photos")
    if not isinstance(photos, Mapping):  # of a run by an older version
        if known["capture"] != capture.digest():
            raise InputError(f"{what}: it is another one, or has changed")
        return capture
    if known.get("model") != capture.model_digest():
        raise InputError(f"{what}: its model is another one, or has changed")
    here = capture.photo_digests()
    same = [name for name in photos if here.get(name) == photos[name]]
    if 2 * len(same) < len(photos):
        raise InputError(f"{what}: only {len(same)} of its {len(photos)} photos are the same")
    changed = [name for name in photos if name in here and name not in same]
    said = [f"{name}: has other content than when training began" for name in changed]
    were, are = known.get("masked"), masked(capture)
    if were is not None and were != are:
        said.append(f"{are} photos have masks now, and {were} had when training began")
    return replace(capture, repairs=(*capture.repairs, *said))
