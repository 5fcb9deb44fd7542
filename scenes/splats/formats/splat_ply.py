"""Splats as PLY, in the layout of the original 3D Gaussian splatting, which every viewer reads.

Values in the file are those before activation: scales as logarithms, opacities as logits. The
harmonics beyond the first band lie channel after channel. Gabor waves are extra columns at the end;
a viewer that knows nothing of them shows the Gaussian envelopes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ....renderer.splats import WAVE_COUNTS
from ...errors import InputError
from ...ply import Columns, PlyHeader, read_columns, read_header
from ..format import RawFile
from ..notes import program_version
from ..raw_splats import RawSplats, logits_of
from .ply_comments import comments_of, read_comments, written_header
from .ply_comments import stated_origin as origin_of

_REST_COUNTS, _REST_OF_DEGREE_4 = (0, 9, 24, 45), 72
_REST = 45  # coefficients of bands 1 to 3; always written, as some readers insist on them
_DEGREE_COMMENT = "SH degree:"
_MODE_COMMENT = "gabor_mode"
_FILTER = "filter_3D"
_SPLATS = ("f_dc_", "f_rest_", "opacity", "scale_", "rot_")
_BLOCK = 1 << 14
"""Rows that are taken out at a time: of 62 columns they fit a processor's cache."""
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


def read_splat_ply(header: PlyHeader) -> RawFile:
    """An uncompressed splat PLY of any program: columns go by name, normals may be missing.

    An opacity of +inf is exactly 1, a scale of -inf is a flat splat. So are all splats of a file
    without the third scale (2D Gaussian splatting, 2DGS). Harmonics above degree 3 are left out,
    and Mip-Splatting's 3D filter goes into scales and opacities; both are said.

    Raises:
        InputError: it is not a splat PLY, or is cut short.
    """
    _check_splats(header)
    path = header.path
    table = _Table(path, read_columns(header))
    origin = origin_of(header.comments, path)
    waves = _wave_count(header, table)
    gabor = table.stacked(wave_columns(waves)).reshape(table.rows, waves, 5)
    raw = RawSplats(
        means=_means(table, origin),
        quats=table.stacked([f"rot_{i}" for i in range(4)]),
        log_scales=_log_scales(table),
        logits=table.stacked(["opacity"])[:, 0],
        sh=_sh(header, table),
        frequencies=gabor[:, :, :3],
        coefficients=gabor[:, :, 3:],
    )
    if _FILTER in table.columns:
        raw = _filtered(raw, table.stacked([_FILTER], np.float64)[:, 0])
    metadata = replace(read_comments(header.comments), origin=origin)
    return RawFile(raw, metadata, said=tuple(_said(table)))


def stated_origin(path: Path) -> tuple[float, float, float]:
    """The origin that a PLY names in its header, without a look at its splats.

    Raises:
        InputError: the file is not PLY.
    """
    return origin_of(read_header(path).comments, path)


def is_point_cloud(header: PlyHeader) -> bool:
    """Whether a PLY has points, of a cloud or a mesh, and nothing that splats have."""
    if not header.has("vertex"):
        return False
    names = header.element("vertex").properties
    return set("xyz") <= set(names) and not any(name.startswith(_SPLATS) for name in names)


def _check_splats(header: PlyHeader) -> None:
    """Says what a file is that has no splats."""
    if not is_point_cloud(header):
        return
    mesh = header.has("face") and header.element("face").count > 0
    raise InputError(
        f"{header.path}: is a {'mesh' if mesh else 'point cloud'}, not splats; train on photos "
        "of the scene, with this as points3D.ply beside their COLMAP model"
    )


