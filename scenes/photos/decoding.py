"""Files of photos: what their headers say, and their pixels.

Pillow reads what has 8 bits, and refuses files that are cut short. OpenCV reads what has more, of
which Pillow keeps 8.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from ...renderer.process import ForAll, ForkLock
from ..errors import InputError
from ..limits import PHOTO, BoundedFile, most_unpacked
from ..opencv import decoded
from .tiff import unpacked_bytes

ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".tif", ".tiff", ".bmp"),
    *(".ppm", ".pgm", ".pnm", ".gif", ".jp2", ".j2k", ".heic", ".heif", ".hif", ".avif"),
)
"""Of files that are taken for photos whose names say something else."""
_RAW = (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw")
_PLUGINS = {
    "HEIC": ("pillow_heif", "register_heif_opener", "pillow-heif"),
    "AVIF": ("pillow_heif", "register_avif_opener", "pillow 11.3 or newer"),
}
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"), "HEIC"
)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)  # orientations that exchange width and height
_WHITES = {16: (255, 1023, 4095, 16383, 65535), 32: (1, 255, 1023, 4095, 16383, 65535)}
_LABELS = 16  # a mask with no greater values has numbers of objects
_opening = ForkLock()
logging.getLogger("PIL").setLevel(logging.CRITICAL)  # it also raises what it logs


@dataclass(frozen=True)
class Header:
    """What a file says of its photo."""

    size: tuple[int, int]  # (width, height) as stored [px]
    orientation: int = 1  # EXIF's, 1 to 8: how it is to be turned
    bits: int = 8  # of a channel: 8; 16, also where fewer are used; 32, floating point
    alpha: bool = False  # whether it says what of it is transparent


def turned(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """The size of a photo that is stored with `size`, after it was turned."""
    return (size[1], size[0]) if orientation in _TURNED else size


def read_header(path: Path) -> Header:
    """What the file says, without decoding it.

    Raises:
        InputError: it is not a photo in a format that can be decoded.
    """
    if path.suffix.lower() in _RAW:  # Pillow finds the thumbnail in some
        raise InputError(f"{path}: is a camera's raw file; convert it to JPEG, PNG or 16-bit TIFF")
    try:
        with _opened(path) as image:
            return Header(image.size, _orientation(image), _bits(image), _has_alpha(image))
    # Whatever bytes there are, it is the file that is wrong: Pillow raises a dozen kinds of error.
    except Exception as error:
        deep = _deep_pixels(path) if _is_tiff(path) else None  # Pillow does not know all of them
        if deep is not None:
            size = (deep.shape[1], deep.shape[0])
            return Header(size, bits=32 if deep.dtype.kind == "f" else 16)
        raise InputError(f"{path}: cannot be read as a photo: {_reason(path, error)}") from error


def focal_length(path: Path) -> float | None:
    """EXIF's focal length [mm], None where it does not say."""
    try:
        with _opened(path) as image:
            found = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.FocalLength)
            return None if found is None else float(found)
    except Exception:  # damaged EXIF harms no pixel
        return None


