"""Reading and writing splats in the format that a file's name asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...renderer.files import replacing
from ...renderer.settings import RenderSettings
from ...renderer.splats import SH_C0, Splats
from ..errors import InputError
from . import splat_ply
from .ply import PlyHeader, read_header
from .raw_splats import RawSplats, activate, deactivate, gaussians
from .sog import read_sog
from .spz import check_spz

READABLE = (".ply", ".compressed.ply", ".splat", ".spz", ".sog")
"""Endings of files that can be read; a SOG may also be a folder with meta.json."""
WRITABLE = (".ply", ".compressed.ply", ".splat", ".spz")
"""Endings of files that can be written. Only .ply carries waves."""

_RECORD = np.dtype([("xyz", "<f4", 3), ("scales", "<f4", 3), ("rgba", "u1", 4), ("quat", "u1", 4)])
# SPZ looks along -z with y up, COLMAP along +z with y down: half a turn about x. These are the
# signs that it gives the harmonics of bands 1 to 3, which are odd or even in y and z together.
_TURN = np.array([-1, -1, 1, -1, 1, 1, -1, 1, -1, 1, -1, -1, 1, -1, 1], np.float32)
_SPZ_POSITION_BITS = 23  # besides the sign
_CHUNK = 256  # splats of a compressed PLY that share their bounds
_CHUNK_COLUMNS, _PACKED_COLUMNS = 18, 4

_NEAR = 0.005
"""Near plane per `_spread` of splats whose unit is so large that 0.01 would be too far."""
_SAMPLED = 20_000

VERIFIABLE = (".ply", ".spz")
"""Endings of written files that gsply, an independent reader, can read back."""


@dataclass(frozen=True)
class SplatFile:
    """What a splat file holds.

    Attributes:
        splats: positions are relative to `origin`.
        antialiased: whether the splats were fitted with Mip-Splatting's opacity compensation, and
            are to be rendered with it; only .ply tells.
        origin: (x, y, z) of the splats in the capture's own frame, in its units; only .ply tells.
    """

    splats: Splats
    antialiased: bool = False
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def settings(self) -> RenderSettings:
        """How the splats are to be rendered."""
        settings = RenderSettings(antialiased=self.antialiased)
        near = _NEAR * _spread(self.splats.means)
        return replace(settings, near_plane=min(settings.near_plane, near)) if near else settings


def _spread(means: Tensor) -> float:
    """Median distance of centres [N, 3] from their middle; 0 without any."""
    some = means[:: max(1, len(means) // _SAMPLED)].double()
    if not len(some):
        return 0.0
    return float((some - some.median(0).values).norm(dim=1).median())


def load_splat_file(path: str | Path) -> SplatFile:
    """Splats from a file, and how they are to be shown: what `save_splats` writes to a .ply.
    Takes and raises what `load_splats` does."""
    splats = load_splats(path)
    if Path(path).suffix.lower() != ".ply":
        return SplatFile(splats)
    return SplatFile(splats, splat_ply.is_antialiased(path), splat_ply.splat_origin(path))


def load_splats(path: str | Path) -> Splats:
    """Splats from a file, float32 on the CPU; the ending of its name says which format.

    Args:
        path: a .ply of any program, compressed or not, .splat, .spz, or .sog, packed or as a folder
            with meta.json. What other programs write without waves has none.

    Raises:
        InputError: there is no such file, its format is not known, or it is damaged.
    """
    source = Path(path)
    if source.name == "meta.json" or (source / "meta.json").is_file():
        return activate(read_sog(source), source)
    if not source.is_file():
        raise InputError(f"{source}: no such file")
    match source.suffix.lower():
        case ".ply":
            if _is_compressed(source):
                return activate(_read_compressed(source), source)
            return splat_ply.load_splats(source)
        case ".splat":
            return activate(_read_splat(source), source)
        case ".spz":
            return activate(_read_spz(source), source)
        case ".sog":
            return activate(read_sog(source), source)
        case _:
            raise InputError(f"{source}: cannot be read; known are {', '.join(READABLE)}")


def save_splats(
    splats: Splats,
    path: str | Path,
    *,
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    antialiased: bool | None = None,
    comments: Sequence[str] = (),
) -> None:
    """Writes splats to a file; the ending of its name says which format.

    .ply keeps everything. .compressed.ply and .spz are quantised, .splat keeps no view-dependent
    colour, and none of the three keeps waves, nor anything but the splats. A file is written whole
    or not at all.

    Args:
        splats: on any device; all values finite, scales not negative, quaternions not zero.
        path: a .ply, .compressed.ply, .spz or .splat; its folder is made if need be.
        origin: `Capture.origin`, added to the positions so that the file is in the capture's own
            frame.
        antialiased: whether the splats are to be shown with Mip-Splatting's opacity compensation,
            as `RenderSettings.antialiased`; None says nothing of it in the file.
        comments: further lines for the header.

    Raises:
        InputError: the format cannot be written or cannot carry waves, or a value is not finite.
    """
    target = Path(path)
    check_writable(target)
    name = target.name.lower()
    if name.endswith(".ply") and not name.endswith(".compressed.ply"):
        stated = [*splat_ply.mode_comments(antialiased), *comments]
        splat_ply.save_splats(splats, target, origin=origin, comments=stated)
        return
    writers = {".compressed.ply": _write_compressed, ".splat": _write_splat, ".spz": _write_spz}
    for ending, write in writers.items():
        if name.endswith(ending):
            if splats.waves:
                raise InputError(
                    f"{target}: {ending} cannot carry Gabor waves, and these splats have "
                    f"{splats.waves} each; write .ply, or --bake them into plain Gaussians"
                )
            with replacing(target) as draft:
                write(deactivate(splats, target), draft)


def check_writable(path: Path) -> None:
    """Raises InputError unless the ending of the name is that of a format we write."""
    if not path.name.lower().endswith(WRITABLE):
        raise InputError(f"{path}: cannot be written; known are {', '.join(WRITABLE)}")


def read_independently(path: str | Path) -> Splats:
    """What gsply, which shares no code with us and knows no waves, reads from a file that we wrote.

    Raises:
        InputError: gsply does not know the format, or cannot read the file.
    """
    import gsply

    source = Path(path)
    readers = {
        ".ply": lambda: _through_gsply(source, lambda: gsply.plyread(source)),
        ".spz": lambda: _read_spz(source),
    }
    read = readers.get(source.suffix.lower())
    if read is None:
        raise InputError(f"{source}: gsply reads {' and '.join(readers)} only")
    return activate(read(), source)


def _is_compressed(path: Path) -> bool:
    return any(element.name == "chunk" for element in read_header(path).elements)


def _through_gsply(path: Path, read: Callable[[], Any]) -> RawSplats:
    try:
        with np.errstate(all="ignore"):  # `activate` looks at what comes of it
            data = read()
    except Exception as error:  # whatever a damaged file does to it
        reason = " ".join(str(error).replace(f": {path}", "").split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read: {reason}") from error
    sh0 = np.asarray(data.sh0, np.float32)[:, None]
    rest = [] if data.shN is None else [np.asarray(data.shN, np.float32)]
    return gaussians(
        means=np.asarray(data.means, np.float32),
        quats=np.asarray(data.quats, np.float32),
        log_scales=np.asarray(data.scales, np.float32),
        logits=np.asarray(data.opacities, np.float32).reshape(-1),
        sh=np.concatenate([sh0, *rest], axis=1),
    )


def _gsply_data(raw: RawSplats) -> Any:
    from gsply import GSData  # compiles with numba: a second that only these formats should cost

    return GSData.from_arrays(
        means=raw.means,
        scales=raw.log_scales,
        quats=raw.quats,
        opacities=raw.logits,
        sh0=np.ascontiguousarray(raw.sh[:, 0]),
        shN=np.ascontiguousarray(raw.sh[:, 1:]) if raw.sh.shape[1] > 1 else None,
        format="ply",
    )


def _read_compressed(path: Path) -> RawSplats:
    import gsply

    header = read_header(path)
    _check_compressed(header)
    return _through_gsply(path, lambda: gsply.plyread(path))


def _check_compressed(header: PlyHeader) -> None:
    """Checks what gsply takes for granted: it makes room by the counts in the header."""
    path, chunk, vertex = header.path, header.element("chunk"), header.element("vertex")
    if header.encoding != "binary_little_endian":
        raise InputError(f"{path}: is {header.encoding}; splats in chunks are binary_little_endian")
    header.check_length(header.elements[-1].name)
    if chunk.count != -(-vertex.count // _CHUNK):
        raise InputError(
            f"{path}: {chunk.count} chunks hold at most {chunk.count * _CHUNK} splats, "
            f"not {vertex.count}"
        )
    for element, columns in ((chunk, _CHUNK_COLUMNS), (vertex, _PACKED_COLUMNS)):
        if len(element.properties) != columns:
            raise InputError(
                f'{path}: element "{element.name}" has {len(element.properties)} properties; '
                f"splats in chunks have {columns}"
            )
    for element in header.elements:
        if element.name == "sh" and element.count != vertex.count:
            raise InputError(f"{path}: harmonics of {element.count} splats for {vertex.count}")


def _write_compressed(raw: RawSplats, path: Path) -> None:
    import gsply

    path.write_bytes(gsply.compress_to_bytes(_gsply_data(raw)))


def _read_spz(path: Path) -> RawSplats:
    import gsply

    check_spz(path)
    return _turned(_through_gsply(path, lambda: gsply.read_spz(path)))


def _write_spz(raw: RawSplats, path: Path) -> None:
    import gsply

    # Fixed point of 24 bits: as fine as the farthest splat allows, but no finer than 1.5e-5.
    farthest = float(np.abs(raw.means).max(initial=0.0))
    whole_bits = int(np.ceil(np.log2(max(farthest, 1.0) + 1.0)))
    bits = min(16, _SPZ_POSITION_BITS - whole_bits)
    if bits < 1:
        raise InputError(f"{path}: .spz cannot hold positions as large as {farthest:g}")
    gsply.write_spz(path, _gsply_data(_turned(raw)), fractional_bits=bits)


def _turned(raw: RawSplats) -> RawSplats:
    """The splats after half a turn about the x axis, which is its own inverse."""
    sh = raw.sh.copy()
    sh[:, 1:] *= _TURN[: sh.shape[1] - 1, None]
    turn = np.array([1, -1, -1], np.float32)
    quats = raw.quats * np.array([1, 1, -1, -1], np.float32)
    return gaussians(raw.means * turn, quats, raw.log_scales, raw.logits, sh)


def _read_splat(path: Path) -> RawSplats:
    size = path.stat().st_size
    if size % _RECORD.itemsize:
        raise InputError(
            f"{path}: {size} bytes are not a whole number of {_RECORD.itemsize}-byte splats; "
            "the file is cut short"
        )
    records = np.fromfile(path, _RECORD)
    rgba = records["rgba"] / 255.0
    with np.errstate(divide="ignore", invalid="ignore"):
        log_scales = np.log(records["scales"])
        logits = np.log(rgba[:, 3] / (1.0 - rgba[:, 3]))
    return gaussians(
        means=records["xyz"].astype(np.float32),
        quats=(records["quat"].astype(np.float32) - 128.0) / 128.0,
        log_scales=log_scales.astype(np.float32),
        logits=logits.astype(np.float32),
        sh=((rgba[:, None, :3] - 0.5) / SH_C0).astype(np.float32),
    )


def _write_splat(raw: RawSplats, path: Path) -> None:
    records = np.zeros(len(raw.means), _RECORD)
    records["xyz"] = raw.means
    records["scales"] = np.exp(raw.log_scales)
    records["rgba"][:, :3] = _bytes((0.5 + SH_C0 * raw.sh[:, 0]) * 255.0)
    records["rgba"][:, 3] = _bytes(255.0 / (1.0 + np.exp(-raw.logits)))
    records["quat"] = _bytes(raw.quats * 128.0 + 128.0)
    records.tofile(path)


def _bytes(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    return np.rint(values).clip(0, 255).astype(np.uint8)
