"""A rendered frame as a picture file: 8 bits to look at, or numbers to compute with."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from ...renderer.frame import Frame
from ...renderer.raster.light import to_linear
from ..settings import Mode
from .exr import exr_bytes
from .paint import Picture, normal_colors, paint, paint_depth

Format = Literal["png", "webp", "exr", "png16"]
ENDINGS: dict[Format, str] = {"png": ".png", "webp": ".webp", "exr": ".exr", "png16": ".png"}
NUMBERS: tuple[Format, ...] = ("exr", "png16")
"""Formats that hold depth and normals themselves, not colours for them."""

WEBP_SIDE = 16_383
"""Longest side of a WebP picture [px]."""

Background = tuple[float, float, float]
"""RGB in [0, 1]."""

_ON_BACKGROUND: tuple[Mode, ...] = ("rgb", "centres")
_IHDR_END = 33


@dataclass
class Encoder:
    """Makes the files of one kind of picture.

    Attributes:
        mode: what they show.
        format: "png" and "webp" (lossless) hold 8 bits a channel; "png16" 16; "exr" 32-bit floats,
            in linear light where they are colours.
        background: what stands behind colours; None for pictures with alpha, straight in PNG and
            WebP, premultiplied in EXR.
        depth_unit: length that is one step of depth in "png16".
        said: what PNG and EXR files say of themselves besides, by name.
        beyond: number of pixels so far whose depth was more than 16 bits hold.
    """

    mode: Mode
    format: Format = "png"
    background: Background | None = (0.0, 0.0, 0.0)
    depth_unit: float = 1.0
    said: Mapping[str, float | str] = field(default_factory=dict[str, float | str])
    beyond: int = 0

    def encoded(self, frame: Frame) -> bytes:
        """The file of a frame of `PictureRenderer.frames`, in this mode."""
        if self.format == "exr":
            return exr_bytes(self._channels(frame), self._texts)
        return self.packed(self._sixteen(frame) if self.format == "png16" else self.eight(frame))

    def eight(self, frame: Frame) -> Picture:
        """[H, W, 3] or, with alpha, [H, W, 4] RGB of 8 bits a channel."""
        if self._has_alpha:
            return _straight(_premultiplied(frame, self.mode), frame.alpha, 255).astype(np.uint8)
        return paint(self._on_background(frame), self.mode)

    def packed(self, picture: npt.NDArray[np.uint8 | np.uint16]) -> bytes:
        """A PNG or WebP file of [H, W], [H, W, 3] or [H, W, 4] RGB."""
        if self.format == "webp":
            return _webp(picture)
        if picture.ndim == 3:
            order = [2, 1, 0, 3][: picture.shape[2]]
            picture = np.ascontiguousarray(picture[..., order])
        done, coded = cv2.imencode(".png", picture)
        if not done:
            raise ValueError("OpenCV cannot encode a picture as PNG")
        return _with_texts(coded.tobytes(), self._texts)

    @property
    def _texts(self) -> dict[str, str]:
        return {name: str(value) for name, value in self.said.items()}

    @property
    def _has_alpha(self) -> bool:
        """Whether there is an alpha beside what is shown. It is none of numbers, nor of itself."""
        numbers = self.format in NUMBERS and self.mode in ("depth", "normals")
        return self.background is None and self.mode != "alpha" and not numbers

    def _on_background(self, frame: Frame) -> Frame:
        if self.background is None or self.mode not in _ON_BACKGROUND:
            return frame
        behind = (1 - frame.alpha[..., None]) * frame.color.new_tensor(self.background)
        return replace(frame, color=frame.color + behind)

    def _channels(self, frame: Frame) -> dict[str, npt.NDArray[np.float32]]:
        """The planes of an EXR file."""
        if self.mode == "depth":
            return {"Z": _array(frame.depth)}
        if self.mode == "alpha":
            return {"Y": _array(frame.alpha)}
        if self.mode == "normals":
            planes = _array(normalize(frame.color, dim=-1))
        elif self._has_alpha:
            alpha = frame.alpha[..., None]
            planes = _array(alpha * to_linear(frame.color / alpha.clamp_min(1e-10)))
        else:
            planes = _array(to_linear(self._on_background(frame).color))
        channels = {name: planes[..., i] for i, name in enumerate("RGB")}
        return channels | ({"A": _array(frame.alpha)} if self._has_alpha else {})

    def _sixteen(self, frame: Frame) -> npt.NDArray[np.uint16]:
        """[H, W] or [H, W, 3 or 4] of 16 bits a channel."""
        if self.mode == "depth":
            steps = np.rint(_array(frame.depth).astype(np.float64) / self.depth_unit)
            self.beyond += int((steps > 65535).sum())
            # What is there is never 0, which says that nothing is.
            return (
                np.where(steps == 0, _array(frame.depth) > 0, steps)
                .clip(0, 65535)
                .astype(np.uint16)
            )
        if self.mode == "alpha":
            return _levels(frame.alpha, 65535).astype(np.uint16)
        if self.mode == "normals":
            normals = normalize(frame.color, dim=-1)
            shown = torch.where(normals.any(dim=-1, keepdim=True), 0.5 + 0.5 * normals, 0)
            return _levels(shown, 65535).astype(np.uint16)
        if self._has_alpha:
            return _straight(frame.color, frame.alpha, 65535).astype(np.uint16)
        return _levels(self._on_background(frame).color, 65535).astype(np.uint16)


def _premultiplied(frame: Frame, mode: Mode) -> Tensor:
    """[H, W, 3] what `paint` shows on black, in [0, 1], not yet rounded."""
    if mode == "normals":
        return normal_colors(frame)
    if mode != "depth":
        return frame.color
    colors = torch.from_numpy(paint_depth(frame.depth, (frame.alpha > 0).float()))
    return frame.alpha[..., None] * (colors.to(frame.alpha) / 255)


def _straight(color: Tensor, alpha: Tensor, top: int) -> npt.NDArray[np.float64]:
    """[H, W, 4] whole numbers up to `top`: colours that are not multiplied by their alpha.

    The colour goes by the alpha that was rounded, and so makes up for that. Where colours are
    brighter than white, alpha is as much as their light takes.
    """
    color, alpha = color.nan_to_num(0.0).clamp(0, 1), alpha.nan_to_num(0.0).clamp(0, 1)
    needed = _levels(torch.maximum(alpha, color.amax(dim=-1)), top)[..., None]
    levels = np.rint(top * top * _array(color).astype(np.float64) / np.maximum(needed, 1))
    return np.concatenate([np.where(needed > 0, levels, 0).clip(0, top), needed], axis=-1)


def _levels(values: Tensor, top: int) -> npt.NDArray[np.float64]:
    return np.rint(top * _array(values.nan_to_num(0.0).clamp(0, 1)).astype(np.float64))


def _array(values: Tensor) -> npt.NDArray[np.float32]:
    return np.asarray(values.detach().float().cpu(), dtype=np.float32)


def _webp(picture: npt.NDArray[np.uint8 | np.uint16]) -> bytes:
    """A lossless WebP file of [H, W, 3] or [H, W, 4] RGB of 8 bits a channel. OpenCV's writer would
    leave any colour where alpha is 0."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "webp", lossless=True, quality=75, method=4, exact=True)
    return file.getvalue()


def _with_texts(png: bytes, texts: Mapping[str, str]) -> bytes:
    """A PNG file with chunks of text behind its header."""
    chunks = b""
    for name, text in texts.items():
        content = b"tEXt" + name.encode("latin-1") + b"\0" + text.encode("latin-1")
        chunks += struct.pack(">I", len(content) - 4) + content
        chunks += struct.pack(">I", zlib.crc32(content))
    return png[:_IHDR_END] + chunks + png[_IHDR_END:]
