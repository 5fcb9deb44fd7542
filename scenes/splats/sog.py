"""Reading SOG, PlayCanvas' splats in WebP textures, version 2.

Format: https://developer.playcanvas.com/user-manual/gaussian-splatting/formats/sog/. A file is a
ZIP archive of meta.json and its textures; unbundled, they lie in a folder. Every texture holds one
pixel per splat, row after row; most values index a codebook in meta.json.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .raw_splats import RawSplats, gaussians

_LABELS_PER_ROW = 64  # entries of the palette of harmonics in a row of its texture


def read_sog(path: Path) -> RawSplats:
    """Splats of a .sog file, or of a folder or meta.json of an unbundled one.

    Raises:
        InputError: it is not SOG version 2, or is damaged.
    """
    try:
        files = _files(path)
        meta = json.loads(files["meta.json"])
        if meta.get("version") != 2:
            raise InputError(f"{path}: SOG version {meta.get('version', 1)}; known is 2")
        return _decode(meta, files)
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"{path}: not a whole SOG file: {error} is missing") from error
    except (OSError, ValueError, IndexError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a valid SOG file: {error}") from error


def _files(path: Path) -> dict[str, bytes]:
    if path.suffix.lower() == ".sog":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    folder = path if path.is_dir() else path.parent
    members = [*folder.glob("*.webp"), *folder.glob("meta.json")]
    return {member.name: member.read_bytes() for member in members}


def _decode(meta: dict[str, Any], files: dict[str, bytes]) -> RawSplats:
    count = int(meta["count"])

    def texture(part: str, index: int = 0) -> NDArray[np.uint8]:
        return _pixels(files[meta[part]["files"][index]]).reshape(-1, 4)[:count]

    def codebook(part: str) -> NDArray[np.float32]:
        return np.array(meta[part]["codebook"], np.float32)

    colour = texture("sh0")
    if not len(colour) == count:
        raise ValueError(f"{count} splats do not fit its textures")
    with np.errstate(divide="ignore"):
        opacity = colour[:, 3] / 255.0
        logits = np.log(opacity / (1.0 - opacity)).astype(np.float32)
    sh = codebook("sh0")[colour[:, :3]][:, None]
    if "shN" in meta:
        labels = texture("shN", 1)[:, :2].astype(np.int64) @ [1, 256]
        rest = _harmonics(meta["shN"], files)[labels]
        sh = np.concatenate([sh, rest], axis=1)
    return gaussians(
        means=_means(meta["means"], texture("means", 0), texture("means", 1)),
        quats=_quats(texture("quats")),
        log_scales=codebook("scales")[texture("scales")[:, :3]],
        logits=logits,
        sh=sh,
    )


def _pixels(data: bytes) -> NDArray[np.uint8]:
    """[H, W, 4] RGBA."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if image is None or image.ndim != 3:
        raise ValueError("a texture cannot be decoded")
    code = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGBA
    return cv2.cvtColor(image, code).astype(np.uint8)


def _means(
    meta: dict[str, Any], low: NDArray[np.uint8], high: NDArray[np.uint8]
) -> NDArray[np.float32]:
    lowest, highest = (np.array(meta[key], np.float64) for key in ("mins", "maxs"))
    share = (low[:, :3] + 256.0 * high[:, :3]) / 65535.0
    logs = lowest + share * (highest - lowest)  # of sign(x) ln(1 + |x|)
    return (np.sign(logs) * np.expm1(np.abs(logs))).astype(np.float32)


def _quats(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The three smallest components in [-1, 1] / sqrt(2); alpha - 252 says which is left out."""
    small = (pixels[:, :3] / 127.5 - 1.0) / np.sqrt(2.0)
    largest = np.sqrt(np.maximum(0.0, 1.0 - np.square(small).sum(1)))
    left_out = pixels[:, 3].astype(np.int64) - 252
    if not ((left_out >= 0) & (left_out < 4)).all():
        raise ValueError("a rotation has no valid mode")
    # Row m lists, for each component, which of (small, largest) it is when m was left out.
    source = np.array([[3, 0, 1, 2], [0, 3, 1, 2], [0, 1, 3, 2], [0, 1, 2, 3]])[left_out]
    parts = np.concatenate([small, largest[:, None]], axis=1)
    return np.take_along_axis(parts, source, axis=1).astype(np.float32)


def _harmonics(meta: dict[str, Any], files: dict[str, bytes]) -> NDArray[np.float32]:
    """[entries, sh_coeffs, 3] the palette of harmonics beyond the constant one."""
    sh_coeffs = {1: 3, 2: 8, 3: 15}[int(meta["bands"])]
    pixels = _pixels(files[meta["files"][0]])
    if pixels.shape[1] != _LABELS_PER_ROW * sh_coeffs:
        raise ValueError(f"the palette of harmonics is {pixels.shape[1]} pixels wide")
    values = np.array(meta["codebook"], np.float32)[pixels[:, :, :3]]
    return values.reshape(-1, sh_coeffs, 3)