@dataclass(frozen=True)
class _Table:
    """The columns of a file, and how to take them out."""

    path: Path
    columns: Columns

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    @property
    def flat(self) -> bool:
        """Whether its splats have two scales, as those of 2DGS."""
        return "scale_1" in self.columns and "scale_2" not in self.columns

    @property
    def rest(self) -> int:
        """Coefficients of harmonics beyond the first band."""
        return sum(name.startswith("f_rest_") for name in self.columns)

    def stacked(self, names: Sequence[str], dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """[N, len(names)] columns side by side, whatever their values are."""
        out = np.empty((self.rows, len(names)), dtype)
        self.fill(out, names)
        return out

    def fill(self, out: NDArray[Any], names: Sequence[str]) -> None:
        """Puts columns side by side into `out` [N, len(names)]."""
        for name in names:
            if name not in self.columns:
                raise InputError(f'{self.path}: no property "{name}"; a splat PLY must have it')
        with np.errstate(over="ignore", invalid="ignore"):  # some NaNs say so when converted
            # Block by block: columns lie far apart in the file, but near each other in a block.
            for start in range(0, self.rows, _BLOCK):
                block = slice(start, start + _BLOCK)
                for i, name in enumerate(names):
                    out[block, i] = self.columns[name][block]


def _said(table: _Table) -> Iterator[str]:
    """What was taken otherwise than it stands there."""
    if table.flat:
        yield "no scale_2: its splats are flat (2DGS)"
    if table.rest == _REST_OF_DEGREE_4:
        yield "harmonics of degree 4 are cut to degree 3"
    if _FILTER in table.columns:
        yield f"{_FILTER}, Mip-Splatting's 3D filter, went into scales and opacities"


def _means(table: _Table, origin: Sequence[float]) -> NDArray[np.floating[Any]]:
    """[N, 3] relative to the origin that the file names; in float64 where more than float32 is in
    the file, or comes out."""
    if not any(origin):
        kinds = [table.columns[name].dtype for name in "xyz" if name in table.columns]
        return table.stacked("xyz", np.result_type(np.float32, *kinds))
    positions = table.stacked("xyz", np.float64)
    if all(name in table.columns for name in _REMAINDERS):  # others may drop them
        positions += table.stacked(_REMAINDERS)
    return positions - origin


def _log_scales(table: _Table) -> NDArray[np.float32]:
    """[N, 3]; the third is -inf where the file has two: splats of 2DGS are flat."""
    scales = np.full((table.rows, 3), -np.inf, np.float32)
    width = 2 if table.flat else 3
    table.fill(scales[:, :width], [f"scale_{i}" for i in range(width)])
    return scales


def _sh(header: PlyHeader, table: _Table) -> NDArray[np.float32]:
    """[N, coefficients, 3]: bands 1 and up lie channel after channel in the file."""
    rest = table.rest
    if rest not in (*_REST_COUNTS, _REST_OF_DEGREE_4):
        raise InputError(
            f"{table.path}: {rest} properties f_rest; degrees 0 to 4 have 0, 9, 24, 45 or 72"
        )
    bands = rest // 3
    kept = min(bands, _REST // 3)
    sh = np.empty((table.rows, 1 + kept, 3), np.float32)
    for channel in range(3):
        first = channel * bands
        names = [f"f_dc_{channel}", *(f"f_rest_{first + i}" for i in range(kept))]
        table.fill(sh[:, :, channel], names)
    return sh[:, : _sh_coeffs(header, sh)]


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


def _filtered(raw: RawSplats, sigma: NDArray[np.float64]) -> RawSplats:
    """Splats smoothed by a Gaussian of deviation `sigma` [N], as Mip-Splatting (Yu et al. 2024)
    shows them: what grows in size loses as much in opacity."""
    with np.errstate(all="ignore"):  # rows that make no sense are looked at later
        logs = raw.log_scales.astype(np.float64)
        wider = 0.5 * np.logaddexp(2 * logs, 2 * np.log(np.abs(sigma))[:, None])
        logits = logits_of(raw.opacities * np.exp((logs - wider).sum(axis=1)))
    return replace(raw, log_scales=wider.astype(np.float32), logits=logits)


def _wave_count(header: PlyHeader, table: _Table) -> int:
    present = [name for name in table.columns if name.startswith("gabor_")]
    for comment in header.comments:
        words = comment.split()
        if present and words[:1] == [_MODE_COMMENT] and words[1:] != ["opacity"]:
            raise InputError(
                f'{header.path}: waves of mode "{" ".join(words[1:])[:40]}"; known is opacity'
            )
    waves = -(-len(present) // 5)
    for name in wave_columns(waves):
        if name not in table.columns:
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
    stated = [
        f"gaborsplat {program_version()}",
        f"{_DEGREE_COMMENT} {raw.sh_degree}",
        f"{_MODE_COMMENT} opacity",
    ]
    if any(origin):
        stated.append(f"origin {' '.join(repr(float(value)) for value in origin)}")
    names = _names(raw.frequencies.shape[1], remainders=any(origin))
    lines = [
        f"element vertex {len(raw.means)}",
        *(f"property float {name}" for name in names),
    ]
    header = written_header([*stated, *comments_of(metadata), *file.comments], lines)
    table = _table(raw, origin)
    with draft.open("wb") as out:
        out.write(header)
        out.write(table.data)  # whose errors, other than those of tofile, say why


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
    return np.concatenate(columns, axis=1).astype("<f4", copy=False)
