"""Writing SOG: a .sog archive, or meta.json and its textures in a folder."""

from __future__ import annotations

import io
import json
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .....renderer.files import replacing
from ...format import RawFile
from ...metadata import SplatMetadata
from ...notes import NOTES, noted, program_version
from ...raw_splats import RawSplats, as_bytes
from . import clusters
from .layout import ANTIALIASED, CODEBOOK, LABELS_PER_ROW, META, PALETTE, SH_COEFFS, VERSION
from .turns import packed_quats, with_ordered_axes

Texture = NDArray[np.uint8]

_SPLATS_PER_ENTRY = 2
"""Splats for which the palette of harmonics has an entry, as far as labels can tell them apart."""
_LEAST_PALETTE = 1024
"""Entries that there may be in any case: a small file is small as it is."""
_STEP = 2.5
"""How far apart numbers of the palette are, in errors that it has anyway: with coarse entries there
are more of them for the same bytes, which loses less."""
_BRIGHTEST = 1e4  # of harmonics: more is no colour, and its square no float32
_EFFORT = 4  # of WebP, up to 6: what more gains is a hundredth, for twice the time


def write_sog(file: RawFile, draft: Path, target: Path) -> None:
    """Writes a file: an archive, or, if it is called meta.json, textures beside it as well.

    The splats come in Morton order, in which neighbours look alike, so that WebP packs well.

    An archive is written whole or not at all. Of a folder nothing is replaced before all of it is
    on the disk, and meta.json comes last; who is stopped while the textures get their names leaves
    some of before.
    """
    meta, textures = _encoded(file.raw)
    meta |= _stated(file.metadata)
    with ThreadPoolExecutor(2) as pool:
        packed = dict(zip(textures, pool.map(_webp, textures.values()), strict=True))
    text = json.dumps(meta, separators=(",", ":")).encode()
    if target.name.lower() != META:
        with zipfile.ZipFile(draft, "w") as archive:
            for name, data in {META: text, **packed}.items():
                # WebP is packed already; without a date, so that equal splats are equal files.
                method = zipfile.ZIP_DEFLATED if name == META else zipfile.ZIP_STORED
                archive.writestr(zipfile.ZipInfo(name), data, method)
        return
    _write(draft, text)
    with ExitStack() as all_at_once:
        for name, data in packed.items():
            _write(all_at_once.enter_context(replacing(target.with_name(name))), data)


def _write(path: Path, data: bytes) -> None:
    """Writes a file, which is on the disk then."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _stated(metadata: SplatMetadata) -> dict[str, Any]:
    """What meta.json says of splats that are to be shown so."""
    found: dict[str, Any] = {"asset": {"generator": f"gaborsplat {program_version()}"}}
    if metadata.antialiased is not None:
        found["antialias"] = metadata.antialiased
    if metadata.antialiased:
        found["model"] = ANTIALIASED
    notes = noted(metadata)
    return {**found, NOTES: notes} if notes else found


def _encoded(raw: RawSplats) -> tuple[dict[str, Any], dict[str, Texture]]:
    """What meta.json says of splats, and their textures by name."""
    raw = raw.along_morton_curve()
    quats, log_scales = with_ordered_axes(raw.quats, raw.log_scales)
    opacity = raw.opacities
    weights = _weights(opacity, log_scales)
    sh = raw.sh.clip(-_BRIGHTEST, _BRIGHTEST)
    means, textures = _means(raw.means)
    scales, textures["scales.webp"] = _booked(log_scales, weights)
    colour, rgb = _booked(sh[:, 0], weights)
    textures["sh0.webp"] = np.concatenate([rgb, as_bytes(opacity * 255.0)[:, None]], axis=1)
    textures["quats.webp"] = packed_quats(quats, log_scales)
    meta: dict[str, Any] = {
        "version": VERSION,
        "count": len(raw.means),
        "means": {**means, "files": ["means_l.webp", "means_u.webp"]},
        "scales": {"codebook": scales, "files": ["scales.webp"]},
        "quats": {"files": ["quats.webp"]},
        "sh0": {"codebook": colour, "files": ["sh0.webp"]},
    }
    textures = {name: _in_rows(pixels) for name, pixels in textures.items()}
    if len(raw.means) and sh.shape[1] > 1:
        meta["shN"], harmonics = _harmonics(sh[:, 1:], weights)
        textures |= harmonics
    return meta, textures


def _means(means: NDArray[np.floating[Any]]) -> tuple[dict[str, Any], dict[str, Texture]]:
    """Bounds, and the low and the high byte of 16 bits a coordinate, evenly spaced in
    sign(x) ln(1 + |x|)."""
    exact = means.astype(np.float64)
    logs = np.sign(exact) * np.log1p(np.abs(exact))
    lowest, highest = (logs.min(axis=0), logs.max(axis=0)) if len(logs) else np.zeros((2, 3))
    extent = np.where(highest > lowest, highest - lowest, 1.0)
    steps = np.rint((logs - lowest) / extent * 65535.0).astype(np.uint16)
    textures = {
        "means_l.webp": (steps & 255).astype(np.uint8),
        "means_u.webp": (steps >> 8).astype(np.uint8),
    }
    return {"mins": lowest.tolist(), "maxs": highest.tolist()}, textures


def _weights(opacity: NDArray[np.float64], log_scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N] how much a splat counts: the root of the light that it takes where it is seen broadside,
    as that is what a picture's error is of, and how much of it is hidden nobody knows."""
    light = np.log(np.maximum(opacity, 1e-6)) + log_scales[:, :2].astype(np.float64).sum(axis=1)
    return np.exp((light - light.max(initial=-np.inf)) / 2).astype(np.float32)


