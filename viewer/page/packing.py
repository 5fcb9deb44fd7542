"""Splats in few bytes, for a page."""

from __future__ import annotations

import gzip
import json
import math
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...renderer.settings import RenderSettings
from ...renderer.splats import Splats
from ...scenes import SplatMetadata, axis_vector
from ...scenes.splats.formats.sog import clusters
from ...scenes.splats.raw_splats import RawSplats, as_bytes, deactivate
from .frames import with_packable_frames
from .layout import BLOCK, MAGIC, MOST_ENTRIES, MOST_STEPS, VERSION, Bytes, Scale

_BRIGHTEST = 1e4  # of harmonics: more is no colour, and its square no float32
_LEAST_ENTRIES = 256
_STEP = 2.5
"""How far apart numbers of the palette are, in errors that it has anyway."""
_THINNEST = math.log(1e-3)
"""Of scales, against the middle one: thinner ones are as flat to the eye."""
_LOUDEST = 0.999
"""Quantile of amplitudes that are not 0, to which there are as many steps as are wanted: a few that
are larger shall not make them coarse for all. Twice that is the most that is kept."""


@dataclass(frozen=True)
class Fineness:
    """How much of the splats is kept.

    Attributes:
        splats_per_entry: splats for which the palette of harmonics has an entry.
        levels: into how many steps scales, colours and waves are parted, at most 256.
        error: of positions, in the middle scale of a typical splat.
    """

    splats_per_entry: float = 8.0
    levels: int = 128
    error: float = 0.03


USUAL = Fineness()


@dataclass
class _Body:
    """Planes one behind the other.

    Attributes:
        planes: as they are stored.
        differences: numbers of those that are differences.
    """

    planes: list[bytes] = field(default_factory=list)
    differences: list[int] = field(default_factory=list)

    def add(self, values: Bytes) -> None:
        """One plane [N], as itself or as differences, whichever takes less."""
        plain = values.tobytes()
        steps = np.diff(values, prepend=np.uint8(0)).astype(np.uint8).tobytes()
        if _size(steps) < _size(plain):
            self.differences.append(len(self.planes))
            plain = steps
        self.planes.append(plain)

    def add_all(self, values: Bytes) -> None:
        """[N, C] as C planes."""
        for column in values.T:
            self.add(np.ascontiguousarray(column))


def packed(
    splats: Splats, settings: RenderSettings, metadata: SplatMetadata, fineness: Fineness = USUAL
) -> bytes:
    """Splats as a page reads them (layout.py), in Morton order.

    Args:
        splats: on any device, at least one.
        settings: how they are to be rendered.
        metadata: name and direction that is up, as far as they are known.
        fineness: how much of them is kept.

    Raises:
        InputError: a value is not finite.
    """
    raw = deactivate(splats, Path("the page")).along_morton_curve()
    raw = with_packable_frames(raw)
    body = _Body()
    weights = _weights(raw)
    header: dict[str, Any] = {
        "count": len(raw.means),
        "degree": raw.sh_degree,
        "waves": raw.frequencies.shape[1],
        "antialiased": settings.antialiased,
        "nearPlane": settings.near_plane,
        "background": [*settings.background],
        "up": axis_vector(metadata.up) if metadata.up else None,
        "name": metadata.name,
    }
    _add_means(body, raw, fineness)
    body.add_all(as_bytes((raw.quats[:, 1:] * np.sqrt(2.0) + 1.0) * 127.5))
    header["scales"] = _add_scales(body, raw, fineness)
    body.add(as_bytes(raw.opacities * 255.0))
    header["colors"] = _add_colors(body, raw, fineness)
    header["frequencies"] = _add_waves(body, raw, fineness)
    if raw.sh_degree:
        header["harmonics"] = _add_harmonics(body, raw, weights, fineness)
    header["differences"] = body.differences
    text = json.dumps(header, separators=(",", ":")).encode()
    start = struct.pack("<4sII", MAGIC, VERSION, len(text))
    return start + text + gzip.compress(b"".join(body.planes), 9, mtime=0)


def _size(data: bytes) -> int:
    return len(zlib.compress(data, 6))