def read_pixels(
    path: Path,
    header: Header,
    *,
    at_least: tuple[int, int] | None = None,
    white: float = 255.0,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """[H, W, 3] uint8 RGB, as stored, and [H, W] alpha from 0 to 255, None where all is opaque.

    Args:
        path: the file.
        header: what it said when the capture was loaded.
        at_least: (width, height) [px] to which the file may be shrunk while it is decoded, for
            formats that can; all of it is decoded by default.
        white: value of what is brightest, for files of more than 8 bits.

    Raises:
        InputError: the file cannot be decoded, or has changed since.
    """
    alpha = None
    try:
        with _opened(path) as image:
            _check_unchanged(path, image.size, header.size)
            if at_least is not None:
                image.draft("RGB", at_least)
            image.load()  # refuses a file that is cut short
            alpha = _alpha_of(image) if header.alpha else None
            if header.bits == 8:
                # Not by way of "RGB" where there is alpha, which may be in a palette.
                colors = image.convert("RGBA") if header.alpha else image.convert("RGB")
                return np.asarray(colors)[..., :3], alpha
    except InputError:
        raise
    except Exception as error:
        if header.bits == 8 or not isinstance(error, Image.UnidentifiedImageError):
            raise _undecodable(path, error) from error
    return _in_eight_bits(_pixels_of_deep(path, header), white), alpha


def read_mask(path: Path) -> NDArray[np.uint8]:
    """[H, W] from 0, which does not count, to 255, which does.

    Raises:
        InputError: it cannot be decoded.
    """
    try:
        with _opened(path) as image:
            image.load()
            deep, labels = image.mode.startswith(("I", "F")), _has_labels(image)
            mask = np.asarray(image if deep or labels else image.convert("L"))
            alpha = _alpha_of(image) if _has_alpha(image) else None
    except Exception as error:
        raise _undecodable(path, error) from error
    highest = float(mask.max(initial=0))
    if labels or (image.format != "JPEG" and highest < _LABELS):
        mask = np.where(mask > 0, 255, 0)
    elif deep:
        mask = np.where(mask > highest / 2, 255, 0)
    mask = mask.astype(np.uint8)
    return mask if alpha is None else np.minimum(mask, alpha)


def white_level(paths: Iterable[Path], bits: int) -> tuple[float, float]:
    """The value that is white in photos of 16 or 32 `bits`, as far as their brightest pixel tells,
    and that of the pixel: 12 bits often come in 16.

    Photos that cannot be decoded do not count.
    """
    brightest = 0.0
    for path in paths:
        pixels = _deep_pixels(path)
        if pixels is not None:
            finite = np.nan_to_num(pixels.astype(np.float32), posinf=0.0, neginf=0.0)
            brightest = max(brightest, float(finite.max(initial=0.0)))
    return float(
        next((white for white in _WHITES[bits] if brightest <= white), brightest)
    ), brightest


@contextmanager
def _opened(path: Path) -> Generator[Image.Image, None, None]:
    """The file in Pillow, of any size: the model's camera says how large it has to be."""
    with _no_warnings, BoundedFile(path) as file:
        with _opening:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = _open(path, file)
            finally:
                Image.MAX_IMAGE_PIXELS = limit
        with image:
            yield image


@contextmanager
def _one_more_filter() -> Generator[None, None, None]:
    """Warnings are ignored. Other filters stay as they are, or as they become: `catch_warnings`
    would put back those that there were."""
    warnings.filterwarnings("ignore", r"(?# while a photo is decoded )")
    ours = warnings.filters[0]
    try:
        yield
    finally:
        with suppress(ValueError):  # somebody has put back those that there were
            cast("list[Any]", warnings.filters).remove(ours)


_no_warnings = ForAll(_one_more_filter)


def _open(path: Path, file: BoundedFile) -> Image.Image:
    try:
        return Image.open(file)
    except Image.UnidentifiedImageError:
        module, register, _ = _PLUGINS.get(_brand(path) or "", ("", "", ""))
        if not module:
            raise
    with suppress(ImportError, AttributeError):  # `_reason` says so
        getattr(importlib.import_module(module), register)()
    return Image.open(file)


def _brand(path: Path) -> str | None:
    """ "HEIC" or "AVIF" if the file says that it is one."""
    with path.open("rb") as file:
        start = file.read(12)
    return _BRANDS.get(start[8:12]) if start[4:8] == b"ftyp" else None


def _reason(path: Path, error: Exception) -> str:
    """Why a file cannot be read, for people."""
    if isinstance(error, MemoryError):
        return "it does not fit into memory; give smaller photos"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if not path.stat().st_size:
        return "the file is empty"
    kind = _brand(path)
    if isinstance(error, Image.UnidentifiedImageError):
        if kind:
            package = _PLUGINS[kind][2]
            return f"it is {kind}, for which {package} is needed (pip install); or convert to JPEG"
        return "the file is damaged, or of a kind that is not known"
    return f"the file is damaged ({' '.join(str(error).split()) or type(error).__name__})"


def _undecodable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: cannot be decoded: {_reason(path, error)}")


def _check_unchanged(path: Path, size: tuple[int, int], before: tuple[int, int]) -> None:
    if size != before:
        raise InputError(
            f"{path}: the photo is {size[0]} x {size[1]}, not {before[0]} x {before[1]}; "
            "it has changed since it was loaded"
        )


def _orientation(image: Image.Image) -> int:
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode all of it to look behind the pixels
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF harms no pixel
        return 1
    return value if value in range(1, 9) else 1


def _bits(image: Image.Image) -> int:
    """Of a channel in the file; Pillow keeps 8 of 16 where there are colours."""
    if image.mode == "F":
        return 32
    if image.mode.startswith("I"):
        return 16
    for *_, arguments in getattr(image, "tile", ()):
        values = arguments if isinstance(arguments, tuple) else (arguments,)
        if any(";16" in value for value in values if isinstance(value, str)):
            return 16
        if image.format == "PPM" and any(type(value) is int and value > 255 for value in values):
            return 16
    return 8


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _has_labels(image: Image.Image) -> bool:
    """Whether a picture has numbers of objects, shown in colours, rather than black and white."""
    if image.mode != "P":
        return False
    colors = np.asarray(image.getpalette() or [0, 0, 0]).reshape(-1, 3)
    return bool((colors != colors[:, :1]).any())


def _alpha_of(image: Image.Image) -> NDArray[np.uint8] | None:
    alpha = np.asarray(image.convert("RGBA"))[..., 3]
    return None if alpha.min(initial=255) == 255 else alpha


def _is_tiff(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) in _TIFF
    except OSError:
        return False


def _deep_pixels(path: Path) -> NDArray[np.generic] | None:
    """[H, W, 3] BGR, with all the bits that there are; None if OpenCV cannot decode it."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    if raw.startswith(_TIFF) and (unpacked_bytes(raw) or 0) > max(PHOTO, most_unpacked(len(raw))):
        return None
    return decoded(raw, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION)


def _pixels_of_deep(path: Path, header: Header) -> NDArray[np.generic]:
    pixels = _deep_pixels(path)
    if pixels is None:
        raise InputError(f"{path}: cannot be decoded: the file is damaged")
    _check_unchanged(path, (pixels.shape[1], pixels.shape[0]), header.size)
    return pixels


def _in_eight_bits(pixels: NDArray[np.generic], white: float) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8:
        scaled = np.nan_to_num(pixels.astype(np.float32)) * np.float32(255.0 / white)
        pixels = (scaled.clip(0.0, 255.0) + 0.5).astype(np.uint8)
    return np.ascontiguousarray(pixels[..., ::-1], np.uint8)