def _booked(
    values: NDArray[np.float32], weights: NDArray[np.float32]
) -> tuple[list[float], Texture]:
    """A codebook for values [N, ...] of so much weight each, and their places in it."""
    each = np.repeat(weights, values[:1].size)
    book = clusters.codebook(values.ravel(), each, CODEBOOK)
    return _numbers(book), clusters.indices(values, book)


def _numbers(book: NDArray[np.float32]) -> list[float]:
    return [float(f"{value:.7g}") for value in book.tolist()] or [0.0]


def _harmonics(
    sh: NDArray[np.float32], weights: NDArray[np.float32]
) -> tuple[dict[str, Any], dict[str, Texture]]:
    """A palette for harmonics [N, coefficients, 3] beyond the constant one."""
    coefficients = sh.shape[1]
    size = min(max(len(sh) // _SPLATS_PER_ENTRY, _LEAST_PALETTE), PALETTE)
    flat = sh.reshape(len(sh), -1)
    palette, labels = clusters.palette(flat, weights, size)
    squares = np.square(flat - palette[labels]).mean(axis=1)
    error = float(np.sqrt(np.average(squares, weights=weights)))
    book = clusters.even_codebook(palette, _STEP * error, CODEBOOK)
    entries = clusters.indices(palette, book)
    rows = -(-len(palette) // LABELS_PER_ROW)
    centroids = np.zeros((rows * LABELS_PER_ROW, coefficients, 3), np.uint8)
    centroids[: len(palette)] = entries.reshape(-1, coefficients, 3)
    places = np.stack([labels & 255, labels >> 8, np.zeros_like(labels)], axis=1)
    meta = {
        "count": len(palette),
        "bands": SH_COEFFS.index(coefficients) + 1,
        "codebook": _numbers(book),
        "files": ["shN_centroids.webp", "shN_labels.webp"],
    }
    return meta, {
        "shN_centroids.webp": centroids.reshape(rows, LABELS_PER_ROW * coefficients, 3),
        "shN_labels.webp": _in_rows(places.astype(np.uint8)),
    }


def _in_rows(pixels: Texture) -> Texture:
    """[H, W, C] about as wide as high, of pixels [N, C]; black where there are none left."""
    width = max(1, int(np.ceil(np.sqrt(len(pixels)))))
    height = max(1, -(-len(pixels) // width))
    filled = np.zeros((height * width, pixels.shape[1]), np.uint8)
    filled[: len(pixels)] = pixels
    return filled.reshape(height, width, -1)


def _webp(pixels: Texture) -> bytes:
    """A texture [H, W, 3 or 4], to the bit."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(
        file, "webp", lossless=True, quality=100, method=_EFFORT, exact=True
    )
    return file.getvalue()
