"""From what the page noted to figures: how many pictures were shown, how old and how wrong."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.viewer.marks import NUMBERS, azimuths

Array = npt.NDArray[np.float64]

PEER = "nerfview"
"""Whose figures ours are compared with."""

LARGEST_RESIDUAL = 0.5
"""Degrees between a resting page's camera and its picture's, beyond which nothing is believed."""

NAMES = {
    "shown": "pictures shown /s",
    "distinct": "distinct poses shown /s",
    "frames": "frames of the page /s",
    "age_p50": "age p50 [ms]",
    "age_p95": "age p95 [ms]",
    "error_p50": "error p50 [degrees]",
    "error_p95": "error p95 [degrees]",
    "gap_p95": "gap between pictures p95 [ms]",
    "disordered": "pictures older than the one before",
    "dropped": "drawn, never shown [%]",
    "width": "width of a picture [px]",
    "drawing": "drawing a picture [ms]",
    "server": "CPU of the server [% of a core]",
    "others": "machine busy before [% of all cores]",
}
"""Of the figures, in the order of the table."""

COMPARED = set(NAMES) - {"disordered", "dropped", "width", "drawing", "others"}
"""Figures whose ratio to the peer's says something."""


@dataclass(frozen=True)
class Moment:
    """One end of the measured time."""

    page: float  # of the page's clock [ms]
    frames: int  # that the page has drawn
    usage: dict[str, Any]  # of the server


class Record:
    """What a page noted, as arrays. Angles are in degrees, times in milliseconds."""

    def __init__(self, taken: dict[str, Any], up: Sequence[float], since: float) -> None:
        """`since`: when the drag began; how the camera got to its first pose does not matter."""
        camera = np.array(taken["camera"], np.float64).reshape(-1, 5)
        camera = camera[max(0, np.searchsorted(camera[:, 0], since) - 1) :]
        self.camera_at: Array = camera[:, 0]
        root = taken["root"]
        self.camera_azimuth: Array = np.unwrap(_looking(camera[:, 1:], root, up), period=360)
        pictures = taken["pictures"]
        self.at: Array = np.array([each["at"] for each in pictures], np.float64)
        self.widths: Array = np.array([each["width"] for each in pictures], np.float64)
        marks = [each["mark"] or (-1, 0) for each in pictures]
        self.number: Array = np.array([number for number, _ in marks], np.float64)
        self.step: Array = np.array([step for _, step in marks], np.float64)
        quaternions = np.array([each["looking"] for each in pictures], np.float64).reshape(-1, 4)
        ahead = _turn(360 / NUMBERS * self.step - _looking(quaternions, root, up))
        self.error: Array = -ahead
        """Page's azimuth less the picture's, when it was drawn."""
        self.reading = taken["reading"] / max(1, taken["uploads"])

    def residual(self, drawn: int) -> float:
        """Degrees between the page's camera and the last of its first `drawn` pictures, when it
        rests."""
        # Without a mark are other images that the page loads, such as that of its lights.
        marked = np.flatnonzero(self.number[:drawn] >= 0)
        if len(marked) == 0:
            raise RuntimeError("no picture bears a mark")
        return abs(float(self.error[marked[-1]]))

    def ages(self, chosen: Array) -> Array:
        """Milliseconds from when the page's camera was at the azimuth of each chosen picture until
        it was drawn; negative if it was predicted, and NaN if the camera never was there."""
        sense = math.copysign(1.0, self.camera_azimuth[-1] - self.camera_azimuth[0])
        way = np.maximum.accumulate(sense * self.camera_azimuth)
        new = np.concatenate([[True], np.diff(way) > 0])
        page = np.interp(self.at[chosen], self.camera_at, self.camera_azimuth)
        picture = 360 / NUMBERS * self.step[chosen]
        wanted = sense * (page + _turn(picture - page))
        poses = np.interp(wanted, way[new], self.camera_at[new], left=np.nan, right=np.nan)
        return self.at[chosen] - poses


def figures(record: Record, begin: Moment, end: Moment) -> dict[str, float]:
    """Of the pictures drawn between two moments."""
    seconds = (end.page - begin.page) / 1000
    server = end.usage["at"] - begin.usage["at"]
    drawings = max(1, end.usage["pictures"] - begin.usage["pictures"])
    result = {
        "frames": (end.frames - begin.frames) / seconds,
        "server": 100 * (end.usage["cpu"] - begin.usage["cpu"]) / server,
        "drawing": 1000 * (end.usage["drawing"] - begin.usage["drawing"]) / drawings,
    }
    inside = (record.at >= begin.page) & (record.at < end.page)
    unreadable = int((inside & (record.number < 0)).sum())
    inside &= record.number >= 0
    numbers = record.number[inside]
    if len(numbers) < 3:
        return result | {"unreadable": unreadable}
    first = np.concatenate([[True], np.diff(numbers) != 0])  # not the same picture once more
    chosen = np.flatnonzero(inside)[first]
    numbers = numbers[first]
    ages, errors = record.ages(chosen), np.abs(record.error[chosen])
    span = numbers.max() - numbers.min() + 1
    return result | {
        "shown": len(chosen) / seconds,
        "distinct": len(np.unique(record.step[chosen])) / seconds,
        "age_p50": float(np.nanpercentile(ages, 50)),
        "age_p95": float(np.nanpercentile(ages, 95)),
        "error_p50": float(np.percentile(errors, 50)),
        "error_p95": float(np.percentile(errors, 95)),
        "gap_p95": float(np.percentile(np.diff(record.at[chosen]), 95)),
        "disordered": int((np.diff(numbers) < 0).sum()),
        "dropped": 100 * (1 - len(np.unique(numbers)) / span),
        "width": float(np.median(record.widths[chosen])),
        "unreadable": unreadable,
        "unaged": int(np.isnan(ages).sum()),
        "reading_ms": record.reading,
    }


def medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of each figure over the rounds."""
    names = {name for each in rounds for name in each}
    return {
        name: statistics.median(each[name] for each in rounds if name in each) for name in names
    }


def ratios(
    rounds: Sequence[dict[str, float]], peers: Sequence[dict[str, float]]
) -> dict[str, float]:
    """Medians of the figures' ratios to the peer's in the same round."""
    pairs = list(zip(rounds, peers, strict=True))
    return {
        name: statistics.median(each[name] / peer[name] for each, peer in pairs)
        for name in COMPARED
        if all(name in each and peer.get(name) for each, peer in pairs)
    }


def _looking(quaternions: Array, root: Sequence[float], up: Sequence[float]) -> Array:
    """Azimuth [degrees] of where cameras of three.js look, xyzw [N, 4], in the server's world,
    which is turned by `root` wxyz in theirs."""
    w, x, y, z = root
    inverse = np.array([-x, -y, -z, w])
    # A camera of three.js looks along -z.
    forward = _rotated(quaternions, np.array([0.0, 0.0, -1.0]))
    return np.degrees(azimuths(_rotated(inverse, forward), up))


def _rotated(quaternions: Array, vectors: Array) -> Array:
    """`vectors` [..., 3] turned by unit `quaternions` xyzw [..., 4]."""
    axis, w = quaternions[..., :3], quaternions[..., 3:]
    across = np.cross(axis, vectors)
    return vectors + 2 * (w * across + np.cross(axis, across))


def _turn(degrees: Array) -> Array:
    """The same angles in [-180, 180)."""
    return (degrees + 180) % 360 - 180
