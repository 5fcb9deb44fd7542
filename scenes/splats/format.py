"""What a format of splat files is to the rest of the program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .metadata import DEFAULT_METADATA, Frame, SplatMetadata
from .raw_splats import RawSplats

Part = Literal["waves", "antialiased", "up", "origin", "background", "name"]
"""What not every format can carry, besides the splats."""


@dataclass(frozen=True)
class RawFile:
    """What is in a file.

    Attributes:
        raw: numbers in the axes of `metadata.frame`, or of the format where that is None, positions
            relative to `metadata.origin`.
        metadata: how they are to be shown.
        comments: to be written, in formats that have a place for lines of text.
        said: what was taken otherwise than it stands in the file, for people to be told. Readers
            log nothing: they do not know what people call the file.
        assumed: what the file does not say, and was taken for granted.
    """

    raw: RawSplats
    metadata: SplatMetadata = DEFAULT_METADATA
    comments: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class SplatFormat:
    """A format of splat files.

    Attributes:
        name: what people call it.
        endings: of its files' names, in small letters; the first is the usual one.
        read: what is in a file. Raises InputError.
        write: writes a file, whose path is that of a draft: numbers in the format's axes,
            positions relative to the origin. Raises InputError, which names the last argument, the
            file that the user asked for. None for a format that is only read.
        frame: axes of its numbers, where a file does not say otherwise.
        keeps: what it can carry besides splats.
        padded: whether its files have room for harmonics of degree 3 whatever is in it; in others
            those that are zero for all splats are left out.
        scattered: whether what is in a file may go on in others, beside it and below.
    """

    name: str
    endings: tuple[str, ...]
    read: Callable[[Path], RawFile]
    write: Callable[[RawFile, Path, Path], None] | None = None
    frame: Frame = "RDF"
    keeps: frozenset[Part] = field(default_factory=lambda: frozenset[Part]())
    padded: bool = False
    scattered: bool = False
