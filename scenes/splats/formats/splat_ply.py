"""Splats as PLY, in the layout of the original 3D Gaussian splatting, which every viewer reads.

Values in the file are those before activation: scales as logarithms, opacities as logits. The
harmonics beyond the first band lie channel after channel. Gabor waves are extra columns at the end;
a viewer that knows nothing of them shows the Gaussian envelopes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ....renderer.splats import WAVE_COUNTS
from ... import limits
from ...errors import InputError
from ...ply import PlyHeader, read_columns, read_header
from ..format import RawFile
from ..metadata import SplatMetadata
from ..raw_splats import RawSplats

Columns = dict[str, NDArray[np.generic]]

_REST = 45  # coefficients of bands 1 to 3; always written, as some readers insist on them
_DEGREE_COMMENT = "SH degree:"
_ORIGIN_COMMENT = "origin"
_MODE_COMMENT = "gabor_mode"
_RENDER_MODE_COMMENT = "SplatRenderMode:"
_REMAINDERS = ("x_remainder", "y_remainder", "z_remainder")
"""What float32 cannot hold of a position far from zero: x + x_remainder is exact to 48 bits."""


def wave_columns(waves: int) -> list[str]:
    """Names of the columns that carry Gabor waves, in the order they are written."""
    return [
        name
        for k in range(waves)
        for name in (
            *(f"gabor_frequency_{k}_{axis}" for axis in "xyz"),
            *(f"gabor_coefficient_{k}_{part}" for part in ("cos", "sin")),
        )
    ]


def _names(waves: int, *, remainders: bool) -> list[str]:
    return [
        *("x", "y", "z", "nx", "ny", "nz"),
        *(f"f_dc_{i}" for i in range(3)),
        *(f"f_rest_{i}" for i in range(_REST)),
        "opacity",
        *(f"scale_{i}" for i in range(3)),
        *(f"rot_{i}" for i in range(4)),
        *wave_columns(waves),
        *(_REMAINDERS if remainders else ()),
    ]


def read_splat_ply(path: Path) -> RawFile:
    """An uncompressed splat PLY of any program: columns go by name, normals may be missing.

    An opacity of +inf is exactly 1, a scale of -inf is a flat splat.

    Raises:
        InputError: it is not a splat PLY, or is cut short.
    """
    header = read_header(path)
    table = read_columns(header)
    rest = _rest_count(header, table)
    waves = _wave_count(header, table)
    n = header.element("vertex").count
    f_dc = _stack(header, table, [f"f_dc_{i}" for i in range(3)])
    f_rest = _stack(header, table, [f"f_rest_{i}" for i in range(rest)])
    sh = np.concatenate([f_dc[:, None], f_rest.reshape(n, 3, rest // 3).transpose(0, 2, 1)], axis=1)
    gabor = _stack(header, table, wave_columns(waves)).reshape(n, waves, 5)
    raw = RawSplats(
        means=_means(header, table),
        quats=_stack(header, table, [f"rot_{i}" for i in range(4)]),
        log_scales=_stack(header, table, [f"scale_{i}" for i in range(3)]),
        logits=_column(header, table, "opacity"),
        sh=sh[:, : _sh_coeffs(header, sh)],
        frequencies=gabor[:, :, :3],
        coefficients=gabor[:, :, 3:],
    )
    return RawFile(raw, _metadata(header))


def stated_origin(path: Path) -> tuple[float, float, float]:
    """The origin that a PLY names in its header, without a look at its splats.

    Raises:
        InputError: the file is not PLY.
    """
    return _stated_origin(read_header(path))


def _metadata(header: PlyHeader) -> SplatMetadata:
    antialiased = None
    for comment in header.comments:
        match comment.split():
            case [word, mode, *_] if word == _RENDER_MODE_COMMENT:
                antialiased = mode == "mip"
            case _:
                pass
    return SplatMetadata(antialiased=antialiased, origin=_stated_origin(header))


def _stated_origin(header: PlyHeader) -> tuple[float, float, float]:
    for comment in header.comments:
        match comment.split():
            case [word, x, y, z] if word == _ORIGIN_COMMENT:
                try:
                    origin = (float(x), float(y), float(z))
                except ValueError as error:
                    raise InputError(f"{header.path}: comment {comment[:60]}: {error}") from error
                if not max(map(abs, origin)) < limits.VALUE or any(map(math.isnan, origin)):
                    raise InputError(f"{header.path}: comment {comment[:60]}: not a place")
                return origin
            case _:
                pass
    return (0.0, 0.0, 0.0)


def _means(header: PlyHeader, table: Columns) -> NDArray[np.float64]:
    """[N, 3] relative to the origin that the file names."""
    positions = np.stack([_column(header, table, axis, np.float64) for axis in "xyz"], axis=1)
    origin = _stated_origin(header)
    if any(origin) and all(name in table for name in _REMAINDERS):  # others may have dropped them
        positions += _stack(header, table, _REMAINDERS)
    return positions - origin


def _column(
    header: PlyHeader, table: Columns, name: str, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """[N] a column, whatever its values are."""
    if name not in table:
        raise InputError(f'{header.path}: no property "{name}"; a splat PLY must have it')
    with np.errstate(over="ignore", invalid="ignore"):  # some NaNs say so when they are converted
        return table[name].astype(dtype)


def _stack(header: PlyHeader, table: Columns, names: Sequence[str]) -> NDArray[np.float32]:
    """[N, len(names)] columns side by side."""
    stacked = np.empty((header.element("vertex").count, len(names)), np.float32)
    for i, name in enumerate(names):
        stacked[:, i] = _column(header, table, name)
    return stacked


def _rest_count(header: PlyHeader, table: Columns) -> int:
    count = sum(name.startswith("f_rest_") for name in table)
    if count not in (0, 9, 24, 45):
        raise InputError(
            f"{header.path}: {count} properties f_rest; degrees 0 to 3 have 0, 9, 24 or 45"
        )
    return count


def _sh_coeffs(header: PlyHeader, sh: NDArray[np.float32]) -> int:
    """Coefficients per channel to keep: files of ours are padded with zeros to degree 3."""
    sh_coeffs = sh.shape[1]
    for comment in header.comments:
        degree = comment.removeprefix(_DEGREE_COMMENT).strip()
        if comment.startswith(_DEGREE_COMMENT) and degree in ("0", "1", "2"):
            stated = (int(degree) + 1) ** 2
            if stated < sh_coeffs and not sh[:, stated:].any():
                return stated
    return sh_coeffs


def _wave_count(header: PlyHeader, table: Columns) -> int:
    present = [name for name in table if name.startswith("gabor_")]
    for comment in header.comments:
        words = comment.split()
        if present and words[:1] == [_MODE_COMMENT] and words[1:] != ["opacity"]:
            raise InputError(
                f'{header.path}: waves of mode "{" ".join(words[1:])[:40]}"; known is opacity'
            )
    waves = -(-len(present) // 5)
    for name in wave_columns(waves):
        if name not in table:
            raise InputError(f'{header.path}: no property "{name}"; its waves are incomplete')
    if waves not in WAVE_COUNTS:
        raise InputError(f"{header.path}: {waves} waves per splat; known are 0, 1, 2 and 4")
    return waves


def write_splat_ply(file: RawFile, draft: Path, _: Path) -> None:
    """Writes splats as PLY: 62 columns, degree 3 throughout, then 5 columns a wave.

    Far from zero float32 loses detail: what it loses is kept in further columns, and the origin in
    a comment. Opacities of 0 and 1 are written as logits -18 and 18, which read back as 2e-8 and 1.
    """
    raw, metadata, origin = file.raw, file.metadata, file.metadata.origin
    degree = math.isqrt(raw.sh.shape[1]) - 1
    stated = [f"{_DEGREE_COMMENT} {degree}", f"{_MODE_COMMENT} opacity"]
    if any(origin):
        stated.append(f"{_ORIGIN_COMMENT} {' '.join(repr(float(value)) for value in origin)}")
    if metadata.antialiased is not None:  # in the words of Brush
        stated.append(f"{_RENDER_MODE_COMMENT} {'mip' if metadata.antialiased else 'default'}")
    names = _names(raw.frequencies.shape[1], remainders=any(origin))
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment gaborsplat {_version()}",
        *(f"comment {' '.join(line.split())}" for line in (*stated, *file.comments)),
        f"element vertex {len(raw.means)}",
        *(f"property float {name}" for name in names),
        "end_header",
    ]
    table = _table(raw, origin)
    with draft.open("wb") as out:
        out.write("".join(f"{line}\n" for line in lines).encode("ascii", "backslashreplace"))
        out.write(table.data)  # whose errors, other than those of tofile, say why


def _version() -> str:
    try:
        return version("gaborsplat")
    except PackageNotFoundError:
        return "0+unknown"


def _table(raw: RawSplats, origin: Sequence[float]) -> NDArray[np.float32]:
    """[N, columns] in the order of `_names`."""
    exact = raw.means.astype(np.float64) + np.asarray(origin, np.float64)
    means = exact.astype(np.float32)
    remainders = [(exact - means).astype(np.float32)] if any(origin) else []
    n, waves = raw.frequencies.shape[:2]
    rest = np.zeros((n, 3, _REST // 3), np.float32)
    rest[:, :, : raw.sh.shape[1] - 1] = raw.sh[:, 1:].transpose(0, 2, 1)
    gabor = np.concatenate([raw.frequencies, raw.coefficients], axis=2)
    normals = np.zeros((n, 3), np.float32)
    columns = [
        *(means, normals, raw.sh[:, 0], rest.reshape(n, _REST), raw.logits[:, None]),
        *(raw.log_scales, raw.quats, gabor.reshape(n, waves * 5)),
        *remainders,
    ]
    return np.concatenate(columns, axis=1).astype("<f4")