def _scale_of(values: NDArray[Any], fineness: Fineness) -> Scale:
    """Steps over all values."""
    if not values.size:
        return Scale(0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    return Scale(low, (high - low) / (fineness.levels - 1) or 1.0)


def _add_scales(body: _Body, raw: RawSplats, fineness: Fineness) -> list[float]:
    logs = raw.log_scales
    logs = np.maximum(logs, np.median(logs[:, 1]) + np.float32(_THINNEST))
    scale = _scale_of(logs, fineness)
    body.add_all(scale.places(logs))
    return scale.noted()


def _add_means(body: _Body, raw: RawSplats, fineness: Fineness) -> None:
    """Boxes of blocks, and whole steps in them, as many as the size of splats asks for: of 10 to 16
    bits, but where a block reaches to a splat far out. Bytes that are 0 everywhere take nothing."""
    means = raw.means.astype(np.float64)
    starts = np.arange(0, len(means), BLOCK)
    lowest = np.minimum.reduceat(means, starts).astype(np.float32)
    highest = np.maximum.reduceat(means, starts).astype(np.float32)
    middle = float(np.median(np.exp(raw.log_scales[:, 1].astype(np.float64))))
    extent = (highest.astype(np.float64) - lowest).max(axis=1, keepdims=True)
    wanted = 2 * fineness.error * middle
    steps = np.clip(extent / max(wanted, 1e-300), 1, MOST_STEPS)
    step = (np.maximum(highest.astype(np.float64) - lowest, 0) / np.ceil(steps)).astype(np.float32)
    body.planes += [np.ascontiguousarray(each.T, "<f4").tobytes() for each in (lowest, step)]
    of = np.arange(len(means)) // BLOCK
    safe = np.where(step > 0, step, 1)
    places = np.rint((means - lowest[of]) / safe[of]).clip(0, MOST_STEPS).astype(np.uint32)
    for axis in places.T:
        for shift in (0, 8, 16):
            body.add((axis >> shift & 255).astype(np.uint8))


def _add_colors(body: _Body, raw: RawSplats, fineness: Fineness) -> list[float]:
    scale = _scale_of(raw.colors, fineness)
    red, green, blue = scale.places(raw.colors).T
    for plane in (green, red - green, blue - green):  # modulo 256
        body.add(np.ascontiguousarray(plane))
    return scale.noted()


def _add_waves(body: _Body, raw: RawSplats, fineness: Fineness) -> list[list[float]]:
    """The scales of frequencies and of amplitudes."""
    scales = [_scale_of(raw.frequencies, fineness), _scale_of_amplitudes(raw, fineness)]
    for k in range(raw.frequencies.shape[1]):
        body.add_all(scales[0].places(raw.frequencies[:, k]))
        body.add_all(scales[1].places(raw.coefficients[:, k]))
    return [scale.noted() for scale in scales]


def _scale_of_amplitudes(raw: RawSplats, fineness: Fineness) -> Scale:
    """Steps on both sides of 0, which is one of them: who has no wave gets none."""
    sizes = np.abs(raw.coefficients[raw.coefficients != 0])
    loud = float(np.quantile(sizes, _LOUDEST)) if sizes.size else 0.0
    step = loud / ((fineness.levels - 1) // 2) or 1.0
    return Scale(-127 * step, step)


def _weights(raw: RawSplats) -> NDArray[np.float32]:
    """[N] how much a splat counts: the root of the light that it takes seen broadside."""
    broad = np.sort(raw.log_scales, axis=1)[:, 1:].astype(np.float64).sum(axis=1)
    light = np.log(np.maximum(raw.opacities, 1e-6)) + broad
    return np.exp((light - light.max(initial=-np.inf)) / 2).astype(np.float32)


def _add_harmonics(
    body: _Body, raw: RawSplats, weights: NDArray[np.float32], fineness: Fineness
) -> dict[str, Any]:
    """A palette for all but the constant harmonic, and which entry is whose."""
    flat = raw.sh[:, 1:].clip(-_BRIGHTEST, _BRIGHTEST).reshape(len(raw.sh), -1)
    size = min(max(int(len(flat) / fineness.splats_per_entry), _LEAST_ENTRIES), MOST_ENTRIES)
    palette, labels = clusters.palette(flat, weights, size)
    squares = np.square(flat - palette[labels]).mean(axis=1)
    error = float(np.sqrt(np.average(squares, weights=weights + np.float32(1e-30))))
    lowest, highest = float(palette.min()), float(palette.max())
    step = max(_STEP * error, (highest - lowest) / 255, 1e-12)
    scale = Scale(float(np.rint(lowest / step)) * step, step)
    body.add((labels & 255).astype(np.uint8))
    body.add((labels >> 8).astype(np.uint8))
    body.add_all(scale.places(palette))
    return {"entries": len(palette), "scale": scale.noted()}
