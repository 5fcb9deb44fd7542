"""Reading and writing splats in the format that a file's name asks for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...renderer.editing.merging import degree_in_use, with_sh_degree
from ...renderer.files import replacing
from ...renderer.settings import RenderSettings
from ...renderer.splats import Splats
from ..errors import InputError
from .axes import turned, turned_axis, turned_origin
from .containers import opened
from .format import RawFile
from .formats.through_gsply import read_through_gsply
from .metadata import DEFAULT_METADATA, MEMORY_FRAME, Frame, SplatMetadata, named
from .notes import read_origin, write_origin
from .raw_splats import activate, deactivate
from .registry import format_of, readable_format, writable_format
from .repair import loses_detail, middle_and_spread, near_zero, without_bad_rows

log = logging.getLogger(__name__)

_NEAR = 0.005
"""Near plane per spread of splats whose unit is so large that 0.01 would be too far."""

_OF_GSPLY = {".ply": "plyread", ".spz": "read_spz"}
VERIFIABLE = tuple(_OF_GSPLY)
"""Endings of written files that gsply, an independent reader, can read back."""


@dataclass(frozen=True)
class SplatFile:
    """What a splat file holds.

    Attributes:
        splats: positions are relative to `metadata.origin`.
        metadata: how they are to be shown, as far as the file tells.
    """

    splats: Splats
    metadata: SplatMetadata = DEFAULT_METADATA

    @property
    def antialiased(self) -> bool:
        """Whether the splats were fitted with Mip-Splatting's opacity compensation, and are to be
        rendered with it."""
        return bool(self.metadata.antialiased)

    @property
    def origin(self) -> tuple[float, float, float]:
        """(x, y, z) of the splats in the capture's own frame, in its units."""
        return self.metadata.origin

    @property
    def settings(self) -> RenderSettings:
        """How the splats are to be rendered."""
        settings = self.metadata.settings
        near = _NEAR * middle_and_spread(self.splats.means.detach().cpu().numpy())[1]
        return replace(settings, near_plane=min(settings.near_plane, near)) if near else settings


def load_splat_file(path: str | Path, *, frame: Frame | None = None) -> SplatFile:
    """Splats from a file, and how they are to be shown, as far as the file tells.

    Rows that cannot be shown (NaN, infinity, no rotation) are dropped, and that is logged. A scene
    that is far from zero gets an origin, so that no detail is lost in float32, here and in a
    renderer.

    Args:
        path: as for `load_splats`.
        frame: axes of the file's numbers, whatever it or its format says.

    Raises:
        InputError: as `load_splats`.
    """
    source = Path(path)
    file, name = _read(source, frame)
    file = near_zero(file)
    return SplatFile(activate(file.raw, name), file.metadata)


def _read(source: Path, frame: Frame | None) -> tuple[RawFile, str]:
    """What is in a file, in our axes, and what to call the file; what readers have to say is
    logged."""
    with opened(source) as (place, name):
        found = readable_format(place)
        file = found.read(place)
        beside = (0.0, 0.0, 0.0) if "origin" in found.keeps else read_origin(place)
    for remark in file.said:
        log.warning("%s: %s", name, remark)
    for remark in file.assumed:
        log.info("%s: %s", name, remark)
    raw = without_bad_rows(file.raw, name)
    taken = frame or file.metadata.frame or found.frame
    up = file.metadata.up and turned_axis(file.metadata.up, taken, MEMORY_FRAME)
    stated = turned_origin(file.metadata.origin, taken, MEMORY_FRAME)
    origin = stated if any(stated) else beside  # in the capture's axes
    metadata = replace(file.metadata, up=up, origin=origin, name=named(file.metadata.name))
    return RawFile(turned(raw, taken, MEMORY_FRAME), metadata), name


