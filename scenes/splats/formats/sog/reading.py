"""Reading SOG."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .... import limits
from ....document import Entry, Fault, parse
from ....errors import InputError
from ....opencv import decoded
from ...format import RawFile
from ...metadata import SplatMetadata
from ...notes import NOTES, metadata_of
from ...raw_splats import RawSplats, gaussians, logits_of
from .layout import (
    ANTIALIASED,
    CODEBOOK,
    LABELS_PER_ROW,
    LEFT_OUT,
    META,
    PALETTE,
    SH_COEFFS,
    VERSION,
)
from .turns import unpacked_quats
from .webp import webp_size


def read_sog(path: Path, most: int | None = None) -> RawFile:
    """Splats of a .sog file, or of a folder or meta.json of an unbundled one.

    Args:
        most: splats that it may have, fewer than follow from its size.

    Raises:
        InputError: it is not SOG version 2, or is damaged.
    """
    try:
        with _opened(path) as source:
            meta = parse(source.read(META, limits.SOG_META), limits.SOG_META)
            version = meta.number("version") or 1
            if version != VERSION:
                raise InputError(f"{path}: SOG version {version:g}; known is {VERSION}")
            return RawFile(_decode(source, meta, most), _metadata(meta))
    except Fault as fault:
        raise InputError(f"{path}: not a valid SOG file: {fault}") from fault
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _metadata(meta: Entry) -> SplatMetadata:
    """How the splats are to be shown: by "model", or "antialias", which there was before it, and
    by what we have noted."""
    model, antialias = meta.text("model"), meta.values.get("antialias")
    stated = model == ANTIALIASED if model else antialias
    noted = isinstance(meta.values.get(NOTES), dict)
    return replace(
        metadata_of(meta.entry(NOTES) if noted else Entry(NOTES, {})),
        antialiased=stated if isinstance(stated, bool) else None,
    )


@dataclass(frozen=True)
class _Source:
    """Where the members of a SOG are."""

    path: Path
    read: Callable[[str, int], bytes]  # a member by its name, of at most so many bytes
    size: int  # bytes of all that there is

    def pixels(self, name: str) -> NDArray[np.uint8]:
        """[H, W, 4] RGBA of a texture."""
        data = self.read(name, self.size + limits.EXPANSION_FREE)  # WebP is not packed any further
        width, height = webp_size(data) or (0, 0)
        limits.check_unpacked(self.path, 4 * width * height, self.size)
        image = decoded(data, cv2.IMREAD_UNCHANGED) if width else None
        if image is None or image.dtype != np.uint8 or image.ndim != 3:
            raise Fault(f"{name} cannot be decoded as WebP")
        code = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGBA
        return np.asarray(cv2.cvtColor(image.astype(np.uint8, copy=False), code), np.uint8)


@contextmanager
def _opened(path: Path) -> Generator[_Source, None, None]:
    if path.is_file() and path.suffix.lower() == ".sog":
        with limits.open_archive(path) as archive:
            yield _Source(
                path,
                lambda name, most: limits.read_member(path, archive, name, most),
                path.stat().st_size,
            )
        return
    meta = path / META if path.is_dir() else path
    members = {each.name: each for each in meta.parent.glob("*.webp")} | {META: meta}

    def read(name: str, most: int) -> bytes:
        if name not in members:
            raise Fault(f"{name} is missing")
        if members[name].stat().st_size > most:
            raise Fault(f"{name} has more than {most:,} bytes")
        return members[name].read_bytes()

    yield _Source(path, read, sum(each.stat().st_size for each in members.values()))


def _decode(source: _Source, meta: Entry, most: int | None) -> RawSplats:
    possible = limits.most_unpacked(source.size) // limits.SPLAT_PIXEL
    count = meta.whole("count", 0, possible if most is None else min(most, possible))

    def texture(part: str, index: int = 0) -> NDArray[np.uint8]:
        name = _file(meta.entry(part), index)
        pixels = source.pixels(name).reshape(-1, 4)
        if len(pixels) < count:
            raise Fault(f"{name} has {len(pixels)} pixels for {count} splats")
        return pixels[:count]

    colour = texture("sh0")
    sh = _looked_up(meta.entry("sh0"), colour[:, :3])[:, None]
    if meta.values.get("shN") is not None:
        labels = texture("shN", 1)[:, :2].astype(np.int64) @ [1, 256]
        palette = _harmonics(source, meta.entry("shN"))
        if count and labels.max() >= len(palette):
            raise Fault(f"shN has {len(palette)} harmonics; a splat names number {labels.max()}")
        sh = np.concatenate([sh, palette[labels]], axis=1)
    return gaussians(
        means=_means(meta.entry("means"), texture("means", 0), texture("means", 1)),
        quats=_quats(texture("quats")),
        log_scales=_looked_up(meta.entry("scales"), texture("scales")[:, :3]),
        logits=logits_of(colour[:, 3] / 255.0),
        sh=sh,
    )


def _file(part: Entry, index: int) -> str:
    files = part.items("files")
    if files is None or index >= len(files) or not isinstance(files[index], str):
        raise Fault(f"{part.at('files')} must name {index + 1} textures or more")
    return files[index]


def _looked_up(part: Entry, indices: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a part's codebook has for bytes of any shape."""
    codebook = part.array("codebook", 1, CODEBOOK).astype(np.float32)
    highest = int(indices.max(initial=0))
    if highest >= len(codebook):
        raise Fault(f"{part.at('codebook')} has {len(codebook)} numbers; a splat has {highest}")
    return codebook[indices]


def _means(part: Entry, low: NDArray[np.uint8], high: NDArray[np.uint8]) -> NDArray[np.float32]:
    lowest, highest = (part.array(key, 3, 3) for key in ("mins", "maxs"))
    share = (low[:, :3] + 256.0 * high[:, :3]) / 65535.0
    logs = lowest + share * (highest - lowest)  # of sign(x) ln(1 + |x|)
    with np.errstate(over="ignore"):  # an infinite position is refused like any other
        return (np.sign(logs) * np.expm1(np.abs(logs))).astype(np.float32)


def _quats(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    if not ((pixels[:, 3] >= LEFT_OUT) & (pixels[:, 3] < LEFT_OUT + 4)).all():
        raise Fault("a rotation has no valid mode")
    return unpacked_quats(pixels).astype(np.float32)


def _harmonics(source: _Source, part: Entry) -> NDArray[np.float32]:
    """[entries, sh_coeffs, 3] the palette of harmonics beyond the constant one."""
    sh_coeffs = SH_COEFFS[part.whole("bands", 1, 3) - 1]
    name = _file(part, 0)
    pixels = source.pixels(name)
    wanted = LABELS_PER_ROW * sh_coeffs
    if pixels.shape[1] != wanted or pixels.shape[0] > PALETTE // LABELS_PER_ROW:
        raise Fault(
            f"{name} is {pixels.shape[1]} x {pixels.shape[0]} pixels; a palette of harmonics is "
            f"{wanted} x {PALETTE // LABELS_PER_ROW} or less"
        )
    return _looked_up(part, pixels[:, :, :3]).reshape(-1, sh_coeffs, 3)