def load_splats(path: str | Path) -> Splats:
    """Splats from a file, float32 on the CPU; the ending of its name says which format.

    Args:
        path: a .ply of any program, compressed or not, .splat, .ksplat, .spz, .glb, .gltf, or .sog,
            packed or as a folder with meta.json, or with lod-meta.json and such folders; or a
            folder or .zip with one such file, or with several steps of one, of which the newest is
            taken. What other programs write has no waves.

    Positions are those in the file, relative to the origin that it names. Where float32 cannot hold
    them, they are relative to an origin that is logged, and that `load_splat_file` tells.

    Raises:
        InputError: there is no such file, its format is not known, or it is damaged.
    """
    file, name = _read(Path(path), None)
    if loses_detail(file.raw.means):
        stated, file = file.metadata.origin, near_zero(file)
        if file.metadata.origin != stated:
            log.warning(
                "%s: float32 cannot hold its positions; they are relative to %s",
                name,
                " ".join(f"{value:.9g}" for value in file.metadata.origin),
            )
    return activate(file.raw, name)


def save_splats(
    splats: Splats,
    path: str | Path,
    *,
    origin: Sequence[float] | None = None,
    antialiased: bool | None = None,
    comments: Sequence[str] = (),
    metadata: SplatMetadata = DEFAULT_METADATA,
) -> None:
    """Writes splats to a file; the ending of its name says which format.

    .ply and .glb keep everything. .compressed.ply, .spz and .sog are quantised, .splat keeps no
    view-dependent colour, and none of the four keeps waves. Of how the splats are to be shown each
    keeps what the format has a place for; an origin that it has none for is written to a file
    beside it, NAME.origin.json. A file is written whole or not at all; of a SOG in a folder no file
    is replaced before all are on the disk.

    Args:
        splats: on any device; all values finite, scales not negative, quaternions not zero.
        path: a .ply, .compressed.ply, .spz (.v4.spz for version 4), .splat, .glb or .sog, or a
            meta.json, beside which the textures of a SOG come; its folder is made if need be.
        origin: `Capture.origin`, added to the positions so that the file is in the capture's own
            frame; by default that of `metadata`.
        antialiased: whether the splats are to be shown with Mip-Splatting's opacity compensation,
            as `RenderSettings.antialiased`; by default what `metadata` says.
        comments: further lines for the header.
        metadata: what a file that was read said of itself.

    Raises:
        InputError: the format cannot be written or cannot carry waves, or a value is not finite.
    """
    target = Path(path)
    form = writable_format(target)
    check_waves(target, splats.waves)
    if origin is not None:
        x, y, z = map(float, origin)
        metadata = replace(metadata, origin=(x, y, z))
    if antialiased is not None:
        metadata = replace(metadata, antialiased=antialiased)
    up = metadata.up and turned_axis(metadata.up, MEMORY_FRAME, form.frame)
    place = turned_origin(metadata.origin, MEMORY_FRAME, form.frame)
    if not form.padded:
        splats = with_sh_degree(splats, degree_in_use(splats))
    raw = turned(deactivate(splats, target), MEMORY_FRAME, form.frame)
    stated = replace(metadata, up=up, origin=place, frame=form.frame, name=named(metadata.name))
    file = RawFile(raw, stated, tuple(comments))
    assert form.write is not None, "it is writable"
    with replacing(target) as draft:
        form.write(file, draft, target)
        if "origin" not in form.keeps:  # before the splats: these are never without it
            write_origin(target, metadata.origin)


def check_waves(path: Path, waves: int) -> None:
    """Raises InputError if splats have so many waves each, and the format has no place for any."""
    form = writable_format(path)
    if waves and "waves" not in form.keeps:
        raise InputError(
            f"{path}: {form.endings[0]} cannot carry Gabor waves, and these splats have {waves} "
            "each; write .ply, or --bake them into plain Gaussians"
        )


def check_writable(path: Path) -> None:
    """Raises InputError unless the ending of the name is that of a format we write."""
    writable_format(path)


def read_independently(path: str | Path) -> Splats:
    """What gsply, which shares no code with us and knows no waves, reads from a file that we wrote.

    Raises:
        InputError: gsply does not know the format, or cannot read the file.
    """
    import gsply

    source = Path(path)
    reader, form = _OF_GSPLY.get(source.suffix.lower()), format_of(source)
    if reader is None or form is None:
        raise InputError(f"{source}: gsply reads {' and '.join(VERIFIABLE)} only")
    raw = read_through_gsply(source, lambda: getattr(gsply, reader)(source))
    return activate(turned(raw, form.frame, MEMORY_FRAME), str(source))
